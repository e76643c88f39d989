-- What a turn writes and what it reads in the same transaction. Rows come as one array for each column (unnested side by
-- side in the list of columns: in FROM each would go through a table of its own); within a batch each key stands once.
-- Ids of history go as `= ANY` of an array, which finds the partitions when the statement is planned.

-- prove --
-- Fail unless this epoch is still the decider's, and keep it so until the end of the transaction.
SELECT prove_epoch($1::bigint);

-- make_day --
-- Make the partitions of the day that begins at a ms.
SELECT make_day($1::bigint);

-- lane_insert --
-- Lanes that may be there already.
INSERT INTO lane (id, capabilities, group_name, pin)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) ON CONFLICT (id) DO NOTHING;

-- task_insert --
-- The facts of new tasks.
INSERT INTO task (
    id, owner, type, priority, lane, capabilities, group_name, pin, run_async, run_at, timeout, ttl, queue_timeout,
    heartbeat_timeout, max_retries, backoff_base, backoff_cap, tags, metadata, resubmit_of, hops, traceparent, created_at
) SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[]), unnest($5::bigint[]),
    unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::bigint[]), unnest($10::bigint[]),
    unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]), unnest($15::bigint[]),
    unnest($16::bigint[]), unnest($17::bigint[]), unnest($18::text[]), unnest($19::text[]), unnest($20::text[]),
    unnest($21::bigint[]), unnest($22::text[]), unnest($23::bigint[]);

-- payload_insert --
-- New tasks' payloads.
INSERT INTO payload (task_id, body) SELECT * FROM unnest($1::text[], $2::text[]);

-- tag_insert --
-- Tags of tasks.
INSERT INTO task_tag (tag, task_id)
SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT (tag, task_id) DO NOTHING;

-- key_upsert --
-- Idempotency keys, in the place of expired ones if need be.
INSERT INTO idempotency (owner, key, hash, task_id, created_at, expires_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[])
ON CONFLICT (owner, key) DO UPDATE SET
    hash = excluded.hash, task_id = excluded.task_id, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- task_reopen --
-- Tasks that had ended are live again.
DELETE FROM ended WHERE id = ANY($1::text[]);

-- result_delete --
-- Erase tasks' results.
DELETE FROM result WHERE task_id = ANY($1::text[]);

-- task_retried --
-- Tasks had their first retry.
UPDATE task SET retried = 1 WHERE id = ANY($1::text[]);

-- queue_delete --
-- Tasks wait no longer.
DELETE FROM queue WHERE task_id = ANY($1::text[]);

-- queue_upsert --
-- Tasks wait, or wait otherwise than before.
INSERT INTO queue (
    task_id, owner, lane, limit_key, avoid, rank, due_at, wake_at, attempts, failures, lost, deadline, queue_deadline,
    queued_at, last_server, last_outcome, updated_at
) SELECT
    unnest($1::text[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::text[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]),
    unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]), unnest($15::text[]),
    unnest($16::text[]), unnest($17::bigint[])
ON CONFLICT (task_id) DO UPDATE SET
    owner = excluded.owner, lane = excluded.lane, limit_key = excluded.limit_key, avoid = excluded.avoid,
    rank = excluded.rank, due_at = excluded.due_at, wake_at = excluded.wake_at, attempts = excluded.attempts,
    failures = excluded.failures, lost = excluded.lost, deadline = excluded.deadline,
    queue_deadline = excluded.queue_deadline, queued_at = excluded.queued_at, last_server = excluded.last_server,
    last_outcome = excluded.last_outcome, updated_at = excluded.updated_at;

-- run_delete --
-- Attempts hold their slots no longer.
DELETE FROM run AS r USING unnest($1::text[], $2::bigint[]) AS n (task_id, attempt)
WHERE r.task_id = n.task_id AND r.attempt = n.attempt;

-- run_upsert --
-- Attempts hold slots, or something of them changed.
INSERT INTO run (
    task_id, attempt, server_id, node, rank, avoid, failures, lost, deadline, started_at, limit_at, accepted,
    responded_at, beat_at, progress, message, linger_until, updated_at
) SELECT
    unnest($1::text[]), unnest($2::bigint[]), unnest($3::text[]), unnest($4::text[]), unnest($5::bigint[]),
    unnest($6::text[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::bigint[]),
    unnest($11::bigint[]), unnest($12::bigint[]), unnest($13::bigint[]), unnest($14::bigint[]), unnest($15::bigint[]),
    unnest($16::text[]), unnest($17::bigint[]), unnest($18::bigint[])
ON CONFLICT (task_id, attempt) DO UPDATE SET
    server_id = excluded.server_id, node = excluded.node, rank = excluded.rank, avoid = excluded.avoid,
    failures = excluded.failures, lost = excluded.lost, deadline = excluded.deadline, started_at = excluded.started_at,
    limit_at = excluded.limit_at, accepted = excluded.accepted, responded_at = excluded.responded_at,
    beat_at = excluded.beat_at, progress = excluded.progress, message = excluded.message,
    linger_until = excluded.linger_until, updated_at = excluded.updated_at;

-- attempt_add --
-- History entries, one a task. One whose count is above 1 goes into the task's last entry if that has this server and
-- outcome; any other is an entry of its own.
WITH n AS (
    SELECT * FROM unnest(
        $1::text[], $2::bigint[], $3::bigint[], $4::text[], $5::bigint[], $6::bigint[], $7::text[], $8::bigint[],
        $9::bigint[], $10::text[], $11::text[]
    ) AS c (task_id, attempt, last, server_id, started_at, ended_at, outcome, count, http_status, error, metadata)
), folded AS (
    UPDATE attempt AS a SET
        count = a.count + 1, last = n.attempt, ended_at = n.ended_at, http_status = n.http_status, error = n.error
    FROM n
    WHERE n.count > 1 AND a.task_id = ANY($1::text[]) AND a.task_id = n.task_id
        AND a.attempt = (SELECT max(m.attempt) FROM attempt AS m WHERE m.task_id = n.task_id)
        AND a.server_id = n.server_id AND a.outcome = n.outcome
    RETURNING a.task_id
)
INSERT INTO attempt (
    task_id, attempt, last, server_id, started_at, ended_at, outcome, count, http_status, error, metadata
) SELECT
    n.task_id, n.attempt, n.last, n.server_id, n.started_at, n.ended_at, n.outcome, 1, n.http_status, n.error, n.metadata
FROM n WHERE n.task_id NOT IN (SELECT f.task_id FROM folded AS f);

-- attempt_insert --
-- History entries of their own.
INSERT INTO attempt (
    task_id, attempt, last, server_id, started_at, ended_at, outcome, count, http_status, error, metadata
) SELECT
    unnest($1::text[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::text[]), unnest($5::bigint[]),
    unnest($6::bigint[]), unnest($7::text[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::text[]),
    unnest($11::text[]);

-- task_end --
-- How tasks ended; a second end is refused.
INSERT INTO ended (
    status, attempts, failures, lost, server_id, started_at, responded_at, completed_at, deadline, error, error_code,
    error_details, result_metadata, progress, message, http_status, ended_by, id
) SELECT
    unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::text[]),
    unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bigint[]), unnest($9::bigint[]), unnest($10::text[]),
    unnest($11::text[]), unnest($12::text[]), unnest($13::text[]), unnest($14::bigint[]), unnest($15::text[]),
    unnest($16::bigint[]), unnest($17::bigint[]), unnest($18::text[]);

-- result_insert --
-- Tasks' results; a second one is refused.
INSERT INTO result (task_id, body) SELECT * FROM unnest($1::text[], $2::text[]);

-- payload_delete --
-- Erase tasks' payloads.
DELETE FROM payload WHERE task_id = ANY($1::text[]);

-- task_purge --
-- Erase what owners wrote into tasks.
UPDATE task SET metadata = NULL, purged = 1 WHERE id = ANY($1::text[]);

-- ended_purge --
-- Erase what backends wrote into the ends of tasks.
UPDATE ended SET result_metadata = NULL, error_details = NULL WHERE id = ANY($1::text[]);

-- attempt_purge --
-- Erase what backends wrote into tasks' histories.
UPDATE attempt SET metadata = NULL WHERE task_id = ANY($1::text[]);

-- server_upsert --
-- Servers are new or changed.
INSERT INTO server (
    id, name, owner, predict, health_url, metrics_url, cancel_url, api_key, capabilities, learns_capabilities, groups,
    max_concurrent, weight, is_async, maintenance, maintenance_reason, draining, removing_until, registered_at,
    last_heartbeat, state, online_since, averages, misconfigured, paused_until, pause_step, held
) SELECT * FROM unnest(
    $1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::bigint[], $11::text[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[], $16::text[], $17::bigint[],
    $18::bigint[], $19::bigint[], $20::bigint[], $21::text[], $22::bigint[], $23::text[], $24::bigint[], $25::bigint[],
    $26::bigint[], $27::bigint[]
) ON CONFLICT (id) DO UPDATE SET
    name = excluded.name, owner = excluded.owner, predict = excluded.predict, health_url = excluded.health_url,
    metrics_url = excluded.metrics_url, cancel_url = excluded.cancel_url, api_key = excluded.api_key,
    capabilities = excluded.capabilities, learns_capabilities = excluded.learns_capabilities, groups = excluded.groups,
    max_concurrent = excluded.max_concurrent, weight = excluded.weight, is_async = excluded.is_async,
    maintenance = excluded.maintenance, maintenance_reason = excluded.maintenance_reason, draining = excluded.draining,
    removing_until = excluded.removing_until, registered_at = excluded.registered_at,
    last_heartbeat = excluded.last_heartbeat, state = excluded.state, online_since = excluded.online_since,
    averages = excluded.averages, misconfigured = excluded.misconfigured, paused_until = excluded.paused_until,
    pause_step = excluded.pause_step, held = excluded.held;

-- server_delete --
-- Servers are gone.
DELETE FROM server WHERE id = ANY($1::text[]);

-- stats_add --
-- Counters, beside those that are there: the roll-up adds them.
INSERT INTO stats_part (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
) SELECT * FROM unnest(
    $1::bigint[], $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::bigint[], $17::bigint[], $18::bigint[]
);

-- setting_upsert --
-- Settings that outlive a restart.
INSERT INTO setting (name, value) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- audit_insert --
-- Who changed what.
INSERT INTO audit (at, who, action, target, details)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[]);

-- series_upsert --
-- What happened in a span of time.
INSERT INTO series (
    step, at, since, submitted, completed, failed, timed_out, cancelled, waits, runs, waiting, running
) SELECT * FROM unnest(
    $1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::text[], $10::text[], $11::bigint[], $12::bigint[]
)
ON CONFLICT (step, at) DO UPDATE SET
    since = excluded.since, submitted = excluded.submitted, completed = excluded.completed, failed = excluded.failed,
    timed_out = excluded.timed_out, cancelled = excluded.cancelled, waits = excluded.waits, runs = excluded.runs,
    waiting = excluded.waiting, running = excluded.running;

-- failure_upsert --
-- A group of an owner's failures in an hour.
INSERT INTO failure_group (
    owner, hour, id, type, outcome, http_status, error_code, error, tasks, attempts, minutes, servers, samples,
    first_at, last_at, timeout, run_p95
) SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bigint[],
    $10::bigint[], $11::text[], $12::text[], $13::text[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[]
)
ON CONFLICT (owner, hour, id) DO UPDATE SET
    type = excluded.type, outcome = excluded.outcome, http_status = excluded.http_status,
    error_code = excluded.error_code, error = excluded.error, tasks = excluded.tasks, attempts = excluded.attempts,
    minutes = excluded.minutes, servers = excluded.servers, samples = excluded.samples, first_at = excluded.first_at,
    last_at = excluded.last_at, timeout = excluded.timeout, run_p95 = excluded.run_p95;

-- health_upsert --
-- From when on a server had a status.
INSERT INTO server_health (server_id, at, status, reason)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[])
ON CONFLICT (server_id, at) DO UPDATE SET status = excluded.status, reason = excluded.reason;

-- load_upsert --
-- A server in a span of time.
INSERT INTO server_load (
    server_id, at, busy_ms, slot_ms, picks, completed, failed, run_ms, responses, response_ms, outcomes
) SELECT * FROM unnest(
    $1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::text[]
)
ON CONFLICT (server_id, at) DO UPDATE SET
    busy_ms = excluded.busy_ms, slot_ms = excluded.slot_ms, picks = excluded.picks, completed = excluded.completed,
    failed = excluded.failed, run_ms = excluded.run_ms, responses = excluded.responses,
    response_ms = excluded.response_ms, outcomes = excluded.outcomes;

-- facet_upsert --
-- A value of a field was seen.
INSERT INTO facet (field, owner, value, last_at)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
ON CONFLICT (field, owner, value) DO UPDATE SET last_at = excluded.last_at;

-- failed_upsert --
-- Of which group tasks that failed or timed out are.
INSERT INTO failed_task (task_id, failure) SELECT * FROM unnest($1::text[], $2::text[])
ON CONFLICT (task_id) DO UPDATE SET failure = excluded.failure;

-- failed_delete --
-- Tasks are of no group any more.
DELETE FROM failed_task WHERE task_id = ANY($1::text[]);

-- refill --
-- The next ready tasks of a flow, from a rank on.
SELECT t.*, e.*, q.*
FROM queue AS q JOIN task AS t ON t.id = q.task_id LEFT JOIN ended AS e ON e.id = q.task_id
WHERE q.lane = $1 AND q.limit_key = $2 AND q.avoid = $3 AND q.due_at IS NULL AND q.rank >= $4
ORDER BY q.rank LIMIT $5;

-- wakes --
-- The next queued tasks by the first of their times, after a pair of time and id.
SELECT t.*, e.*, q.*
FROM queue AS q JOIN task AS t ON t.id = q.task_id LEFT JOIN ended AS e ON e.id = q.task_id
WHERE q.wake_at IS NOT NULL AND (q.wake_at, q.task_id) > ($1, $2)
ORDER BY q.wake_at, q.task_id LIMIT $3;

-- payloads --
-- The payloads of a list of tasks.
SELECT p.task_id, p.body FROM payload AS p WHERE p.task_id = ANY($1::text[]);

-- records --
-- A list of tasks with their ends and their live state.
SELECT t.*, e.*, q.*, r.*
FROM task AS t
LEFT JOIN ended AS e ON e.id = t.id AND e.id = ANY($1::text[])
LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL
WHERE t.id = ANY($1::text[]);

-- keys --
-- A list of idempotency keys, as pairs of owner and key.
SELECT i.*
FROM unnest($1::text[], $2::text[]) AS n (owner, key)
JOIN idempotency AS i ON i.owner = n.owner AND i.key = n.key;
