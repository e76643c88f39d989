-- What the API reads.

-- record --
-- A task with its end and its live state.
SELECT t.*, e.*, q.*, r.*
FROM task AS t
LEFT JOIN ended AS e ON e.id = t.id
LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL
WHERE t.id = $1;

-- history --
-- The history of a task, the oldest entry first.
SELECT a.* FROM attempt AS a WHERE a.task_id = $1 ORDER BY a.attempt;

-- attempt_server --
-- The server of an attempt: that runs or lingers, was the last before the task was queued, is in the history, or the last.
SELECT coalesce(
    (SELECT r.server_id FROM run AS r WHERE r.task_id = $1 AND r.attempt = $2),
    (SELECT q.last_server FROM queue AS q WHERE q.task_id = $1 AND q.attempts = $2 AND q.last_server <> ''),
    (SELECT a.server_id FROM attempt AS a WHERE a.task_id = $1 AND a.attempt <= $2 AND a.last >= $2
     ORDER BY a.attempt DESC LIMIT 1),
    (SELECT e.server_id FROM ended AS e WHERE e.id = $1 AND e.attempts = $2)
);

-- payload --
-- A task's owner, whether it was purged, and its payload.
SELECT t.owner, t.purged, b.body FROM task AS t LEFT JOIN payload AS b ON b.task_id = t.id WHERE t.id = $1;

-- result --
-- A task's owner, whether it was purged, and its result.
SELECT t.owner, t.purged, b.body FROM task AS t LEFT JOIN result AS b ON b.task_id = t.id WHERE t.id = $1;

-- resubmitted_as --
-- The newest task that repeats a task.
SELECT t.id FROM task AS t WHERE t.resubmit_of = $1 ORDER BY t.id DESC LIMIT 1;

-- resubmitted_by --
-- The newest task of an owner that repeats a task.
SELECT t.id FROM task AS t WHERE t.resubmit_of = $1 AND t.owner = $2 ORDER BY t.id DESC LIMIT 1;

-- ready_between --
-- How many ready tasks of a flow stand between two ranks, up to some number.
SELECT count(*) FROM (
    SELECT 1 FROM queue AS q
    WHERE q.lane = $1 AND q.limit_key = $2 AND q.avoid = $3 AND q.due_at IS NULL AND q.rank >= $4 AND q.rank < $5
    LIMIT $6
) AS r;

-- stats_of_scope --
-- The counters of a scope within some hours, in order of hour.
SELECT
    s.hour, s.scope, s.key, sum(s.created)::bigint, sum(s.completed)::bigint, sum(s.failed)::bigint,
    sum(s.cancelled)::bigint, sum(s.timed_out)::bigint, sum(s.retried)::bigint, sum(s.attempts_ok)::bigint,
    sum(s.attempts_failed)::bigint, sum(s.run_ms)::bigint, sum(s.responses)::bigint, sum(s.response_ms)::bigint,
    sum(s.waits)::bigint, sum(s.wait_ms)::bigint, sum(s.online_ms)::bigint, max(s.last_at)
FROM stats_all AS s WHERE s.scope = $1 AND s.hour >= $2 AND s.hour < $3
GROUP BY s.hour, s.scope, s.key ORDER BY s.hour, s.key;

-- stats_of_key --
-- The counters of one key within some hours, in order of hour.
SELECT
    s.hour, s.scope, s.key, sum(s.created)::bigint, sum(s.completed)::bigint, sum(s.failed)::bigint,
    sum(s.cancelled)::bigint, sum(s.timed_out)::bigint, sum(s.retried)::bigint, sum(s.attempts_ok)::bigint,
    sum(s.attempts_failed)::bigint, sum(s.run_ms)::bigint, sum(s.responses)::bigint, sum(s.response_ms)::bigint,
    sum(s.waits)::bigint, sum(s.wait_ms)::bigint, sum(s.online_ms)::bigint, max(s.last_at)
FROM stats_all AS s WHERE s.scope = $1 AND s.key = $2 AND s.hour >= $3 AND s.hour < $4
GROUP BY s.hour, s.scope, s.key ORDER BY s.hour;

-- stats_total --
-- The sums of one key's counters over all hours, and its latest time.
SELECT
    coalesce(sum(created), 0)::bigint, coalesce(sum(completed), 0)::bigint, coalesce(sum(failed), 0)::bigint,
    coalesce(sum(cancelled), 0)::bigint, coalesce(sum(timed_out), 0)::bigint, coalesce(sum(retried), 0)::bigint,
    coalesce(sum(attempts_ok), 0)::bigint, coalesce(sum(attempts_failed), 0)::bigint, coalesce(sum(run_ms), 0)::bigint,
    coalesce(sum(responses), 0)::bigint, coalesce(sum(response_ms), 0)::bigint, coalesce(sum(waits), 0)::bigint,
    coalesce(sum(wait_ms), 0)::bigint, coalesce(sum(online_ms), 0)::bigint, coalesce(max(last_at), 0)
FROM stats_all WHERE scope = $1 AND key = $2;

-- audit --
-- The newest audit rows.
SELECT a.at, a.who, a.action, a.target, a.details FROM audit AS a ORDER BY a.id DESC LIMIT $1;

-- series_of --
-- What happened in spans of a length that began from a time on and before another, the oldest first.
SELECT s.* FROM series AS s WHERE s.step = $1 AND s.at >= $2 AND s.at < $3 ORDER BY s.at;

-- series_before --
-- The last span of a length that began before a time.
SELECT s.* FROM series AS s WHERE s.step = $1 AND s.at < $2 ORDER BY s.at DESC LIMIT 1;

-- failures_of_all --
-- The failures of all owners from an hour on.
SELECT f.* FROM failure_group AS f WHERE f.hour >= $1 ORDER BY f.hour, f.owner, f.id;

-- failures_of_owner --
-- The failures of an owner from an hour on.
SELECT f.* FROM failure_group AS f WHERE f.owner = $1 AND f.hour >= $2 ORDER BY f.hour, f.id;

-- last_failure_of_all --
-- When something failed last.
SELECT max(f.last_at) FROM failure_group AS f WHERE f.hour = (SELECT max(m.hour) FROM failure_group AS m);

-- last_failure_of_owner --
-- When something of an owner failed last.
SELECT max(f.last_at) FROM failure_group AS f
WHERE f.owner = $1 AND f.hour = (SELECT max(m.hour) FROM failure_group AS m WHERE m.owner = f.owner);

-- facets --
-- The values of a field from a text on and before another, in order.
SELECT f.value FROM facet AS f
WHERE f.field = $1 AND f.owner = $2 AND f.value >= $3 AND f.value < $4 ORDER BY f.value LIMIT $5;

-- health_of_all --
-- The changes of all servers' status from a time on, the newest first.
SELECT h.* FROM server_health AS h WHERE h.at >= $1 ORDER BY h.at DESC, h.server_id DESC LIMIT $2;

-- health_of --
-- The changes of a server's status from a time on, the newest first.
SELECT h.* FROM server_health AS h WHERE h.server_id = $1 AND h.at >= $2 ORDER BY h.at DESC LIMIT $3;

-- health_before_of --
-- The last change of a server's status before a time.
SELECT h.* FROM server_health AS h WHERE h.server_id = $1 AND h.at < $2 ORDER BY h.at DESC LIMIT 1;

-- health_before --
-- The last change of each registered server's status before a time.
SELECT h.* FROM server AS s JOIN server_health AS h ON h.server_id = s.id
    AND h.at = (SELECT max(m.at) FROM server_health AS m WHERE m.server_id = s.id AND m.at < $1);

-- loads_of --
-- A server's spans from a time on, the oldest first.
SELECT l.* FROM server_load AS l WHERE l.server_id = $1 AND l.at >= $2 ORDER BY l.at;

-- load_sums --
-- The sums of each registered server's spans from a time on and before another.
SELECT
    l.server_id, sum(l.picks)::bigint, sum(l.completed)::bigint, sum(l.failed)::bigint, sum(l.run_ms)::bigint
FROM server_load AS l WHERE l.at >= $1 AND l.at < $2 AND EXISTS (SELECT 1 FROM server AS s WHERE s.id = l.server_id)
GROUP BY l.server_id;

-- audit_of_all --
-- Audit rows below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a WHERE a.id < $1 ORDER BY a.id DESC LIMIT $2;

-- audit_of_who --
-- Audit rows of a subject below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a
WHERE a.who = $1 AND a.id < $2 ORDER BY a.id DESC LIMIT $3;

-- audit_of_target --
-- Audit rows of a target below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a
WHERE a.target = $1 AND a.id < $2 ORDER BY a.id DESC LIMIT $3;

-- alive --
-- Whether the database answers, and whether it is a standby that cannot be written.
SELECT pg_is_in_recovery()::int;
