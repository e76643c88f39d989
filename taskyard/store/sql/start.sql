-- What a start reads, and what the sweep removes.

-- readable --
-- A row of each table with data worth keeping: a table that is missing or broken at its root shows.
SELECT
    (SELECT t.id FROM task AS t LIMIT 1), (SELECT p.task_id FROM payload AS p LIMIT 1),
    (SELECT r.task_id FROM result AS r LIMIT 1), (SELECT q.task_id FROM queue AS q LIMIT 1),
    (SELECT r.task_id FROM run AS r LIMIT 1), (SELECT a.task_id FROM attempt AS a LIMIT 1),
    (SELECT g.tag FROM task_tag AS g LIMIT 1), (SELECT s.id FROM server AS s LIMIT 1),
    (SELECT h.hour FROM stats_hour AS h LIMIT 1), (SELECT i.key FROM idempotency AS i LIMIT 1),
    (SELECT s.name FROM setting AS s LIMIT 1), (SELECT a.id FROM audit AS a LIMIT 1);

-- servers --
-- All servers.
SELECT s.* FROM server AS s;

-- settings --
-- All settings.
SELECT s.name, s.value FROM setting AS s;

-- flows --
-- How many tasks each flow holds, how many of them are ready, and the greatest place (the low 48 bits of a rank).
SELECT q.lane, q.limit_key, q.avoid, count(*), count(*) - count(q.due_at), max(q.rank & 281474976710655)
FROM queue AS q GROUP BY q.lane, q.limit_key, q.avoid;

-- owners --
-- How many tasks each owner has in the queue.
SELECT q.owner, count(*) FROM queue AS q GROUP BY q.owner;

-- lanes --
-- A list of lanes.
SELECT l.* FROM json_each(?) AS j JOIN lane AS l ON l.id = j.value;

-- lane_of_tasks --
-- A lane as the tasks that wait in it tell of it.
SELECT q.lane, t.capabilities, t.group_name, t.pin
FROM queue AS q JOIN task AS t ON t.id = q.task_id WHERE q.lane = ? LIMIT ?;

-- runs --
-- All attempts that hold a slot; the tasks of those that were given up may be gone.
SELECT r.*, t.* FROM run AS r LEFT JOIN task AS t ON t.id = r.task_id AND r.linger_until IS NULL;

-- last_created --
-- The time of the newest task.
SELECT t.created_at FROM task AS t ORDER BY t.id DESC LIMIT 1;

-- last_ended --
-- The latest end of a task.
SELECT max(t.completed_at) FROM task AS t WHERE t.completed_at IS NOT NULL;

-- last_audited --
-- The time of the newest audit row.
SELECT a.at FROM audit AS a ORDER BY a.id DESC LIMIT 1;

-- last_counted --
-- When something was last counted: a submission, the end of an attempt or of a task, those swept since included.
SELECT s.last_at FROM stats_hour AS s WHERE s.scope = 'yard' AND s.key = '' ORDER BY s.hour DESC LIMIT 1;

-- series_tail --
-- The latest spans of a length.
SELECT s.* FROM series AS s WHERE s.step = ? ORDER BY s.at DESC LIMIT ?;

-- failures_latest --
-- The failures of the latest hour that has some.
SELECT f.* FROM failure_group AS f WHERE f.hour = (SELECT max(m.hour) FROM failure_group AS m);

-- loads_latest --
-- All servers' latest span.
SELECT l.* FROM server_load AS l WHERE l.at = (SELECT max(m.at) FROM server_load AS m);

-- healths_latest --
-- The last change of each registered server's status.
SELECT h.* FROM server AS s JOIN server_health AS h ON h.server_id = s.id
    AND h.at = (SELECT max(m.at) FROM server_health AS m WHERE m.server_id = s.id);

-- last_health --
-- The latest change of a server's status.
SELECT max(h.at) FROM server_health AS h;

-- series_forget --
-- Spans of a length that began before a time, the oldest first; but the latest, which no longer one has yet.
DELETE FROM series WHERE (step, at) IN (
    SELECT s.step, s.at FROM series AS s
    WHERE s.step = ? AND s.at < ? AND EXISTS (SELECT 1 FROM series AS l WHERE l.step = s.step AND l.at > s.at)
    ORDER BY s.at LIMIT ?
);

-- failures_forget --
-- Failures before an hour.
DELETE FROM failure_group WHERE (hour, owner, id) IN (
    SELECT f.hour, f.owner, f.id FROM failure_group AS f WHERE f.hour < ? ORDER BY f.hour LIMIT ?
);

-- health_forget --
-- Changes of servers' status before a time; the last one of a registered server stays.
DELETE FROM server_health WHERE (server_id, at) IN (
    SELECT h.server_id, h.at FROM server_health AS h
    WHERE h.at < ? AND (
        EXISTS (SELECT 1 FROM server_health AS n WHERE n.server_id = h.server_id AND n.at > h.at)
        OR NOT EXISTS (SELECT 1 FROM server AS s WHERE s.id = h.server_id)
    )
    ORDER BY h.at LIMIT ?
);

-- loads_forget --
-- Servers' spans before a time.
DELETE FROM server_load WHERE (server_id, at) IN (
    SELECT l.server_id, l.at FROM server_load AS l WHERE l.at < ? ORDER BY l.at LIMIT ?
);

-- facets_forget --
-- Values that were not seen since a time.
DELETE FROM facet WHERE (field, owner, value) IN (
    SELECT f.field, f.owner, f.value FROM facet AS f WHERE f.last_at < ? ORDER BY f.last_at LIMIT ?
);

-- audit_forget --
-- Audit rows before a time, the oldest first.
DELETE FROM audit WHERE id IN (
    SELECT a.id FROM audit AS a WHERE a.at < ? ORDER BY a.at LIMIT ?
);

-- ended_before --
-- Tasks that ended before a time, the oldest first, with their tags and what counted them.
SELECT t.id, t.tags, t.type, t.owner, t.status, t.completed_at FROM task AS t
WHERE t.completed_at < ? ORDER BY t.completed_at LIMIT ?;

-- task_delete --
-- Remove a task.
DELETE FROM task WHERE id = ?;

-- attempts_delete --
-- Remove a task's history.
DELETE FROM attempt WHERE task_id = ?;

-- tag_delete --
-- Remove one tag of a task.
DELETE FROM task_tag WHERE tag = ? AND task_id = ?;

-- keys_before --
-- Idempotency keys that expired before a time.
SELECT i.owner, i.key FROM idempotency AS i WHERE i.expires_at < ? ORDER BY i.expires_at LIMIT ?;

-- key_delete --
-- Remove an idempotency key.
DELETE FROM idempotency WHERE owner = ? AND key = ?;
