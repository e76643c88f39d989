-- Where lists find their tasks: each statement reads one index, newest first, from an id (not included) down to another
-- (included), and gives what the filters need. The statements of one list differ only in their first parameter.

-- list_all --
-- All tasks.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.id < $1 AND l.id >= $2 ORDER BY l.id DESC LIMIT $3;

-- list_by_id --
-- One task.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.id = $1 AND l.id < $2 AND l.id >= $3 LIMIT $4;

-- list_by_owner --
-- The tasks of an owner.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.owner = $1 AND l.id < $2 AND l.id >= $3 ORDER BY l.id DESC LIMIT $4;

-- list_by_type --
-- The tasks of a type.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.type = $1 AND l.id < $2 AND l.id >= $3 ORDER BY l.id DESC LIMIT $4;

-- list_by_lane --
-- The tasks of a lane.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM listed AS l WHERE l.lane = $1 AND l.id < $2 AND l.id >= $3 ORDER BY l.id DESC LIMIT $4;

-- list_by_status --
-- The tasks that ended with a status.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM ended AS e JOIN listed AS l ON l.id = e.id
WHERE e.status = $1 AND e.id < $2 AND e.id >= $3 ORDER BY e.id DESC LIMIT $4;

-- list_by_server --
-- The tasks whose last attempt was on a server.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM ended AS e JOIN listed AS l ON l.id = e.id
WHERE e.server_id = $1 AND e.id < $2 AND e.id >= $3 ORDER BY e.id DESC LIMIT $4;

-- list_by_tag --
-- The tasks that carry a tag.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM task_tag AS g JOIN listed AS l ON l.id = g.task_id
WHERE g.tag = $1 AND g.task_id < $2 AND g.task_id >= $3 ORDER BY g.task_id DESC LIMIT $4;

-- list_by_failure --
-- The tasks of a group of failures.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM failed_task AS f JOIN listed AS l ON l.id = f.task_id
WHERE f.failure = $1 AND f.task_id < $2 AND f.task_id >= $3 ORDER BY f.task_id DESC LIMIT $4;

-- list_queued --
-- The tasks that wait.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM queue AS q JOIN listed AS l ON l.id = q.task_id
WHERE q.task_id < $1 AND q.task_id >= $2 ORDER BY q.task_id DESC LIMIT $3;

-- list_running --
-- The tasks that run.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM run AS r JOIN listed AS l ON l.id = r.task_id
WHERE r.linger_until IS NULL AND r.task_id < $1 AND r.task_id >= $2 ORDER BY r.task_id DESC LIMIT $3;

-- list_running_on --
-- The tasks that run on a server.
SELECT l.id, l.owner, l.type, l.lane, l.tags, l.status, l.server_id
FROM run AS r JOIN listed AS l ON l.id = r.task_id
WHERE r.server_id = $1 AND r.linger_until IS NULL AND r.task_id < $2 AND r.task_id >= $3 ORDER BY r.task_id DESC LIMIT $4;

-- type_from --
-- The first type at or after a text.
SELECT t.type FROM task AS t WHERE t.type >= $1 ORDER BY t.type LIMIT 1;

-- type_after --
-- The first type after a text.
SELECT t.type FROM task AS t WHERE t.type > $1 ORDER BY t.type LIMIT 1;

-- lanes_with --
-- The lanes that require a capability.
SELECT l.id FROM lane AS l WHERE jsonb_exists(l.capabilities::jsonb, $1);
