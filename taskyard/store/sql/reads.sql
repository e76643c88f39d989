-- What the API reads.

-- record --
-- A task with its live state.
SELECT t.*, q.*, r.*
FROM task AS t
LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL
WHERE t.id = ?;

-- history --
-- The history of a task, the oldest entry first.
SELECT a.* FROM attempt AS a WHERE a.task_id = ? ORDER BY a.attempt;

-- attempt_server --
-- The server of an attempt: that runs or lingers, was the last before the task was queued, is in the history, or the last.
SELECT coalesce(
    (SELECT r.server_id FROM run AS r WHERE r.task_id = ? AND r.attempt = ?),
    (SELECT q.last_server FROM queue AS q WHERE q.task_id = ? AND q.attempts = ? AND q.last_server <> ''),
    (SELECT a.server_id FROM attempt AS a WHERE a.task_id = ? AND a.attempt <= ? AND a.last >= ?
     ORDER BY a.attempt DESC LIMIT 1),
    (SELECT t.server_id FROM task AS t WHERE t.id = ? AND t.attempts = ?)
);

-- payload --
-- A task's owner, whether it was purged, and its payload.
SELECT t.owner, t.purged, b.body FROM task AS t LEFT JOIN payload AS b ON b.task_id = t.id WHERE t.id = ?;

-- result --
-- A task's owner, whether it was purged, and its result.
SELECT t.owner, t.purged, b.body FROM task AS t LEFT JOIN result AS b ON b.task_id = t.id WHERE t.id = ?;

-- resubmitted_as --
-- The newest task that repeats a task.
SELECT t.id FROM task AS t WHERE t.resubmit_of = ? ORDER BY t.id DESC LIMIT 1;

-- resubmitted_by --
-- The newest task of an owner that repeats a task.
SELECT t.id FROM task AS t WHERE t.resubmit_of = ? AND t.owner = ? ORDER BY t.id DESC LIMIT 1;

-- ready_between --
-- How many ready tasks of a flow stand between two ranks, up to some number.
SELECT count(*) FROM (
    SELECT 1 FROM queue AS q
    WHERE q.lane = ? AND q.limit_key = ? AND q.avoid = ? AND q.due_at IS NULL AND q.rank >= ? AND q.rank < ?
    LIMIT ?
) AS r;

-- stats_of_scope --
-- The counters of a scope within some hours, in order of hour.
SELECT s.* FROM stats_hour AS s WHERE s.scope = ? AND s.hour >= ? AND s.hour < ? ORDER BY s.hour, s.key;

-- stats_of_key --
-- The counters of one key within some hours, in order of hour.
SELECT s.* FROM stats_hour AS s WHERE s.scope = ? AND s.key = ? AND s.hour >= ? AND s.hour < ? ORDER BY s.hour;

-- stats_total --
-- The sums of one key's counters over all hours, and its latest time.
SELECT
    coalesce(sum(created), 0), coalesce(sum(completed), 0), coalesce(sum(failed), 0), coalesce(sum(cancelled), 0),
    coalesce(sum(timed_out), 0), coalesce(sum(retried), 0), coalesce(sum(attempts_ok), 0),
    coalesce(sum(attempts_failed), 0), coalesce(sum(run_ms), 0), coalesce(sum(responses), 0),
    coalesce(sum(response_ms), 0), coalesce(sum(waits), 0), coalesce(sum(wait_ms), 0), coalesce(sum(online_ms), 0),
    coalesce(max(last_at), 0)
FROM stats_hour WHERE scope = ? AND key = ?;

-- audit --
-- The newest audit rows.
SELECT a.at, a.who, a.action, a.target, a.details FROM audit AS a ORDER BY a.id DESC LIMIT ?;

-- alive --
-- Whether the store answers.
SELECT count(*) FROM setting;
