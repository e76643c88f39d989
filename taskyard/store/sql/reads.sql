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

-- series_of --
-- What happened in spans of a length that began from a time on and before another, the oldest first.
SELECT s.* FROM series AS s WHERE s.step = ? AND s.at >= ? AND s.at < ? ORDER BY s.at;

-- series_before --
-- The last span of a length that began before a time.
SELECT s.* FROM series AS s WHERE s.step = ? AND s.at < ? ORDER BY s.at DESC LIMIT 1;

-- failures_of_all --
-- The failures of all owners from an hour on.
SELECT f.* FROM failure_group AS f WHERE f.hour >= ? ORDER BY f.hour, f.owner, f.id;

-- failures_of_owner --
-- The failures of an owner from an hour on.
SELECT f.* FROM failure_group AS f WHERE f.owner = ? AND f.hour >= ? ORDER BY f.hour, f.id;

-- last_failure_of_all --
-- When something failed last.
SELECT max(f.last_at) FROM failure_group AS f WHERE f.hour = (SELECT max(m.hour) FROM failure_group AS m);

-- last_failure_of_owner --
-- When something of an owner failed last.
SELECT max(f.last_at) FROM failure_group AS f
WHERE f.owner = ? AND f.hour = (SELECT max(m.hour) FROM failure_group AS m WHERE m.owner = f.owner);

-- facets --
-- The values of a field from a text on and before another, in order.
SELECT f.value FROM facet AS f
WHERE f.field = ? AND f.owner = ? AND f.value >= ? AND f.value < ? ORDER BY f.value LIMIT ?;

-- health_of_all --
-- The changes of all servers' status from a time on, the newest first.
SELECT h.* FROM server_health AS h WHERE h.at >= ? ORDER BY h.at DESC, h.server_id DESC LIMIT ?;

-- health_of --
-- The changes of a server's status from a time on, the newest first.
SELECT h.* FROM server_health AS h WHERE h.server_id = ? AND h.at >= ? ORDER BY h.at DESC LIMIT ?;

-- health_before_of --
-- The last change of a server's status before a time.
SELECT h.* FROM server_health AS h WHERE h.server_id = ? AND h.at < ? ORDER BY h.at DESC LIMIT 1;

-- health_before --
-- The last change of each registered server's status before a time.
SELECT h.* FROM server AS s JOIN server_health AS h ON h.server_id = s.id
    AND h.at = (SELECT max(m.at) FROM server_health AS m WHERE m.server_id = s.id AND m.at < ?);

-- loads_of --
-- A server's spans from a time on, the oldest first.
SELECT l.* FROM server_load AS l WHERE l.server_id = ? AND l.at >= ? ORDER BY l.at;

-- load_sums --
-- The sums of each registered server's spans from a time on and before another.
SELECT s.id, sum(l.picks), sum(l.completed), sum(l.failed), sum(l.run_ms)
FROM server AS s CROSS JOIN server_load AS l ON l.server_id = s.id AND l.at >= ? AND l.at < ? GROUP BY s.id;

-- audit_of_all --
-- Audit rows below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a WHERE a.id < ? ORDER BY a.id DESC LIMIT ?;

-- audit_of_who --
-- Audit rows of a subject below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a
WHERE a.who = ? AND a.id < ? ORDER BY a.id DESC LIMIT ?;

-- audit_of_target --
-- Audit rows of a target below an id, the newest first.
SELECT a.id, a.at, a.who, a.action, a.target, a.details FROM audit AS a
WHERE a.target = ? AND a.id < ? ORDER BY a.id DESC LIMIT ?;

-- alive --
-- Whether the store answers.
SELECT count(*) FROM setting;
