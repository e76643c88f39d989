-- What the overview, the failures and the histories are read from: counters kept in the turn, never sums over tasks.

-- What happened in each second, 12 s and 288 s, and the counts at its end.
CREATE TABLE series (
    step bigint NOT NULL,
    at bigint NOT NULL,
    since bigint NOT NULL,
    submitted bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    timed_out bigint NOT NULL,
    cancelled bigint NOT NULL,
    waits text NOT NULL,
    runs text NOT NULL,
    waiting bigint NOT NULL,
    running bigint NOT NULL,
    PRIMARY KEY (step, at)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Failures by owner, hour and group.
CREATE TABLE failure_group (
    owner text COLLATE "C" NOT NULL,
    hour bigint NOT NULL,
    id text COLLATE "C" NOT NULL,
    type text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    http_status bigint,
    error_code text,
    error text NOT NULL,
    tasks bigint NOT NULL,
    attempts bigint NOT NULL,
    minutes text NOT NULL,
    servers text NOT NULL,
    samples text NOT NULL,
    first_at bigint NOT NULL,
    last_at bigint NOT NULL,
    timeout bigint,
    run_p95 bigint,
    PRIMARY KEY (owner, hour, id)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- The groups of some hours, for those who see all; the latest hour at a start; the removal of old ones.
CREATE INDEX failure_group_by_hour ON failure_group (hour, owner, id);

-- Of which group a task that failed or timed out is. Apart from `task`, which is written twice and no more.
CREATE TABLE failed_task (
    task_id text COLLATE "C" NOT NULL PRIMARY KEY,
    failure text COLLATE "C" NOT NULL
);

-- Lists of a group's tasks.
CREATE INDEX failed_task_by_failure ON failed_task (failure, task_id);

-- From when on a server had a status.
CREATE TABLE server_health (
    server_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    status text NOT NULL,
    reason text,
    PRIMARY KEY (server_id, at)
);

-- The changes of all servers in some time, and the removal of old ones.
CREATE INDEX server_health_by_time ON server_health (at, server_id);

-- Each server's load, picks and outcomes in spans of 288 s.
CREATE TABLE server_load (
    server_id text COLLATE "C" NOT NULL,
    at bigint NOT NULL,
    busy_ms bigint NOT NULL,
    slot_ms bigint NOT NULL,
    picks bigint NOT NULL,
    completed bigint NOT NULL,
    failed bigint NOT NULL,
    run_ms bigint NOT NULL,
    responses bigint NOT NULL,
    response_ms bigint NOT NULL,
    outcomes text NOT NULL,
    PRIMARY KEY (server_id, at)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Sums over all servers in some time; the latest span at a start; the removal of old ones.
CREATE INDEX server_load_by_time ON server_load (at, server_id);

-- The values that filters can be set to, of each owner and (owner '') of all.
CREATE TABLE facet (
    field text COLLATE "C" NOT NULL,
    owner text COLLATE "C" NOT NULL,
    value text COLLATE "C" NOT NULL,
    last_at bigint NOT NULL,
    PRIMARY KEY (field, owner, value)
);

-- The removal of values that were not seen for long.
CREATE INDEX facet_by_time ON facet (last_at);

-- The audit log of one subject.
CREATE INDEX audit_by_who ON audit (who, id);
-- The audit log of one target.
CREATE INDEX audit_by_target ON audit (target, id);
-- The removal of old rows of it.
CREATE INDEX audit_by_time ON audit (at);

-- How many tasks there are, by owner and how they ended: counted once here, from now on in the turn.
INSERT INTO stats_hour (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
)
SELECT
    0, 'kept', t.owner, count(*), count(*) FILTER (WHERE e.status = 2), count(*) FILTER (WHERE e.status = 3),
    count(*) FILTER (WHERE e.status = 5), count(*) FILTER (WHERE e.status = 4), 0, 0, 0, 0, 0, 0, 0, 0, 0,
    max(t.created_at)
FROM task AS t LEFT JOIN ended AS e ON e.id = t.id GROUP BY t.owner;

INSERT INTO stats_hour (
    hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed, run_ms,
    responses, response_ms, waits, wait_ms, online_ms, last_at
)
SELECT
    0, 'kept', '', sum(s.created), sum(s.completed), sum(s.failed), sum(s.cancelled), sum(s.timed_out),
    0, 0, 0, 0, 0, 0, 0, 0, 0, max(s.last_at)
FROM stats_hour AS s WHERE s.scope = 'kept' HAVING count(*) > 0;

INSERT INTO facet (field, owner, value, last_at)
SELECT 'type', t.owner, t.type, max(t.created_at) FROM task AS t GROUP BY t.owner, t.type;

INSERT INTO facet (field, owner, value, last_at)
SELECT 'type', '', f.value, max(f.last_at) FROM facet AS f WHERE f.field = 'type' GROUP BY f.value;

INSERT INTO facet (field, owner, value, last_at)
SELECT 'owner', '', f.owner, max(f.last_at) FROM facet AS f WHERE f.field = 'type' AND f.owner <> '' GROUP BY f.owner;
