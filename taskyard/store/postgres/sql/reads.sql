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

-- alive --
-- Whether the database answers, and whether it is a standby that cannot be written.
SELECT pg_is_in_recovery()::int;
