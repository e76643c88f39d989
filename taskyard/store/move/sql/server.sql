-- What a move asks of PostgreSQL. What stands in braces is filled in with names out of the schema.

-- columns --
-- The columns of all tables: the table and whether it has partitions, the name, the type, whether it may not be null,
-- whether it gets numbers by itself.
SELECT
    c.relname, c.relkind = 'p', a.attname, format_type(a.atttypid, NULL), a.attnotnull, a.attidentity <> ''
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname, a.attnum;

-- keys --
-- The columns of each primary key, in order.
SELECT c.relname, array_agg(a.attname::text ORDER BY array_position(i.indkey::smallint[], a.attnum))
FROM pg_class AS c
JOIN pg_index AS i ON i.indrelid = c.oid AND i.indisprimary
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
GROUP BY c.relname;

-- begin --
-- However long it takes, by the indexes, and on disk when it is committed.
SELECT set_config('statement_timeout', '0', true), set_config('synchronous_commit', 'on', true), go_by_index();

-- read --
-- A table in the order of its key.
COPY (SELECT {columns} FROM {table} AS t ORDER BY {key}) TO STDOUT;

-- read_on --
-- What comes behind a key.
COPY (SELECT {columns} FROM {table} AS t WHERE ({key}) > ({values}) ORDER BY {key}) TO STDOUT;

-- read_tasks --
-- Tasks with their ends, in the order of their ids.
COPY (SELECT {columns} FROM task AS t LEFT JOIN ended AS e ON e.id = t.id ORDER BY {key}) TO STDOUT;

-- read_tasks_on --
-- Tasks with their ends behind an id.
COPY (
    SELECT {columns} FROM task AS t LEFT JOIN ended AS e ON e.id = t.id WHERE ({key}) > ({values}) ORDER BY {key}
) TO STDOUT;

-- whole --
-- A table as it is, for the comparison.
SELECT t.* FROM {table} AS t ORDER BY {key};

-- whole_tasks --
-- Tasks with their ends, for the comparison.
SELECT e.*, t.* FROM task AS t LEFT JOIN ended AS e ON e.id = t.id ORDER BY t.id;

-- count --
-- How many rows there are.
SELECT count(*) FROM {table};

-- any --
-- Whether there is a row.
SELECT EXISTS (SELECT FROM {table});

-- put --
-- Rows.
COPY {table} ({columns}) FROM STDIN;

-- go_on_from --
-- The next number is the one after the greatest.
SELECT setval(pg_get_serial_sequence({name}, {identity}), greatest((SELECT max({column}) FROM {table}), 1));

-- analyze --
-- Let the planner know what there is.
ANALYZE {table};

-- empty --
-- All rows gone.
TRUNCATE {table};

-- days --
-- The days that have partitions.
SELECT d.start FROM day AS d;

-- make_day --
-- Make the partitions of the day that begins at a ms.
SELECT make_day(%s::bigint);

-- read_mark --
-- The mark of a move.
SELECT y.value FROM yard AS y WHERE y.name = 'move';

-- first_mark --
-- The mark at the beginning. No row when there is one.
INSERT INTO yard (name, value) VALUES ('move', %s) ON CONFLICT (name) DO NOTHING RETURNING 1;

-- set_mark --
-- How far a move is. No row when its mark is not there.
UPDATE yard SET value = %s WHERE name = 'move' AND value::json ->> 'move' = %s RETURNING 1;

-- drop_mark --
-- The end of the move.
DELETE FROM yard WHERE name = 'move';

-- take_lease --
-- Become the decider, if nobody is or only one that is dead: who holds it, and for how many ms more.
SELECT l.holder, l.wait_ms FROM take_lease(%s, %s::bigint, %s) AS l;

-- nodes --
-- For how many ms more the node that was seen last may be alive, when one is seen every so many ms.
SELECT coalesce(max(extract(epoch FROM n.seen_at - clock_timestamp()) * 1000 + %s::bigint), 0)::bigint FROM node AS n;

-- keep_lease --
-- For a thousand years, or until the move ends, no node takes it. No row when another has it.
UPDATE lease_beat SET expires_at = clock_timestamp() + interval '1000 years'
WHERE name = 'decider' AND EXISTS (SELECT FROM lease AS l WHERE l.name = 'decider' AND l.node = %s)
RETURNING 1;

-- leave_lease --
-- Any node may take it now.
UPDATE lease SET node = '' WHERE name = 'decider' AND node = %s;

-- end_taking --
-- Wait for what nodes take in just now; what they begin from now on waits for the end of this transaction.
SELECT pg_advisory_xact_lock(lock_key('taking'));

-- left --
-- What the tables that are moved do not hold yet: counters to be rolled up, and what waits for a decider.
SELECT
    (SELECT count(*) FROM stats_part AS p WHERE p.id > (SELECT r.last FROM stats_rolled AS r)),
    (SELECT count(*) FROM inbox);

-- sealed --
-- The encrypted apiKeys.
SELECT s.id, s.api_key FROM server AS s WHERE s.api_key IS NOT NULL;

-- live --
-- How many tasks wait, how many run, and how many of these were accepted.
SELECT
    (SELECT count(*) FROM queue), (SELECT count(*) FROM run AS r WHERE r.linger_until IS NULL),
    (SELECT count(*) FROM run AS r WHERE r.linger_until IS NULL AND r.accepted = 1);
