-- What `taskyard check` asks: each statement finds rows that contradict others, and counters that contradict rows. None
-- of them has anything in common with the statements that write; each takes how many to give.

-- check_bodies --
-- Payloads and results are JSON in UTF-8.
SELECT b.name || ' of ' || b.task_id FROM (
    SELECT 'payload' AS name, p.task_id, p.body FROM payload AS p
    UNION ALL SELECT 'result', r.task_id, r.body FROM result AS r
) AS b
WHERE NOT is_text(CAST(b.body AS BLOB)) OR NOT json_valid(b.body)
LIMIT ?;

-- check_json --
-- Lists and objects are JSON.
SELECT j.place FROM (
    SELECT 'capabilities of ' || t.id AS place, t.capabilities AS body FROM task AS t
    UNION ALL SELECT 'tags of ' || t.id, t.tags FROM task AS t WHERE t.tags IS NOT NULL
    UNION ALL SELECT 'metadata of ' || t.id, t.metadata FROM task AS t WHERE t.metadata IS NOT NULL
    UNION ALL SELECT 'lane ' || l.id, l.capabilities FROM lane AS l
    UNION ALL SELECT 'capabilities of server ' || s.id, s.capabilities FROM server AS s
    UNION ALL SELECT 'groups of server ' || s.id, s.groups FROM server AS s
    UNION ALL SELECT 'averages of server ' || s.id, s.averages FROM server AS s
    UNION ALL SELECT 'minutes of failures ' || f.id, f.minutes FROM failure_group AS f
    UNION ALL SELECT 'servers of failures ' || f.id, f.servers FROM failure_group AS f
    UNION ALL SELECT 'samples of failures ' || f.id, f.samples FROM failure_group AS f
    UNION ALL SELECT 'outcomes at server ' || s.server_id, s.outcomes FROM server_load AS s
) AS j
WHERE NOT json_valid(j.body)
LIMIT ?;

-- check_text --
-- All text but payloads and results is UTF-8.
SELECT x.place FROM (
    SELECT t.id AS place, t.id || ' ' || t.owner || ' ' || t.type || ' ' || t.capabilities || ' ' || t.group_name || ' '
        || t.pin || ' ' || coalesce(t.tags, '') || ' ' || coalesce(t.metadata, '') || ' ' || coalesce(t.resubmit_of, '')
        || ' ' || coalesce(t.traceparent, '') || ' ' || coalesce(t.server_id, '') || ' ' || coalesce(t.error, '') || ' '
        || coalesce(t.error_code, '') || ' ' || coalesce(t.error_details, '') || ' ' || coalesce(t.result_metadata, '')
        || ' ' || coalesce(t.message, '') AS body FROM task AS t
    UNION ALL SELECT 'queue: ' || q.task_id, q.task_id || ' ' || q.owner || ' ' || q.limit_key || ' ' || q.avoid || ' '
        || q.last_server || ' ' || coalesce(q.last_outcome, '') FROM queue AS q
    UNION ALL SELECT 'run: ' || r.task_id, r.task_id || ' ' || r.server_id || ' ' || r.node || ' ' || r.avoid || ' '
        || coalesce(r.message, '') FROM run AS r
    UNION ALL SELECT 'history: ' || a.task_id, a.task_id || ' ' || a.server_id || ' ' || a.outcome || ' '
        || coalesce(a.error, '') || ' ' || coalesce(a.metadata, '') FROM attempt AS a
    UNION ALL SELECT 'tag of ' || g.task_id, g.tag || ' ' || g.task_id FROM task_tag AS g
    UNION ALL SELECT 'group of failures of ' || f.task_id, f.task_id || ' ' || f.failure FROM failed_task AS f
    UNION ALL SELECT 'lane ' || l.id, l.capabilities || ' ' || l.group_name || ' ' || l.pin FROM lane AS l
    UNION ALL SELECT 'server ' || s.id, s.id || ' ' || s.name || ' ' || s.owner || ' ' || s.predict || ' ' || s.health_url
        || ' ' || coalesce(s.metrics_url, '') || ' ' || coalesce(s.cancel_url, '') || ' ' || coalesce(s.api_key, '')
        || ' ' || s.capabilities || ' ' || s.groups || ' ' || coalesce(s.maintenance_reason, '') || ' ' || s.state || ' '
        || s.averages FROM server AS s
    UNION ALL SELECT 'key ' || i.key, i.owner || ' ' || i.key || ' ' || i.hash || ' ' || i.task_id FROM idempotency AS i
    UNION ALL SELECT 'setting ' || s.name, s.name || ' ' || s.value FROM setting AS s
    UNION ALL SELECT 'audit ' || a.id, a.who || ' ' || a.action || ' ' || a.target || ' ' || coalesce(a.details, '')
        FROM audit AS a
    UNION ALL SELECT 'counters of ' || c.scope || ' ' || c.key, c.scope || ' ' || c.key FROM stats_hour AS c
    UNION ALL SELECT 'figures at ' || s.at, s.waits || ' ' || s.runs FROM series AS s
    UNION ALL SELECT 'failures ' || f.id, f.owner || ' ' || f.id || ' ' || f.type || ' ' || f.outcome || ' '
        || coalesce(f.error_code, '') || ' ' || f.error || ' ' || f.minutes || ' ' || f.servers || ' ' || f.samples
        FROM failure_group AS f
    UNION ALL SELECT 'health of ' || h.server_id, h.server_id || ' ' || h.status || ' ' || coalesce(h.reason, '')
        FROM server_health AS h
    UNION ALL SELECT 'load of ' || l.server_id, l.server_id || ' ' || l.outcomes FROM server_load AS l
    UNION ALL SELECT 'facet ' || f.value, f.field || ' ' || f.owner || ' ' || f.value FROM facet AS f
) AS x
WHERE NOT is_text(CAST(x.body AS BLOB))
LIMIT ?;

-- check_words --
-- States and outcomes are words that there are.
SELECT w.place FROM (
    SELECT q.task_id AS place, q.last_outcome AS word FROM queue AS q WHERE q.last_outcome IS NOT NULL
    UNION ALL SELECT a.task_id, a.outcome FROM attempt AS a
) AS w
WHERE w.word NOT IN (
    'completed', 'failed', 'timeout', 'declined', 'unreached', 'misconfigured', 'lost', 'cancelled'
)
UNION ALL
SELECT 'server ' || s.id FROM server AS s WHERE s.state NOT IN ('initializing', 'online', 'degraded', 'offline')
LIMIT ?;

-- check_adrift --
-- A task that has not ended waits or runs, and not both.
SELECT t.id FROM task AS t
WHERE t.status = 0 AND
    (SELECT count(*) FROM queue AS q WHERE q.task_id = t.id)
    + (SELECT count(*) FROM run AS r WHERE r.task_id = t.id AND r.linger_until IS NULL) <> 1
LIMIT ?;

-- check_undead --
-- What waits or runs is a task that has not ended.
SELECT u.task_id FROM (
    SELECT q.task_id FROM queue AS q UNION ALL SELECT r.task_id FROM run AS r WHERE r.linger_until IS NULL
) AS u LEFT JOIN task AS t ON t.id = u.task_id
WHERE t.id IS NULL OR t.status <> 0
LIMIT ?;

-- check_queue --
-- What waits has its task's owner and lane, and there is such a lane.
SELECT q.task_id FROM queue AS q
JOIN task AS t ON t.id = q.task_id
LEFT JOIN lane AS l ON l.id = q.lane
WHERE q.owner <> t.owner OR q.lane <> t.lane OR l.id IS NULL
LIMIT ?;

-- check_places --
-- No two tasks that have not ended have the same place (the low 48 bits of a rank).
SELECT min(p.task_id) FROM (
    SELECT q.task_id, q.rank & 281474976710655 AS place FROM queue AS q
    UNION ALL SELECT r.task_id, r.rank & 281474976710655 FROM run AS r WHERE r.linger_until IS NULL
) AS p GROUP BY p.place HAVING count(*) > 1
LIMIT ?;

-- check_runs --
-- What runs, runs on a server that there is.
SELECT r.task_id FROM run AS r LEFT JOIN server AS s ON s.id = r.server_id
WHERE r.linger_until IS NULL AND s.id IS NULL
LIMIT ?;

-- check_payloads --
-- A task has a payload, unless it was purged.
SELECT t.id FROM task AS t LEFT JOIN payload AS p ON p.task_id = t.id
WHERE (p.task_id IS NULL) <> (t.purged = 1)
LIMIT ?;

-- check_results --
-- A task has a result when it completed and was not purged, and otherwise none.
SELECT t.id FROM task AS t LEFT JOIN result AS r ON r.task_id = t.id
WHERE (r.task_id IS NOT NULL) <> (t.status = 2 AND t.purged = 0)
LIMIT ?;

-- check_orphans --
-- Payloads, results, history and tags are of tasks that there are.
SELECT o.task_id FROM (
    SELECT p.task_id FROM payload AS p UNION ALL SELECT r.task_id FROM result AS r
    UNION ALL SELECT a.task_id FROM attempt AS a UNION ALL SELECT g.task_id FROM task_tag AS g
) AS o LEFT JOIN task AS t ON t.id = o.task_id
WHERE t.id IS NULL
LIMIT ?;

-- check_ends --
-- A task that has ended says when, one that has not does not.
SELECT t.id FROM task AS t
WHERE t.status NOT IN (0, 2, 3, 4, 5) OR (t.completed_at IS NOT NULL) <> (t.status <> 0)
LIMIT ?;

-- check_history --
-- A history entry counts its attempts, and no two entries of a task overlap.
SELECT a.task_id FROM attempt AS a
WHERE a.count <> a.last - a.attempt + 1 OR EXISTS (
    SELECT 1 FROM attempt AS b WHERE b.task_id = a.task_id AND b.attempt > a.attempt AND b.attempt <= a.last
)
LIMIT ?;

-- check_tags --
-- Each tag of a task stands in the index of tags.
SELECT t.id FROM task AS t JOIN json_each(t.tags) AS j LEFT JOIN task_tag AS g ON g.tag = j.value AND g.task_id = t.id
WHERE g.tag IS NULL
LIMIT ?;

-- check_tags_of --
-- Each tag in the index of tags is one of its task.
SELECT g.task_id FROM task_tag AS g JOIN task AS t ON t.id = g.task_id
WHERE NOT EXISTS (SELECT 1 FROM json_each(coalesce(t.tags, '[]')) AS j WHERE j.value = g.tag)
LIMIT ?;

-- check_yard --
-- In each hour the yard's counters are the sums of the types'.
SELECT 'hour ' || h.hour FROM (
    SELECT s.*, CASE s.scope WHEN 'yard' THEN 1 ELSE -1 END AS sign FROM stats_hour AS s WHERE s.scope IN ('yard', 'type')
) AS h GROUP BY h.hour
HAVING sum(sign * created) <> 0 OR sum(sign * completed) <> 0 OR sum(sign * failed) <> 0 OR sum(sign * cancelled) <> 0
    OR sum(sign * timed_out) <> 0 OR sum(sign * retried) <> 0 OR sum(sign * attempts_ok) <> 0
    OR sum(sign * attempts_failed) <> 0 OR sum(sign * run_ms) <> 0 OR sum(sign * responses) <> 0
    OR sum(sign * response_ms) <> 0 OR sum(sign * waits) <> 0 OR sum(sign * wait_ms) <> 0
LIMIT ?;

-- check_servers --
-- In each hour the yard's counters of attempts are the sums of the servers'.
SELECT 'hour ' || h.hour FROM (
    SELECT s.*, CASE s.scope WHEN 'yard' THEN 1 ELSE -1 END AS sign FROM stats_hour AS s WHERE s.scope IN ('yard', 'server')
) AS h GROUP BY h.hour
HAVING sum(sign * attempts_ok) <> 0 OR sum(sign * attempts_failed) <> 0 OR sum(sign * run_ms) <> 0
    OR sum(sign * responses) <> 0 OR sum(sign * response_ms) <> 0
LIMIT ?;

-- check_created --
-- Of each type so many tasks were counted as submitted as there are and were removed.
SELECT 'type ' || c.key || ': counted, but not there: ' || sum(c.n) FROM (
    SELECT s.key, s.created AS n FROM stats_hour AS s WHERE s.scope = 'type'
    UNION ALL SELECT s.key, -s.created FROM stats_hour AS s WHERE s.scope = 'removed'
    UNION ALL SELECT t.type, -count(*) FROM task AS t GROUP BY t.type
) AS c GROUP BY c.key HAVING sum(c.n) <> 0
LIMIT ?;

-- check_completed --
-- Of each type so many tasks were counted as completed as there are and were removed.
SELECT 'type ' || c.key || ': counted, but not there: ' || sum(c.n) FROM (
    SELECT s.key, s.completed AS n FROM stats_hour AS s WHERE s.scope = 'type'
    UNION ALL SELECT s.key, -s.completed FROM stats_hour AS s WHERE s.scope = 'removed'
    UNION ALL SELECT t.type, -sum(t.status = 2) FROM task AS t GROUP BY t.type
) AS c GROUP BY c.key HAVING sum(c.n) <> 0
LIMIT ?;

-- check_ended --
-- Of each type no fewer tasks were counted as failed, timed out, cancelled than there are and were removed; more were
-- when some of them were retried.
SELECT 'type ' || c.key FROM (
    SELECT s.key, s.failed AS f, s.timed_out AS o, s.cancelled AS c FROM stats_hour AS s WHERE s.scope = 'type'
    UNION ALL SELECT s.key, -s.failed, -s.timed_out, -s.cancelled FROM stats_hour AS s WHERE s.scope = 'removed'
    UNION ALL SELECT t.type, -sum(t.status = 3), -sum(t.status = 4), -sum(t.status = 5) FROM task AS t GROUP BY t.type
) AS c GROUP BY c.key HAVING sum(c.f) < 0 OR sum(c.o) < 0 OR sum(c.c) < 0
LIMIT ?;

-- check_hours --
-- In each hour no fewer tasks of a type were counted as ended than there are that ended then.
SELECT 'hour ' || c.hour || ', type ' || c.key FROM (
    SELECT s.hour, s.key, s.completed AS d, s.failed AS f, s.timed_out AS o, s.cancelled AS c
    FROM stats_hour AS s WHERE s.scope = 'type'
    UNION ALL
    SELECT t.completed_at / 3600000 AS hour, t.type, -sum(t.status = 2), -sum(t.status = 3), -sum(t.status = 4),
        -sum(t.status = 5)
    FROM task AS t WHERE t.completed_at IS NOT NULL GROUP BY 1, t.type
) AS c GROUP BY c.hour, c.key HAVING sum(c.d) < 0 OR sum(c.f) < 0 OR sum(c.o) < 0 OR sum(c.c) < 0
LIMIT ?;

-- check_kept --
-- By owner, and ('') in all, as many tasks are counted as kept as there are, by how they ended.
SELECT 'owner ' || quote(c.key) FROM (
    SELECT s.key, s.created AS n, s.completed AS d, s.failed AS f, s.timed_out AS o, s.cancelled AS c
    FROM stats_hour AS s WHERE s.scope = 'kept'
    UNION ALL
    SELECT t.owner, -count(*), -sum(t.status = 2), -sum(t.status = 3), -sum(t.status = 4), -sum(t.status = 5)
    FROM task AS t GROUP BY t.owner
    UNION ALL
    SELECT '', -count(*), -sum(t.status = 2), -sum(t.status = 3), -sum(t.status = 4), -sum(t.status = 5)
    FROM task AS t HAVING count(*) > 0
) AS c GROUP BY c.key HAVING sum(c.n) <> 0 OR sum(c.d) <> 0 OR sum(c.f) <> 0 OR sum(c.o) <> 0 OR sum(c.c) <> 0
LIMIT ?;

-- check_spans --
-- A span of 12 s is the sum of its seconds, but for the latest second, which is not over.
SELECT '12 s from ' || c.span FROM (
    SELECT s.at AS span, s.submitted AS n, s.completed AS d, s.failed AS f, s.timed_out AS o, s.cancelled AS c
    FROM series AS s WHERE s.step = 12000
    UNION ALL
    SELECT s.at / 12000 * 12000, -s.submitted, -s.completed, -s.failed, -s.timed_out, -s.cancelled
    FROM series AS s WHERE s.step = 1000 AND s.at < (SELECT max(l.at) FROM series AS l WHERE l.step = 1000)
) AS c WHERE c.span >= (SELECT min(e.at) FROM series AS e WHERE e.step = 1000)
GROUP BY c.span HAVING sum(c.n) <> 0 OR sum(c.d) <> 0 OR sum(c.f) <> 0 OR sum(c.o) <> 0 OR sum(c.c) <> 0
LIMIT ?;

-- check_long_spans --
-- A span of 288 s is the sum of its spans of 12 s, but for the latest one when it is not over.
SELECT '288 s from ' || c.span FROM (
    SELECT s.at AS span, s.submitted AS n, s.completed AS d, s.failed AS f, s.timed_out AS o, s.cancelled AS c
    FROM series AS s WHERE s.step = 288000
    UNION ALL
    SELECT s.at / 288000 * 288000, -s.submitted, -s.completed, -s.failed, -s.timed_out, -s.cancelled
    FROM series AS s WHERE s.step = 12000 AND s.at + 12000 <= (SELECT max(l.at) FROM series AS l WHERE l.step = 1000)
) AS c WHERE c.span >= (SELECT min(e.at) FROM series AS e WHERE e.step = 12000)
GROUP BY c.span HAVING sum(c.n) <> 0 OR sum(c.d) <> 0 OR sum(c.f) <> 0 OR sum(c.o) <> 0 OR sum(c.c) <> 0
LIMIT ?;

-- check_series --
-- What the series tell of an hour is what the yard's counters do, as far back as the series go.
SELECT 'hour ' || c.hour FROM (
    SELECT s.hour, s.created AS n, s.completed AS d, s.failed AS f, s.timed_out AS o, s.cancelled AS c
    FROM stats_hour AS s WHERE s.scope = 'yard'
    UNION ALL
    SELECT s.at / 3600000, -s.submitted, -s.completed, -s.failed, -s.timed_out, -s.cancelled
    FROM series AS s WHERE s.step = 12000
    UNION ALL
    SELECT s.at / 3600000, -s.submitted, -s.completed, -s.failed, -s.timed_out, -s.cancelled
    FROM series AS s WHERE s.step = 1000 AND s.at = (SELECT max(l.at) FROM series AS l WHERE l.step = 1000)
) AS c WHERE c.hour * 3600000 > (SELECT min(e.at) FROM series AS e WHERE e.step = 12000)
GROUP BY c.hour HAVING sum(c.n) <> 0 OR sum(c.d) <> 0 OR sum(c.f) <> 0 OR sum(c.o) <> 0 OR sum(c.c) <> 0
LIMIT ?;

-- check_failures --
-- The groups of failures of an hour have as many tasks as failed or timed out in it, as far back as the groups go.
SELECT 'hour ' || c.hour FROM (
    SELECT g.hour, g.tasks AS n FROM failure_group AS g
    UNION ALL SELECT s.hour, -s.failed - s.timed_out FROM stats_hour AS s WHERE s.scope = 'yard'
) AS c WHERE c.hour > (SELECT min(e.hour) FROM failure_group AS e)
GROUP BY c.hour HAVING sum(c.n) <> 0
LIMIT ?;

-- check_groups --
-- A group of failures has its tasks by minute, its attempts by server, and a failure for each attempt at least.
SELECT 'hour ' || g.hour || ', group ' || g.id FROM failure_group AS g
WHERE g.tasks <> (SELECT coalesce(sum(json_extract(m.value, '$[0]')), 0) FROM json_each(g.minutes) AS m)
    OR g.attempts <> (SELECT coalesce(sum(v.value), 0) FROM json_each(g.servers) AS v)
    OR g.attempts > (SELECT coalesce(sum(json_extract(m.value, '$[1]')), 0) FROM json_each(g.minutes) AS m)
LIMIT ?;

-- check_failed --
-- Of a group is what failed or timed out, and nothing else; as far back as the groups go each such task is of one.
SELECT coalesce(t.id, f.task_id) FROM failed_task AS f LEFT JOIN task AS t ON t.id = f.task_id
WHERE t.id IS NULL OR t.status NOT IN (3, 4)
UNION ALL
SELECT t.id FROM task AS t LEFT JOIN failed_task AS f ON f.task_id = t.id
WHERE t.status IN (3, 4) AND f.task_id IS NULL
    AND t.completed_at / 3600000 > (SELECT min(e.hour) FROM failure_group AS e)
LIMIT ?;

-- check_loads --
-- A server has no more slots in use than it has, and as many completed and failed attempts as their types together.
SELECT 'server ' || l.server_id || ' from ' || l.at FROM server_load AS l
WHERE l.busy_ms > l.slot_ms
    OR l.completed <> (SELECT coalesce(sum(json_extract(o.value, '$[0]')), 0) FROM json_each(l.outcomes) AS o)
    OR l.failed <> (
        SELECT coalesce(sum(json_extract(o.value, '$[1]') + json_extract(o.value, '$[2]')), 0)
        FROM json_each(l.outcomes) AS o
    )
LIMIT ?;

-- check_counts --
-- How many tasks wait, run, and have ended.
SELECT
    (SELECT count(*) FROM queue), (SELECT count(*) FROM run AS r WHERE r.linger_until IS NULL),
    (SELECT count(*) FROM task AS t WHERE t.completed_at IS NOT NULL);
