-- What a turn writes, in the order of `Writes`, and what it reads in the same transaction. A change with a `VALUES (…)` is
-- carried out for many rows at once: the port repeats the group of question marks.

-- lane_insert --
-- A lane that may be there already.
INSERT INTO lane (id, capabilities, group_name, pin) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING;

-- task_insert --
-- The facts of a new task.
INSERT INTO task (
    id, owner, type, priority, lane, capabilities, group_name, pin, run_async, run_at, timeout, ttl, queue_timeout,
    heartbeat_timeout, max_retries, backoff_base, backoff_cap, tags, metadata, resubmit_of, hops, traceparent, created_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- payload_insert --
-- A new task's payload.
INSERT INTO payload (task_id, body) VALUES (?, ?);

-- tag_insert --
-- One tag of a task.
INSERT INTO task_tag (tag, task_id) VALUES (?, ?) ON CONFLICT (tag, task_id) DO NOTHING;

-- key_upsert --
-- An idempotency key, in the place of an expired one if need be.
INSERT INTO idempotency (owner, key, hash, task_id, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, key) DO UPDATE SET
    hash = excluded.hash, task_id = excluded.task_id, created_at = excluded.created_at, expires_at = excluded.expires_at;

-- task_reopen --
-- A task that had ended is live again.
UPDATE task SET
    status = 0, attempts = 0, failures = 0, lost = 0, server_id = NULL, started_at = NULL, responded_at = NULL,
    completed_at = NULL, deadline = NULL, error = NULL, error_code = NULL, error_details = NULL, result_metadata = NULL,
    progress = NULL, message = NULL, http_status = NULL, ended_by = NULL
WHERE id = ?;

-- result_delete --
-- Erase a task's result.
DELETE FROM result WHERE task_id = ?;

-- task_retried --
-- A task had its first retry.
UPDATE task SET retried = 1 WHERE id = ?;

-- queue_delete --
-- A task waits no longer.
DELETE FROM queue WHERE task_id IN (VALUES (?));

-- queue_upsert --
-- A task waits, or waits otherwise than before.
INSERT INTO queue (
    task_id, owner, lane, limit_key, avoid, rank, due_at, wake_at, attempts, failures, lost, deadline, queue_deadline,
    queued_at, last_server, last_outcome, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (task_id) DO UPDATE SET
    owner = excluded.owner, lane = excluded.lane, limit_key = excluded.limit_key, avoid = excluded.avoid,
    rank = excluded.rank, due_at = excluded.due_at, wake_at = excluded.wake_at, attempts = excluded.attempts,
    failures = excluded.failures, lost = excluded.lost, deadline = excluded.deadline,
    queue_deadline = excluded.queue_deadline, queued_at = excluded.queued_at, last_server = excluded.last_server,
    last_outcome = excluded.last_outcome, updated_at = excluded.updated_at;

-- run_delete --
-- An attempt holds its slot no longer.
WITH e AS (VALUES (?, ?))
DELETE FROM run
WHERE task_id IN (SELECT e.column1 FROM e) AND (task_id, attempt) IN (SELECT e.column1, e.column2 FROM e);

-- run_upsert --
-- An attempt holds a slot, or something of it changed.
INSERT INTO run (
    task_id, attempt, server_id, node, rank, avoid, failures, lost, deadline, started_at, limit_at, accepted,
    responded_at, beat_at, progress, message, linger_until, updated_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (task_id, attempt) DO UPDATE SET
    server_id = excluded.server_id, node = excluded.node, rank = excluded.rank, avoid = excluded.avoid,
    failures = excluded.failures, lost = excluded.lost, deadline = excluded.deadline, started_at = excluded.started_at,
    limit_at = excluded.limit_at, accepted = excluded.accepted, responded_at = excluded.responded_at,
    beat_at = excluded.beat_at, progress = excluded.progress, message = excluded.message,
    linger_until = excluded.linger_until, updated_at = excluded.updated_at;

-- attempt_insert --
-- A history entry of its own.
INSERT INTO attempt (
    task_id, attempt, last, server_id, started_at, ended_at, outcome, count, http_status, error, metadata
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?);

-- attempt_fold --
-- One more of the same kind: count it into the task's last entry if that has this server and outcome.
UPDATE attempt SET count = count + 1, last = ?, ended_at = ?, http_status = ?, error = ?
WHERE task_id = ? AND attempt = (SELECT max(a.attempt) FROM attempt AS a WHERE a.task_id = ?)
    AND server_id = ? AND outcome = ?;

-- task_end --
-- How a task ended.
UPDATE task SET
    status = e.column1, attempts = e.column2, failures = e.column3, lost = e.column4, server_id = e.column5,
    started_at = e.column6, responded_at = e.column7, completed_at = e.column8, deadline = e.column9,
    error = e.column10, error_code = e.column11, error_details = e.column12, result_metadata = e.column13,
    progress = e.column14, message = e.column15, http_status = e.column16, ended_by = e.column17
FROM (VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)) AS e
WHERE task.id = e.column18;

-- result_insert --
-- A task's result; a second one is refused.
INSERT INTO result (task_id, body) VALUES (?, ?);

-- payload_delete --
-- Erase a task's payload.
DELETE FROM payload WHERE task_id = ?;

-- task_purge --
-- Erase what its owner and the backend wrote into a task.
UPDATE task SET metadata = NULL, result_metadata = NULL, error_details = NULL, purged = 1 WHERE id = ?;

-- attempt_purge --
-- Erase what backends wrote into a task's history.
UPDATE attempt SET metadata = NULL WHERE task_id = ?;

-- server_upsert --
-- A server is new or changed.
INSERT INTO server (
    id, name, owner, predict, health_url, metrics_url, cancel_url, api_key, capabilities, learns_capabilities, groups,
    max_concurrent, weight, is_async, maintenance, maintenance_reason, draining, removing_until, registered_at,
    last_heartbeat, state, online_since, averages, misconfigured, paused_until, pause_step, held
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO UPDATE SET
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
-- A server is gone.
DELETE FROM server WHERE id = ?;

-- stats_add --
-- Add counters to those of the hour.
INSERT INTO stats_hour (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (scope, key, hour) DO UPDATE SET
    created = stats_hour.created + excluded.created,
    completed = stats_hour.completed + excluded.completed,
    failed = stats_hour.failed + excluded.failed,
    cancelled = stats_hour.cancelled + excluded.cancelled,
    timed_out = stats_hour.timed_out + excluded.timed_out,
    retried = stats_hour.retried + excluded.retried,
    attempts_ok = stats_hour.attempts_ok + excluded.attempts_ok,
    attempts_failed = stats_hour.attempts_failed + excluded.attempts_failed,
    run_ms = stats_hour.run_ms + excluded.run_ms,
    responses = stats_hour.responses + excluded.responses,
    response_ms = stats_hour.response_ms + excluded.response_ms,
    waits = stats_hour.waits + excluded.waits,
    wait_ms = stats_hour.wait_ms + excluded.wait_ms,
    online_ms = stats_hour.online_ms + excluded.online_ms,
    last_at = CASE WHEN excluded.last_at > stats_hour.last_at THEN excluded.last_at ELSE stats_hour.last_at END;

-- setting_upsert --
-- A setting that outlives a restart.
INSERT INTO setting (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- audit_insert --
-- Who changed what.
INSERT INTO audit (at, who, action, target, details) VALUES (?, ?, ?, ?, ?);

-- series_upsert --
-- What happened in a span of time.
INSERT INTO series (
    step, at, since, submitted, completed, failed, timed_out, cancelled, waits, runs, waiting, running
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (step, at) DO UPDATE SET
    since = excluded.since, submitted = excluded.submitted, completed = excluded.completed, failed = excluded.failed,
    timed_out = excluded.timed_out, cancelled = excluded.cancelled, waits = excluded.waits, runs = excluded.runs,
    waiting = excluded.waiting, running = excluded.running;

-- failure_upsert --
-- A group of an owner's failures in an hour.
INSERT INTO failure_group (
    owner, hour, id, type, outcome, http_status, error_code, error, tasks, attempts, minutes, servers, samples,
    first_at, last_at, timeout, run_p95
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (owner, hour, id) DO UPDATE SET
    type = excluded.type, outcome = excluded.outcome, http_status = excluded.http_status,
    error_code = excluded.error_code, error = excluded.error, tasks = excluded.tasks, attempts = excluded.attempts,
    minutes = excluded.minutes, servers = excluded.servers, samples = excluded.samples, first_at = excluded.first_at,
    last_at = excluded.last_at, timeout = excluded.timeout, run_p95 = excluded.run_p95;

-- health_upsert --
-- From when on a server had a status.
INSERT INTO server_health (server_id, at, status, reason) VALUES (?, ?, ?, ?)
ON CONFLICT (server_id, at) DO UPDATE SET status = excluded.status, reason = excluded.reason;

-- load_upsert --
-- A server in a span of time.
INSERT INTO server_load (
    server_id, at, busy_ms, slot_ms, picks, completed, failed, run_ms, responses, response_ms, outcomes
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (server_id, at) DO UPDATE SET
    busy_ms = excluded.busy_ms, slot_ms = excluded.slot_ms, picks = excluded.picks, completed = excluded.completed,
    failed = excluded.failed, run_ms = excluded.run_ms, responses = excluded.responses,
    response_ms = excluded.response_ms, outcomes = excluded.outcomes;

-- facet_upsert --
-- A value of a field was seen.
INSERT INTO facet (field, owner, value, last_at) VALUES (?, ?, ?, ?)
ON CONFLICT (field, owner, value) DO UPDATE SET last_at = excluded.last_at;

-- failed_upsert --
-- Of which group a task that failed or timed out is.
INSERT INTO failed_task (task_id, failure) VALUES (?, ?)
ON CONFLICT (task_id) DO UPDATE SET failure = excluded.failure;

-- failed_delete --
-- A task is of no group any more.
DELETE FROM failed_task WHERE task_id = ?;

-- refill --
-- The next ready tasks of a flow, from a rank on.
SELECT t.*, q.*
FROM queue AS q JOIN task AS t ON t.id = q.task_id
WHERE q.lane = ? AND q.limit_key = ? AND q.avoid = ? AND q.due_at IS NULL AND q.rank >= ?
ORDER BY q.rank LIMIT ?;

-- wakes --
-- The next queued tasks by the first of their times, after a pair of time and id.
SELECT t.*, q.*
FROM queue AS q JOIN task AS t ON t.id = q.task_id
WHERE q.wake_at IS NOT NULL AND (q.wake_at, q.task_id) > (?, ?)
ORDER BY q.wake_at, q.task_id LIMIT ?;

-- payloads --
-- The payloads of a list of tasks.
SELECT p.task_id, p.body FROM json_each(?) AS j JOIN payload AS p ON p.task_id = j.value;

-- records --
-- A list of tasks with their live state.
SELECT t.*, q.*, r.*
FROM json_each(?) AS j
JOIN task AS t ON t.id = j.value
LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL;

-- keys --
-- A list of idempotency keys, as pairs of owner and key.
SELECT i.*
FROM json_each(?) AS j
JOIN idempotency AS i ON i.owner = json_extract(j.value, '$[0]') AND i.key = json_extract(j.value, '$[1]');
