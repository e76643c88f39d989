-- Where lists find their tasks: each statement reads one index, newest first, from an id (not included) down to another
-- (included), and gives what the filters need. The statements of one list differ only in their first parameter.

-- list_all --
-- All tasks.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_id --
-- One task.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.id = ? AND l.id < ? AND l.id >= ? LIMIT ?;

-- list_by_owner --
-- The tasks of an owner.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.owner = ? AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_type --
-- The tasks of a type.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.type = ? AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_lane --
-- The tasks of a lane.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.lane = ? AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_status --
-- The tasks that ended with a status.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.end_status = ? AND l.end_status >= 2 AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_server --
-- The tasks whose last attempt was on a server.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.end_server = ? AND l.id < ? AND l.id >= ? ORDER BY l.id DESC LIMIT ?;

-- list_by_tag --
-- The tasks that carry a tag.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM task_tag AS g JOIN listed AS l ON l.id = g.task_id
WHERE g.tag = ? AND g.task_id < ? AND g.task_id >= ? ORDER BY g.task_id DESC LIMIT ?;

-- list_by_failure --
-- The tasks of a group of failures.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM failed_task AS f JOIN listed AS l ON l.id = f.task_id
WHERE f.failure = ? AND f.task_id < ? AND f.task_id >= ? ORDER BY f.task_id DESC LIMIT ?;

-- list_queued --
-- The tasks that wait.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM queue AS q JOIN listed AS l ON l.id = q.task_id
WHERE q.task_id < ? AND q.task_id >= ? ORDER BY q.task_id DESC LIMIT ?;

-- list_running --
-- The tasks that run.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM run AS r JOIN listed AS l ON l.id = r.task_id
WHERE r.linger_until IS NULL AND r.task_id < ? AND r.task_id >= ? ORDER BY r.task_id DESC LIMIT ?;

-- list_running_on --
-- The tasks that run on a server.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM run AS r JOIN listed AS l ON l.id = r.task_id
WHERE r.server_id = ? AND r.linger_until IS NULL AND r.task_id < ? AND r.task_id >= ? ORDER BY r.task_id DESC LIMIT ?;

-- type_from --
-- The first type at or after a text.
SELECT t.type FROM task AS t WHERE t.type >= ? ORDER BY t.type LIMIT 1;

-- type_after --
-- The first type after a text.
SELECT t.type FROM task AS t WHERE t.type > ? ORDER BY t.type LIMIT 1;

-- lanes_with --
-- The lanes that require a capability.
SELECT DISTINCT l.id FROM lane AS l
JOIN json_each(CASE WHEN json_valid(l.capabilities) THEN l.capabilities ELSE '[]' END) AS c ON c.value = ?;
