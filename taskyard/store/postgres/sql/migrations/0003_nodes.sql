-- Nodes beside the decider: who runs, what they took in for it, and what it has for them.

-- A process has one row while it runs; `id` is no other's ever. `seen_at` is by the database's clock.
DROP TABLE node;
CREATE TABLE node (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    name text NOT NULL,
    url text NOT NULL,
    version text NOT NULL,
    started_at bigint NOT NULL,
    seen_at timestamptz NOT NULL,
    epoch bigint NOT NULL,
    draining bigint NOT NULL,
    load bigint NOT NULL,
    figures text NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

-- What nodes took in for the decider, numbered by each node in the order of its commits: so each number is looked for
-- once, and no dead row is passed on the way.
DROP TABLE inbox;
CREATE TABLE inbox (
    node text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    kind text NOT NULL,
    task_id text NOT NULL,
    attempt bigint NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (node, seq)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

-- What the decider has for another node: attempts to send or to give up, answers. One decider at a time writes them, so
-- that their numbers are in the order of its commits.
CREATE TABLE letter (
    node text COLLATE "C" NOT NULL,
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1),
    kind text NOT NULL,
    task_id text NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (node, id)
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

-- The beginning of what a node takes in: on disk when it is committed, whatever the server's default is.
CREATE FUNCTION begin_taking() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM go_by_index();
END $$;

-- Fail unless these idempotency keys belong to these tasks: another node was faster otherwise.
CREATE FUNCTION prove_keys(owners text[], keys text[], tasks text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM unnest(owners, keys, tasks) AS n (owner, key, task_id)
        JOIN idempotency AS i ON i.owner = n.owner AND i.key = n.key
        WHERE i.task_id <> n.task_id
    ) THEN
        RAISE EXCEPTION 'another task has this idempotency key' USING ERRCODE = 'TY002';
    END IF;
END $$;

-- As before, for the tables of this step too.
CREATE OR REPLACE FUNCTION repack() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    swollen text;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    FOR swollen IN
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = current_schema()::regnamespace
            AND c.relname IN ('queue', 'run', 'stats_part', 'inbox', 'letter')
            AND pg_table_size(c.oid) > greatest(16 << 20, 2048 * pg_stat_get_live_tuples(c.oid))
    LOOP
        BEGIN
            EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', swollen);
            EXECUTE format('CREATE TEMPORARY TABLE kept ON COMMIT DROP AS SELECT * FROM %I', swollen);
            EXECUTE format('TRUNCATE %I', swollen);
            EXECUTE format('INSERT INTO %I OVERRIDING SYSTEM VALUE SELECT * FROM kept', swollen);
            DROP TABLE kept;
        EXCEPTION WHEN lock_not_available THEN
            CONTINUE;
        END;
    END LOOP;
END $$;
