-- What is asked of a database before it is used, and the steps that bring it up to date.

-- surroundings --
-- What the server is and how it is set: whether it is a standby, its encoding, its fsync, how transactions are isolated,
-- the schema and the tables in it.
SELECT
    pg_is_in_recovery()::int, current_setting('server_encoding'), current_setting('fsync'),
    current_setting('transaction_isolation'), current_schema(),
    (to_regclass('yard') IS NOT NULL)::int,
    (SELECT count(*) FROM pg_class AS c WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p'));

-- known --
-- What is known of the database.
SELECT y.name, y.value FROM yard AS y;

-- note --
-- Note something of the database.
INSERT INTO yard (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value;

-- lock_schema --
-- One process at a time changes the schema.
SELECT pg_advisory_xact_lock(hashtextextended('taskyard schema', current_schema()::regnamespace::oid::bigint));
