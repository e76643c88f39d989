-- What the overview, the failures and the histories are read from: counters kept in the turn, never sums over tasks.

-- What happened in each second, 12 s and 288 s, and the counts at its end.
CREATE TABLE series (
    step INTEGER NOT NULL,
    at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    submitted INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    timed_out INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    waits TEXT NOT NULL,
    runs TEXT NOT NULL,
    waiting INTEGER NOT NULL,
    running INTEGER NOT NULL,
    PRIMARY KEY (step, at)
) STRICT, WITHOUT ROWID;

-- Failures by owner, hour and group.
CREATE TABLE failure_group (
    owner TEXT NOT NULL,
    hour INTEGER NOT NULL,
    id TEXT NOT NULL,
    type TEXT NOT NULL,
    outcome TEXT NOT NULL,
    http_status INTEGER,
    error_code TEXT,
    error TEXT NOT NULL,
    tasks INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    minutes TEXT NOT NULL,
    servers TEXT NOT NULL,
    samples TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    timeout INTEGER,
    run_p95 INTEGER,
    PRIMARY KEY (owner, hour, id)
) STRICT, WITHOUT ROWID;

-- The groups of some hours, for those who see all; the latest hour at a start; the removal of old ones.
CREATE INDEX failure_group_by_hour ON failure_group (hour, owner, id);

-- Of which group a task that failed or timed out is. Apart from `task`, which is written twice and no more.
CREATE TABLE failed_task (
    task_id TEXT NOT NULL PRIMARY KEY,
    failure TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- Lists of a group's tasks.
CREATE INDEX failed_task_by_failure ON failed_task (failure, task_id);

-- From when on a server had a status.
CREATE TABLE server_health (
    server_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (server_id, at)
) STRICT, WITHOUT ROWID;

-- The changes of all servers in some time, and the removal of old ones.
CREATE INDEX server_health_by_time ON server_health (at, server_id);

-- Each server's load, picks and outcomes in spans of 288 s.
CREATE TABLE server_load (
    server_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    busy_ms INTEGER NOT NULL,
    slot_ms INTEGER NOT NULL,
    picks INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    run_ms INTEGER NOT NULL,
    responses INTEGER NOT NULL,
    response_ms INTEGER NOT NULL,
    outcomes TEXT NOT NULL,
    PRIMARY KEY (server_id, at)
) STRICT, WITHOUT ROWID;

-- Sums over all servers in some time, without a look at the table; the latest span at a start; the removal of old ones.
CREATE INDEX server_load_by_time ON server_load (at, server_id, picks, completed, failed, run_ms);

-- The values that filters can be set to, of each owner and (owner '') of all.
CREATE TABLE facet (
    field TEXT NOT NULL,
    owner TEXT NOT NULL,
    value TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (field, owner, value)
) STRICT, WITHOUT ROWID;

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
    0, 'kept', t.owner, count(*), sum(t.status = 2), sum(t.status = 3), sum(t.status = 5), sum(t.status = 4),
    0, 0, 0, 0, 0, 0, 0, 0, 0, max(t.created_at)
FROM task AS t GROUP BY t.owner;

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
