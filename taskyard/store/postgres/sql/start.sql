-- What a start reads, what the sweep removes, the lease, and what is known of the database.

-- begin_reading --
-- One state of the database for several reads.
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- hold_tables --
-- Let no hot table be written anew meanwhile: to a snapshot of before it would seem empty.
LOCK TABLE queue, run, stats_part IN ACCESS SHARE MODE;

-- go_by_index --
-- For the rest of the transaction, no plan but that by the indexes.
SELECT go_by_index();

-- end_reading --
-- The end of that.
COMMIT;

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
SELECT l.* FROM lane AS l WHERE l.id = ANY($1::bigint[]);

-- runs --
-- All attempts that hold a slot.
SELECT r.* FROM run AS r;

-- last_created --
-- The time of the newest task.
SELECT t.created_at FROM task AS t ORDER BY t.id DESC LIMIT 1;

-- last_ended --
-- The latest end of a task.
SELECT max(e.completed_at) FROM ended AS e;

-- last_audited --
-- The time of the newest audit row.
SELECT a.at FROM audit AS a ORDER BY a.id DESC LIMIT 1;

-- last_counted --
-- When something was last counted: a submission, the end of an attempt or of a task, those swept since included.
SELECT max(s.last_at) FROM stats_all AS s WHERE s.scope = 'yard' AND s.key = '';

-- series_tail --
-- The latest spans of a length.
SELECT s.* FROM series AS s WHERE s.step = $1 ORDER BY s.at DESC LIMIT $2;

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
WITH gone AS (DELETE FROM series WHERE (step, at) IN (
    SELECT s.step, s.at FROM series AS s
    WHERE s.step = $1 AND s.at < $2 AND EXISTS (SELECT 1 FROM series AS l WHERE l.step = s.step AND l.at > s.at)
    ORDER BY s.at LIMIT $3
) RETURNING 1) SELECT count(*) FROM gone;

-- failures_forget --
-- Failures before an hour.
WITH gone AS (DELETE FROM failure_group WHERE (hour, owner, id) IN (
    SELECT f.hour, f.owner, f.id FROM failure_group AS f WHERE f.hour < $1 ORDER BY f.hour LIMIT $2
) RETURNING 1) SELECT count(*) FROM gone;

-- health_forget --
-- Changes of servers' status before a time; the last one of a registered server stays.
WITH gone AS (DELETE FROM server_health WHERE (server_id, at) IN (
    SELECT h.server_id, h.at FROM server_health AS h
    WHERE h.at < $1 AND (
        EXISTS (SELECT 1 FROM server_health AS n WHERE n.server_id = h.server_id AND n.at > h.at)
        OR NOT EXISTS (SELECT 1 FROM server AS s WHERE s.id = h.server_id)
    )
    ORDER BY h.at LIMIT $2
) RETURNING 1) SELECT count(*) FROM gone;

-- loads_forget --
-- Servers' spans before a time.
WITH gone AS (DELETE FROM server_load WHERE (server_id, at) IN (
    SELECT l.server_id, l.at FROM server_load AS l WHERE l.at < $1 ORDER BY l.at LIMIT $2
) RETURNING 1) SELECT count(*) FROM gone;

-- facets_forget --
-- Values that were not seen since a time.
WITH gone AS (DELETE FROM facet WHERE (field, owner, value) IN (
    SELECT f.field, f.owner, f.value FROM facet AS f WHERE f.last_at < $1 ORDER BY f.last_at LIMIT $2
) RETURNING 1) SELECT count(*) FROM gone;

-- audit_forget --
-- Audit rows before a time, the oldest first.
WITH gone AS (DELETE FROM audit WHERE id IN (
    SELECT a.id FROM audit AS a WHERE a.at < $1 ORDER BY a.at LIMIT $2
) RETURNING 1) SELECT count(*) FROM gone;

-- count_kept --
-- What the sweep takes away from the tasks that are counted as kept, by owner and of all.
INSERT INTO stats_part (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
) SELECT
    0, 'kept', coalesce(t.owner, ''), -count(*), -count(*) FILTER (WHERE e.status = 2),
    -count(*) FILTER (WHERE e.status = 3), -count(*) FILTER (WHERE e.status = 5), -count(*) FILTER (WHERE e.status = 4),
    0, 0, 0, 0, 0, 0, 0, 0, 0, max(e.completed_at)
FROM task AS t JOIN ended AS e ON e.id = t.id AND e.id = ANY($1::text[])
WHERE t.id = ANY($1::text[]) GROUP BY GROUPING SETS ((t.owner), ()) HAVING count(*) > 0;

-- ended_between --
-- Tasks that ended from a time on and before another, the oldest first.
SELECT e.id, e.completed_at FROM ended AS e
WHERE e.completed_at >= $1 AND e.completed_at < $2 ORDER BY e.completed_at LIMIT $3;

-- count_removed --
-- What the sweep takes away from the tasks that the counters tell of, by type; under the hour 0.
INSERT INTO stats_part (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
) SELECT
    0, 'removed', t.type, count(*), count(*) FILTER (WHERE e.status = 2), count(*) FILTER (WHERE e.status = 3),
    count(*) FILTER (WHERE e.status = 5), count(*) FILTER (WHERE e.status = 4), 0, 0, 0, 0, 0, 0, 0, 0, 0,
    max(e.completed_at)
FROM task AS t JOIN ended AS e ON e.id = t.id AND e.id = ANY($1::text[])
WHERE t.id = ANY($1::text[]) GROUP BY t.type;

-- task_delete --
-- Remove tasks.
DELETE FROM task WHERE id = ANY($1::text[]);

-- tags_delete --
-- Remove the tags of tasks.
DELETE FROM task_tag AS g
USING task AS t, jsonb_array_elements_text(t.tags::jsonb) AS j (tag)
WHERE t.id = ANY($1::text[]) AND t.tags IS NOT NULL
    AND g.tag = j.tag AND g.task_id = t.id AND g.task_id = ANY($1::text[]);

-- attempts_delete --
-- Remove tasks' histories.
DELETE FROM attempt WHERE task_id = ANY($1::text[]);

-- keys_before --
-- Idempotency keys that expired from a time on and before another, the oldest first.
SELECT i.owner, i.key, i.expires_at FROM idempotency AS i
WHERE i.expires_at >= $1 AND i.expires_at < $2 ORDER BY i.expires_at LIMIT $3;

-- key_delete --
-- Remove idempotency keys.
DELETE FROM idempotency AS i USING unnest($1::text[], $2::text[]) AS n (owner, key)
WHERE i.owner = n.owner AND i.key = n.key;

-- days --
-- The days that have partitions.
SELECT d.start FROM day AS d;

-- day_now --
-- The database's time in ms.
SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint;

-- day_empty --
-- The oldest day of which no task is left, of those that end a day before a time or earlier: another node may still take
-- in a task that was named just before midnight. The server's own count, which may be wrong after a crash, tells where it
-- is worth looking: dead rows that an old snapshot keeps would be passed one by one.
SELECT d.start FROM day AS d
WHERE d.start + 2 * 86400000 <= $1
    AND pg_stat_get_live_tuples(to_regclass(partition_of('task', d.start))) = 0
    AND NOT EXISTS (SELECT FROM task AS t WHERE t.id >= d.low AND t.id < d.high)
ORDER BY d.start LIMIT 1;

-- drop_day --
-- Drop the partitions of a day, unless somebody reads from them.
SELECT drop_day($1::bigint)::int;

-- repack --
-- Write the live rows of swollen hot tables anew.
SELECT repack();

-- roll_up --
-- Add the counters of turns to those of their hours, and remember how far that went.
WITH part AS (
    DELETE FROM stats_part WHERE id > (SELECT r.last FROM stats_rolled AS r) RETURNING *
), rolled AS (
    UPDATE stats_rolled SET last = (SELECT max(p.id) FROM part AS p) WHERE EXISTS (SELECT FROM part)
)
INSERT INTO stats_hour (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
) SELECT
    p.hour, p.scope, p.key, sum(p.created), sum(p.completed), sum(p.failed), sum(p.cancelled), sum(p.timed_out),
    sum(p.retried), sum(p.attempts_ok), sum(p.attempts_failed), sum(p.run_ms), sum(p.responses), sum(p.response_ms),
    sum(p.waits), sum(p.wait_ms), sum(p.online_ms), max(p.last_at)
FROM part AS p GROUP BY p.hour, p.scope, p.key
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
    last_at = greatest(stats_hour.last_at, excluded.last_at);

-- take_lease --
-- Become the decider, if nobody is or only one that is dead: the new epoch or 0, who holds it, and for how many ms more.
SELECT epoch, holder, wait_ms FROM take_lease($1, $2::bigint, $3);

-- keep_lease --
-- Be the decider for so many ms more; no row when another node is.
UPDATE lease_beat SET expires_at = clock_timestamp() + $2::bigint * interval '1 ms'
WHERE name = 'decider' AND EXISTS (SELECT FROM lease AS l WHERE l.name = 'decider' AND l.epoch = $1::bigint)
RETURNING 1;

-- leave_lease --
-- Hand the right over: whoever comes next need not wait.
UPDATE lease SET node = '' WHERE name = 'decider' AND epoch = $1::bigint;

-- size --
-- The bytes of all tables and indexes.
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r';
