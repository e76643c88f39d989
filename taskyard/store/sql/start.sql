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

-- ended_before --
-- Tasks that ended before a time, the oldest first, with their tags and what counted them.
SELECT t.id, t.tags, t.type, t.status, t.completed_at FROM task AS t WHERE t.completed_at < ? ORDER BY t.completed_at LIMIT ?;

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
