-- The first schema. Columns stand in the order of the tuples in engine/rows.py. Times are bigint ms, booleans 0 or 1,
-- lists and objects JSON text. Texts that are compared or ordered are in collation "C": by code points, as in Python.
--
-- Three kinds of tables, so that no dead row is ever in the way, even while an old snapshot keeps them all:
-- history is only inserted, in partitions by day of creation (ids of tasks begin with their time);
-- `queue` and `run` hold rows only while a task waits or runs, and are found by keys that never come again;
-- counters are appended and rolled up once a minute, since a row that each turn updates would leave a version a turn.

-- What is known of the database itself: the schema's number, the fingerprint of the secret key.
CREATE TABLE yard (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    value text NOT NULL
);

-- The days that have partitions: the first ms, and the ids from `low` (included) to `high`.
CREATE TABLE day (
    start bigint NOT NULL PRIMARY KEY,
    low text COLLATE "C" NOT NULL,
    high text COLLATE "C" NOT NULL
);

CREATE TABLE lane (
    id bigint NOT NULL PRIMARY KEY,
    capabilities text NOT NULL,
    group_name text NOT NULL,
    pin text NOT NULL
);

-- The facts of a task, written once. That it waits, runs or has ended is said by its row in `queue`, `run` or `ended`.
CREATE TABLE task (
    id text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    priority bigint NOT NULL,
    lane bigint NOT NULL,
    capabilities text NOT NULL,
    group_name text NOT NULL,
    pin text NOT NULL,
    run_async bigint NOT NULL,
    run_at bigint,
    timeout bigint NOT NULL,
    ttl bigint,
    queue_timeout bigint,
    heartbeat_timeout bigint,
    max_retries bigint NOT NULL,
    backoff_base bigint NOT NULL,
    backoff_cap bigint NOT NULL,
    tags text,
    metadata text,
    resubmit_of text COLLATE "C",
    hops bigint NOT NULL,
    traceparent text,
    created_at bigint NOT NULL,
    purged bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Lists of one owner's tasks (every list that a user asks for).
CREATE INDEX task_by_owner ON task (owner, id);
-- Lists by type, and the search by a prefix of it.
CREATE INDEX task_by_type ON task (type, id);
-- Lists by capability, through the lanes that have it.
CREATE INDEX task_by_lane ON task (lane, id);
-- The link from a task to the one that repeats it.
CREATE INDEX task_by_original ON task (resubmit_of, id) WHERE resubmit_of IS NOT NULL;

-- How a task ended. A row of its own: an update of `task` would enter the new version into each of its indexes.
CREATE TABLE ended (
    status bigint NOT NULL,
    attempts bigint NOT NULL,
    failures bigint NOT NULL,
    lost bigint NOT NULL,
    server_id text COLLATE "C",
    started_at bigint,
    responded_at bigint,
    completed_at bigint NOT NULL,
    deadline bigint,
    error text,
    error_code text,
    error_details text,
    result_metadata text,
    progress bigint,
    message text,
    http_status bigint,
    ended_by bigint,
    id text COLLATE "C" NOT NULL,
    PRIMARY KEY (id)
) PARTITION BY RANGE (id);

-- Lists by a status that ended.
CREATE INDEX ended_by_status ON ended (status, id);
-- Lists by the server of the last attempt.
CREATE INDEX ended_by_server ON ended (server_id, id) WHERE server_id IS NOT NULL;
-- The sweep of what ended long ago, and the latest time at a start.
CREATE INDEX ended_by_end ON ended (completed_at);

CREATE TABLE payload (
    task_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (task_id)
) PARTITION BY RANGE (task_id);

CREATE TABLE result (
    task_id text COLLATE "C" NOT NULL,
    body text NOT NULL,
    PRIMARY KEY (task_id)
) PARTITION BY RANGE (task_id);

CREATE TABLE task_tag (
    tag text COLLATE "C" NOT NULL,
    task_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (tag, task_id)
) PARTITION BY RANGE (task_id);

-- The history of what did not succeed at once: attempts numbered `attempt` to `last`.
CREATE TABLE attempt (
    task_id text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    last bigint NOT NULL,
    server_id text NOT NULL,
    started_at bigint NOT NULL,
    ended_at bigint NOT NULL,
    outcome text NOT NULL,
    count bigint NOT NULL,
    http_status bigint,
    error text,
    metadata text,
    PRIMARY KEY (task_id, attempt)
) PARTITION BY RANGE (task_id);

-- A row only while a task waits; `due_at` is null when it is ready. Vacuumed by number of rows, not by share.
CREATE TABLE queue (
    task_id text COLLATE "C" NOT NULL PRIMARY KEY,
    owner text COLLATE "C" NOT NULL,
    lane bigint NOT NULL,
    limit_key text COLLATE "C" NOT NULL,
    avoid text COLLATE "C" NOT NULL,
    rank bigint NOT NULL,
    due_at bigint,
    wake_at bigint,
    attempts bigint NOT NULL,
    failures bigint NOT NULL,
    lost bigint NOT NULL,
    deadline bigint,
    queue_deadline bigint,
    queued_at bigint NOT NULL,
    last_server text NOT NULL,
    last_outcome text,
    updated_at bigint NOT NULL
) WITH (
    fillfactor = 80, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

-- The refill of a flow's window.
CREATE INDEX queue_order ON queue (lane, limit_key, avoid, rank) WHERE due_at IS NULL;
-- The next tasks that must be looked at whatever the slots do.
CREATE INDEX queue_wake ON queue (wake_at, task_id) WHERE wake_at IS NOT NULL;

-- A row only while an attempt holds a slot; `linger_until` is null while its task runs. Rows change while they run
-- (accepted, beats), in no column that is indexed: there is room for that in each page.
CREATE TABLE run (
    task_id text COLLATE "C" NOT NULL,
    attempt bigint NOT NULL,
    server_id text COLLATE "C" NOT NULL,
    node text COLLATE "C" NOT NULL,
    rank bigint NOT NULL,
    avoid text NOT NULL,
    failures bigint NOT NULL,
    lost bigint NOT NULL,
    deadline bigint,
    started_at bigint NOT NULL,
    limit_at bigint NOT NULL,
    accepted bigint NOT NULL,
    responded_at bigint,
    beat_at bigint NOT NULL,
    progress bigint,
    message text,
    linger_until bigint,
    updated_at bigint NOT NULL,
    PRIMARY KEY (task_id, attempt)
) WITH (
    fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000,
    autovacuum_vacuum_insert_scale_factor = 0, autovacuum_vacuum_insert_threshold = 200000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 20000, autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE server (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    name text NOT NULL,
    owner text NOT NULL,
    predict text NOT NULL,
    health_url text NOT NULL,
    metrics_url text,
    cancel_url text,
    api_key text,
    capabilities text NOT NULL,
    learns_capabilities bigint NOT NULL,
    groups text NOT NULL,
    max_concurrent bigint NOT NULL,
    weight bigint NOT NULL,
    is_async bigint NOT NULL,
    maintenance bigint NOT NULL,
    maintenance_reason text,
    draining bigint NOT NULL,
    removing_until bigint,
    registered_at bigint NOT NULL,
    last_heartbeat bigint NOT NULL,
    state text NOT NULL,
    online_since bigint,
    averages text NOT NULL,
    misconfigured bigint NOT NULL,
    paused_until bigint,
    pause_step bigint NOT NULL,
    held bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500);

-- Counters by hour since the epoch, of the whole yard, of a server, of a type.
CREATE TABLE stats_hour (
    hour bigint NOT NULL,
    scope text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    cancelled bigint NOT NULL,
    timed_out bigint NOT NULL,
    retried bigint NOT NULL,
    attempts_ok bigint NOT NULL,
    attempts_failed bigint NOT NULL,
    run_ms bigint NOT NULL,
    responses bigint NOT NULL,
    response_ms bigint NOT NULL,
    waits bigint NOT NULL,
    wait_ms bigint NOT NULL,
    online_ms bigint NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (scope, key, hour)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The hours of a day for all servers or types.
CREATE INDEX stats_by_hour ON stats_hour (scope, hour, key);

-- What turns have counted since the last roll-up: rows with an id above `stats_rolled.last`.
CREATE TABLE stats_part (
    LIKE stats_hour,
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY
) WITH (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000,
    autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000, autovacuum_vacuum_cost_delay = 0
);

CREATE TABLE stats_rolled (
    last bigint NOT NULL
) WITH (fillfactor = 10);

INSERT INTO stats_rolled VALUES (0);

-- All counters, rolled up or not: to be summed.
CREATE VIEW stats_all AS
SELECT * FROM stats_hour
UNION ALL
SELECT
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
FROM stats_part WHERE id > (SELECT r.last FROM stats_rolled AS r);

CREATE TABLE idempotency (
    owner text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    hash text NOT NULL,
    task_id text NOT NULL,
    created_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    PRIMARY KEY (owner, key)
);

-- The sweep of expired keys.
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE setting (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    value text NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE audit (
    at bigint NOT NULL,
    who text NOT NULL,
    action text NOT NULL,
    target text NOT NULL,
    details text,
    id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY
);

-- Who decides. This row changes with the decider and at no other time, so that each turn reads it in one step; how long
-- the right lasts is in `lease_beat`, which changes each second.
CREATE TABLE lease (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    node text NOT NULL,
    epoch bigint NOT NULL
);

CREATE TABLE lease_beat (
    name text COLLATE "C" NOT NULL PRIMARY KEY,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

INSERT INTO lease VALUES ('decider', '', 0);
INSERT INTO lease_beat VALUES ('decider', '-infinity');

-- Many nodes: who runs, and what waits for the decider.
CREATE TABLE node (
    id text COLLATE "C" NOT NULL PRIMARY KEY,
    url text NOT NULL,
    version text NOT NULL,
    started_at bigint NOT NULL,
    seen_at bigint NOT NULL,
    draining bigint NOT NULL
) WITH (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 200);

CREATE TABLE inbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    node text NOT NULL,
    kind text NOT NULL,
    task_id text NOT NULL,
    body text NOT NULL,
    taken_at bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0);

-- What lists filter by, with a task's live status and server.
CREATE VIEW listed AS
SELECT
    t.id,
    t.owner,
    t.type,
    t.lane,
    t.tags,
    coalesce(
        (SELECT e.status FROM ended AS e WHERE e.id = t.id),
        (SELECT 1 FROM run AS r WHERE r.task_id = t.id AND r.linger_until IS NULL),
        0
    ) AS status,
    coalesce(
        (SELECT e.server_id FROM ended AS e WHERE e.id = t.id),
        (SELECT r.server_id FROM run AS r WHERE r.task_id = t.id AND r.linger_until IS NULL)
    ) AS server_id
FROM task AS t;

-- The key of this yard's advisory locks: several yards may live in schemas of one database.
CREATE FUNCTION lock_key(what text) RETURNS bigint LANGUAGE sql STABLE
RETURN hashtextextended('taskyard ' || what, current_schema()::regnamespace::oid::bigint);

-- The first id that a task created at this time can have.
CREATE FUNCTION id_at(ms bigint) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN ms < (1::bigint << 48) THEN 'task_' || lpad(to_hex(ms), 12, '0') ELSE 'task_g' END;

-- The partition of a table for the day that begins at this ms.
CREATE FUNCTION partition_of(parent text, first bigint) RETURNS text LANGUAGE sql STABLE
RETURN parent || '_' || to_char(to_timestamp(first / 1000) AT TIME ZONE 'UTC', 'YYYYMMDD');

-- Make the partitions of the day that begins at this ms, if they are not there. They are made beside and then attached:
-- that locks out nobody who reads or writes.
CREATE FUNCTION make_day(first bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    part text;
BEGIN
    PERFORM pg_advisory_xact_lock(lock_key('day'));
    IF EXISTS (SELECT FROM day WHERE start = first) THEN
        RETURN;
    END IF;
    FOREACH parent IN ARRAY ARRAY['task', 'ended', 'payload', 'result', 'task_tag', 'attempt'] LOOP
        part := partition_of(parent, first);
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', part, parent);
        EXECUTE format(
            'ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            parent, part, id_at(first), id_at(first + 86400000)
        );
    END LOOP;
    INSERT INTO day VALUES (first, id_at(first), id_at(first + 86400000));
END $$;

-- Drop the partitions of a day. False when somebody reads from them just now: others must not wait for that.
CREATE FUNCTION drop_day(first bigint) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    parent text;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    BEGIN
        FOREACH parent IN ARRAY ARRAY['task', 'ended', 'payload', 'result', 'task_tag', 'attempt'] LOOP
            EXECUTE format('DROP TABLE %I', partition_of(parent, first));
        END LOOP;
        DELETE FROM day WHERE start = first;
    EXCEPTION WHEN lock_not_available THEN
        RETURN false;
    END;
    RETURN true;
END $$;

-- Prove within a turn's transaction that the decider is still the one of this epoch; until its end none can follow.
-- The lock is of a kind that writes nothing. And whatever the server's default is, a turn is on disk when it is committed.
CREATE FUNCTION prove_epoch(mine bigint) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(lock_key('decider'));
    IF mine IS DISTINCT FROM (SELECT epoch FROM lease WHERE name = 'decider') THEN
        RAISE EXCEPTION 'another node decides now' USING ERRCODE = 'TY001';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    PERFORM go_by_index();
END $$;

-- For the rest of the transaction, no plan but that by the indexes: it is right whatever is known or not known of the
-- tables, and a few rows are never worth the compilation of a plan.
CREATE FUNCTION go_by_index() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
        set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true);
END $$;

-- Write the few live rows of a hot table anew where dead ones have swollen it, as they do when an old snapshot keeps
-- vacuum from its work. Tables that somebody reads just now are left for the next time: others must not wait for that.
CREATE FUNCTION repack() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    swollen text;
BEGIN
    PERFORM set_config('lock_timeout', '100ms', true);
    FOR swollen IN
        SELECT c.relname FROM pg_class AS c
        WHERE c.relnamespace = current_schema()::regnamespace AND c.relname IN ('queue', 'run', 'stats_part')
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

-- Take the lease for a node, if it is free, expired, this node's own or one's that is known to be dead: a new epoch, or 0
-- and the ms to wait. A turn of an older epoch that is under way is waited for, and ended when it does not end by itself.
CREATE FUNCTION take_lease(mine text, lasts_ms bigint, dead text, OUT epoch bigint, OUT holder text, OUT wait_ms bigint)
LANGUAGE plpgsql AS $$
DECLARE
    until timestamptz;
BEGIN
    SELECT l.node, b.expires_at, l.epoch INTO holder, until, epoch
    FROM lease AS l JOIN lease_beat AS b ON b.name = l.name WHERE l.name = 'decider';
    IF holder NOT IN ('', mine, dead) AND until > clock_timestamp() THEN
        epoch := 0;
        wait_ms := 1 + extract(epoch FROM until - clock_timestamp()) * 1000;
        RETURN;
    END IF;
    BEGIN
        PERFORM set_config('lock_timeout', '2s', true);
        PERFORM pg_advisory_xact_lock(lock_key('decider'));
    EXCEPTION WHEN lock_not_available THEN
        PERFORM pg_terminate_backend(k.pid) FROM pg_locks AS k
        WHERE k.locktype = 'advisory' AND k.granted AND k.pid <> pg_backend_pid()
            AND k.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
            AND (k.classid::bigint << 32 | k.objid::bigint) = lock_key('decider');
        PERFORM pg_advisory_xact_lock(lock_key('decider'));
    END;
    PERFORM set_config('lock_timeout', '0', true);
    UPDATE lease AS l SET node = mine, epoch = l.epoch + 1
    WHERE l.name = 'decider' AND l.epoch = take_lease.epoch RETURNING l.epoch INTO epoch;
    IF NOT FOUND THEN  -- somebody was faster
        epoch := 0;
        wait_ms := lasts_ms;
        RETURN;
    END IF;
    UPDATE lease_beat SET expires_at = clock_timestamp() + lasts_ms * interval '1 ms' WHERE name = 'decider';
    holder := mine;
    wait_ms := 0;
END $$;
