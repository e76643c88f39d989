-- /api/task/task_01a20e16ea267f8e874b400a7a365eb8/callback/1-uN9BOUOzNJQKsxcpVF3bFL0-
PRAGMA application_id = 1417245284;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE attempt (
    task_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    last INTEGER NOT NULL,
    server_id TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    ended_at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    count INTEGER NOT NULL,
    http_status INTEGER,
    error TEXT,
    metadata TEXT,
    PRIMARY KEY (task_id, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO "attempt" VALUES('task_01a20e16ea077dada9cc7d0f194741fd',1,1,'direct',1795532712455,1795532712459,'failed',1,500,'HTTP 500: no',NULL);
INSERT INTO "attempt" VALUES('task_01a20e16ea077dada9cc7d0f194741fd',2,2,'direct',1795532712459,1795532712472,'failed',1,500,'HTTP 500: no',NULL);
CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT
) STRICT;
INSERT INTO "audit" VALUES(1,1795532712278,'ops','server.register','direct',NULL);
INSERT INTO "audit" VALUES(2,1795532712325,'ops','server.register','calling',NULL);
INSERT INTO "audit" VALUES(3,1795532712350,'root','algorithm.set','least-connections',NULL);
INSERT INTO "audit" VALUES(4,1795532712481,'ann','task.purge','task_01a20e16ea1b7ed3892fbf56929a9057',NULL);
CREATE TABLE facet (
    field TEXT NOT NULL,
    owner TEXT NOT NULL,
    value TEXT NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (field, owner, value)
) STRICT, WITHOUT ROWID;
INSERT INTO "facet" VALUES('owner','','ann',1795532712358);
INSERT INTO "facet" VALUES('tag','','completed',1795532712358);
INSERT INTO "facet" VALUES('tag','','größe',1795532712358);
INSERT INTO "facet" VALUES('tag','ann','completed',1795532712358);
INSERT INTO "facet" VALUES('tag','ann','größe',1795532712358);
INSERT INTO "facet" VALUES('type','','text',1795532712358);
INSERT INTO "facet" VALUES('type','ann','text',1795532712358);
INSERT INTO "facet" VALUES('tag','','failed',1795532712455);
INSERT INTO "facet" VALUES('tag','ann','failed',1795532712455);
INSERT INTO "facet" VALUES('type','','fails',1795532712455);
INSERT INTO "facet" VALUES('type','ann','fails',1795532712455);
INSERT INTO "facet" VALUES('tag','','purged',1795532712476);
INSERT INTO "facet" VALUES('tag','ann','purged',1795532712476);
INSERT INTO "facet" VALUES('tag','','cancelled',1795532712483);
INSERT INTO "facet" VALUES('tag','ann','cancelled',1795532712483);
INSERT INTO "facet" VALUES('tag','','running',1795532712486);
INSERT INTO "facet" VALUES('tag','ann','running',1795532712486);
INSERT INTO "facet" VALUES('type','','long',1795532712486);
INSERT INTO "facet" VALUES('type','ann','long',1795532712486);
INSERT INTO "facet" VALUES('tag','','beaten',1795532712694);
INSERT INTO "facet" VALUES('tag','ann','beaten',1795532712694);
INSERT INTO "facet" VALUES('tag','','w7',1795532712775);
INSERT INTO "facet" VALUES('tag','','waiting',1795532712775);
INSERT INTO "facet" VALUES('tag','ann','w7',1795532712775);
INSERT INTO "facet" VALUES('tag','ann','waiting',1795532712775);
INSERT INTO "facet" VALUES('tag','','w8',1795532712787);
INSERT INTO "facet" VALUES('tag','ann','w8',1795532712787);
INSERT INTO "facet" VALUES('tag','','w9',1795532712791);
INSERT INTO "facet" VALUES('tag','ann','w9',1795532712791);
INSERT INTO "facet" VALUES('tag','','delayed',1795532712796);
INSERT INTO "facet" VALUES('tag','ann','delayed',1795532712796);
CREATE TABLE failed_task (
    task_id TEXT NOT NULL PRIMARY KEY,
    failure TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "failed_task" VALUES('task_01a20e16ea077dada9cc7d0f194741fd','fail_a1973948e786a1c0e24c');
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
INSERT INTO "failure_group" VALUES('ann',498759,'fail_a1973948e786a1c0e24c','fails','failed',500,NULL,'HTTP …: no',1,2,'{"5": [1, 2]}','{"direct": 2}','["task_01a20e16ea077dada9cc7d0f194741fd"]',1795532712459,1795532712472,3600000,NULL);
CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    hash TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE inbox (
    id INTEGER NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    kind TEXT NOT NULL,
    task_id TEXT NOT NULL,
    body TEXT NOT NULL,
    taken_at INTEGER NOT NULL
) STRICT;
CREATE TABLE lane (
    id INTEGER NOT NULL PRIMARY KEY,
    capabilities TEXT NOT NULL,
    group_name TEXT NOT NULL,
    pin TEXT NOT NULL
) STRICT;
INSERT INTO "lane" VALUES(3125983611754546,'["later"]','','');
INSERT INTO "lane" VALUES(4850443688152598,'["a"]','','');
INSERT INTO "lane" VALUES(8792659406634851,'["b"]','','');
CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE node (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    draining INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE payload (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
INSERT INTO "payload" VALUES('task_01a20e16e9a5797a85158dbfdbf540fd','{"n":1}');
INSERT INTO "payload" VALUES('task_01a20e16ea077dada9cc7d0f194741fd','{"n":2}');
INSERT INTO "payload" VALUES('task_01a20e16ea237e3689b48cf42d9765ae','{"n":4}');
INSERT INTO "payload" VALUES('task_01a20e16ea267f8e874b400a7a365eb8','{"n":5}');
INSERT INTO "payload" VALUES('task_01a20e16eaf676bf82289e32bc751e2d','{"n":6}');
INSERT INTO "payload" VALUES('task_01a20e16eb47743b934dd76358c3bc80','{"n":7}');
INSERT INTO "payload" VALUES('task_01a20e16eb5374cfb876be9b25993736','{"n":8}');
INSERT INTO "payload" VALUES('task_01a20e16eb57781891cc840ed0ce37b9','{"n":9}');
INSERT INTO "payload" VALUES('task_01a20e16eb5c7d49b087af236be4e5b6','{"n":10}');
CREATE TABLE queue (
    task_id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    lane INTEGER NOT NULL,
    limit_key TEXT NOT NULL,
    avoid TEXT NOT NULL,
    rank INTEGER NOT NULL,
    due_at INTEGER,
    wake_at INTEGER,
    attempts INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    deadline INTEGER,
    queue_deadline INTEGER,
    queued_at INTEGER NOT NULL,
    last_server TEXT NOT NULL,
    last_outcome TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "queue" VALUES('task_01a20e16eb47743b934dd76358c3bc80','ann',3125983611754546,'','',2814749767106568,NULL,NULL,0,0,0,NULL,NULL,1795532712775,'',NULL,1795532712775);
INSERT INTO "queue" VALUES('task_01a20e16eb5374cfb876be9b25993736','ann',3125983611754546,'','',281474976710665,NULL,NULL,0,0,0,NULL,NULL,1795532712787,'',NULL,1795532712787);
INSERT INTO "queue" VALUES('task_01a20e16eb57781891cc840ed0ce37b9','ann',3125983611754546,'','',2814749767106570,NULL,NULL,0,0,0,NULL,NULL,1795532712791,'',NULL,1795532712791);
INSERT INTO "queue" VALUES('task_01a20e16eb5c7d49b087af236be4e5b6','ann',3125983611754546,'','',2814749767106571,2079356712796,2079356712796,0,0,0,NULL,NULL,2079356712796,'',NULL,1795532712796);
CREATE TABLE result (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
INSERT INTO "result" VALUES('task_01a20e16e9a5797a85158dbfdbf540fd','"done"');
CREATE TABLE run (
    task_id TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    server_id TEXT NOT NULL,
    node TEXT NOT NULL,
    rank INTEGER NOT NULL,
    avoid TEXT NOT NULL,
    failures INTEGER NOT NULL,
    lost INTEGER NOT NULL,
    deadline INTEGER,
    started_at INTEGER NOT NULL,
    limit_at INTEGER NOT NULL,
    accepted INTEGER NOT NULL,
    responded_at INTEGER,
    beat_at INTEGER NOT NULL,
    progress INTEGER,
    message TEXT,
    linger_until INTEGER,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (task_id, attempt)
) STRICT, WITHOUT ROWID;
INSERT INTO "run" VALUES('task_01a20e16ea267f8e874b400a7a365eb8',1,'calling','node-1',2814749767106566,'',0,0,NULL,1795532712486,2079356712486,1,1795532712638,1795532712638,NULL,NULL,NULL,1795532712638);
INSERT INTO "run" VALUES('task_01a20e16eaf676bf82289e32bc751e2d',1,'calling','node-1',2814749767106567,'',0,0,NULL,1795532712694,2079356712694,1,1795532712710,1795532712767,40,'half',NULL,1795532712767);
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
INSERT INTO "series" VALUES(1000,1795532712000,1795532712260,10,2,1,0,1,'1: 2, 0: 3','26: 1, 3: 1',4,2);
CREATE TABLE server (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    predict TEXT NOT NULL,
    health_url TEXT NOT NULL,
    metrics_url TEXT,
    cancel_url TEXT,
    api_key TEXT,
    capabilities TEXT NOT NULL,
    learns_capabilities INTEGER NOT NULL,
    groups TEXT NOT NULL,
    max_concurrent INTEGER NOT NULL,
    weight INTEGER NOT NULL,
    is_async INTEGER NOT NULL,
    maintenance INTEGER NOT NULL,
    maintenance_reason TEXT,
    draining INTEGER NOT NULL,
    removing_until INTEGER,
    registered_at INTEGER NOT NULL,
    last_heartbeat INTEGER NOT NULL,
    state TEXT NOT NULL,
    online_since INTEGER,
    averages TEXT NOT NULL,
    misconfigured INTEGER NOT NULL,
    paused_until INTEGER,
    pause_step INTEGER NOT NULL,
    held INTEGER NOT NULL
) STRICT;
INSERT INTO "server" VALUES('direct','direct','ops','http://127.0.0.1:34299/predict','http://127.0.0.1:34299/health',NULL,NULL,'gAAAAABrBaeo4xDPwtTsGFIqzfa1DgG1Ocpp_0up-RRxLQIyOnYHuBvxBw44hHjD4gEwsjDL6OyVpl1At_mlQqM6acRaYFQPng==','["a"]',0,'["east"]',10,1,0,0,NULL,0,NULL,1795532712278,1795532712278,'online',1795532712304,'{}',0,NULL,0,0);
INSERT INTO "server" VALUES('calling','calling','ops','http://127.0.0.1:33765/predict','http://127.0.0.1:33765/health',NULL,NULL,NULL,'["b"]',0,'[]',10,3,1,0,NULL,0,NULL,1795532712325,1795532712325,'online',1795532712333,'{}',0,NULL,0,0);
CREATE TABLE server_health (
    server_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    status TEXT NOT NULL,
    reason TEXT,
    PRIMARY KEY (server_id, at)
) STRICT, WITHOUT ROWID;
INSERT INTO "server_health" VALUES('calling',1795532712325,'initializing',NULL);
INSERT INTO "server_health" VALUES('calling',1795532712333,'online',NULL);
INSERT INTO "server_health" VALUES('direct',1795532712278,'initializing',NULL);
INSERT INTO "server_health" VALUES('direct',1795532712304,'online',NULL);
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
CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO "setting" VALUES('algorithm','least-connections');
CREATE TABLE stats_hour (
    hour INTEGER NOT NULL,
    scope TEXT NOT NULL,
    key TEXT NOT NULL,
    created INTEGER NOT NULL,
    completed INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    timed_out INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    attempts_ok INTEGER NOT NULL,
    attempts_failed INTEGER NOT NULL,
    run_ms INTEGER NOT NULL,
    responses INTEGER NOT NULL,
    response_ms INTEGER NOT NULL,
    waits INTEGER NOT NULL,
    wait_ms INTEGER NOT NULL,
    online_ms INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    PRIMARY KEY (scope, key, hour)
) STRICT, WITHOUT ROWID;
INSERT INTO "stats_hour" VALUES(0,'kept','',10,2,1,1,0,0,0,0,0,0,0,0,0,0,1795532712796);
INSERT INTO "stats_hour" VALUES(0,'kept','ann',10,2,1,1,0,0,0,0,0,0,0,0,0,0,1795532712796);
INSERT INTO "stats_hour" VALUES(498759,'server','calling',0,0,0,0,0,0,0,0,0,0,0,0,0,377,0);
INSERT INTO "stats_hour" VALUES(498759,'server','direct',0,0,0,0,0,0,2,2,44,4,61,0,0,175,1795532712479);
INSERT INTO "stats_hour" VALUES(498759,'type','fails',1,0,1,0,0,1,0,2,0,2,17,1,0,0,1795532712472);
INSERT INTO "stats_hour" VALUES(498759,'type','long',2,0,0,0,0,0,0,0,0,0,0,2,0,0,1795532712694);
INSERT INTO "stats_hour" VALUES(498759,'type','text',7,2,0,1,0,0,2,0,44,2,44,2,2,0,1795532712796);
INSERT INTO "stats_hour" VALUES(498759,'yard','',10,2,1,1,0,1,2,2,44,4,61,5,2,0,1795532712796);
CREATE TABLE task (
    id TEXT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    type TEXT NOT NULL,
    priority INTEGER NOT NULL,
    lane INTEGER NOT NULL,
    capabilities TEXT NOT NULL,
    group_name TEXT NOT NULL,
    pin TEXT NOT NULL,
    run_async INTEGER NOT NULL,
    run_at INTEGER,
    timeout INTEGER NOT NULL,
    ttl INTEGER,
    queue_timeout INTEGER,
    heartbeat_timeout INTEGER,
    max_retries INTEGER NOT NULL,
    backoff_base INTEGER NOT NULL,
    backoff_cap INTEGER NOT NULL,
    tags TEXT,
    metadata TEXT,
    resubmit_of TEXT,
    hops INTEGER NOT NULL,
    traceparent TEXT,
    created_at INTEGER NOT NULL,
    status INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    failures INTEGER NOT NULL DEFAULT 0,
    lost INTEGER NOT NULL DEFAULT 0,
    server_id TEXT,
    started_at INTEGER,
    responded_at INTEGER,
    completed_at INTEGER,
    deadline INTEGER,
    error TEXT,
    error_code TEXT,
    error_details TEXT,
    result_metadata TEXT,
    progress INTEGER,
    message TEXT,
    http_status INTEGER,
    ended_by INTEGER,
    purged INTEGER NOT NULL DEFAULT 0
, retried INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
INSERT INTO "task" VALUES('task_01a20e16e9a5797a85158dbfdbf540fd','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["completed", "größe"]','{"m":1}',NULL,0,NULL,1795532712357,2,1,0,0,'direct',1795532712358,1795532712399,1795532712399,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,0,0);
INSERT INTO "task" VALUES('task_01a20e16ea077dada9cc7d0f194741fd','ann','fails',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,1,0,30000,'["failed"]',NULL,NULL,0,NULL,1795532712455,3,2,2,0,'direct',1795532712459,1795532712472,1795532712472,NULL,'HTTP 500: no',NULL,NULL,NULL,NULL,NULL,500,2,0,1);
INSERT INTO "task" VALUES('task_01a20e16ea1b7ed3892fbf56929a9057','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["purged"]',NULL,NULL,0,NULL,1795532712475,2,1,0,0,'direct',1795532712476,1795532712479,1795532712479,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,1,0);
INSERT INTO "task" VALUES('task_01a20e16ea237e3689b48cf42d9765ae','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["cancelled"]',NULL,NULL,0,NULL,1795532712483,5,0,0,0,NULL,NULL,NULL,1795532712484,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16ea267f8e874b400a7a365eb8','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["running"]',NULL,NULL,0,NULL,1795532712486,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16eaf676bf82289e32bc751e2d','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["beaten"]',NULL,NULL,0,NULL,1795532712694,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16eb47743b934dd76358c3bc80','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w7"]',NULL,NULL,0,NULL,1795532712775,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16eb5374cfb876be9b25993736','ann','text',9,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w8"]',NULL,NULL,0,NULL,1795532712787,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16eb57781891cc840ed0ce37b9','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w9"]',NULL,NULL,0,NULL,1795532712791,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20e16eb5c7d49b087af236be4e5b6','ann','text',0,3125983611754546,'["later"]','','',1,2079356712796,3600000,NULL,NULL,NULL,3,0,30000,'["delayed"]',NULL,NULL,0,NULL,1795532712796,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
CREATE TABLE task_tag (
    tag TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (tag, task_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "task_tag" VALUES('beaten','task_01a20e16eaf676bf82289e32bc751e2d');
INSERT INTO "task_tag" VALUES('cancelled','task_01a20e16ea237e3689b48cf42d9765ae');
INSERT INTO "task_tag" VALUES('completed','task_01a20e16e9a5797a85158dbfdbf540fd');
INSERT INTO "task_tag" VALUES('delayed','task_01a20e16eb5c7d49b087af236be4e5b6');
INSERT INTO "task_tag" VALUES('failed','task_01a20e16ea077dada9cc7d0f194741fd');
INSERT INTO "task_tag" VALUES('größe','task_01a20e16e9a5797a85158dbfdbf540fd');
INSERT INTO "task_tag" VALUES('purged','task_01a20e16ea1b7ed3892fbf56929a9057');
INSERT INTO "task_tag" VALUES('running','task_01a20e16ea267f8e874b400a7a365eb8');
INSERT INTO "task_tag" VALUES('w7','task_01a20e16eb47743b934dd76358c3bc80');
INSERT INTO "task_tag" VALUES('w8','task_01a20e16eb5374cfb876be9b25993736');
INSERT INTO "task_tag" VALUES('w9','task_01a20e16eb57781891cc840ed0ce37b9');
INSERT INTO "task_tag" VALUES('waiting','task_01a20e16eb47743b934dd76358c3bc80');
INSERT INTO "task_tag" VALUES('waiting','task_01a20e16eb5374cfb876be9b25993736');
INSERT INTO "task_tag" VALUES('waiting','task_01a20e16eb57781891cc840ed0ce37b9');
CREATE INDEX task_by_owner ON task (owner, id);
CREATE INDEX task_by_type ON task (type, id);
CREATE INDEX task_by_lane ON task (lane, id);
CREATE INDEX task_by_status ON task (status, id) WHERE status >= 2;
CREATE INDEX task_by_server ON task (server_id, id) WHERE server_id IS NOT NULL;
CREATE INDEX task_by_end ON task (completed_at) WHERE completed_at IS NOT NULL;
CREATE INDEX task_by_original ON task (resubmit_of, id) WHERE resubmit_of IS NOT NULL;
CREATE INDEX queue_order ON queue (lane, limit_key, avoid, due_at, rank, owner);
CREATE INDEX queue_wake ON queue (wake_at, task_id) WHERE wake_at IS NOT NULL;
CREATE INDEX stats_by_hour ON stats_hour (scope, hour, key);
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);
CREATE VIEW listed AS
SELECT
    t.id,
    t.owner,
    t.type,
    t.lane,
    t.tags,
    coalesce(
        nullif(t.status, 0),
        (SELECT 1 FROM run AS r WHERE r.task_id = t.id AND r.linger_until IS NULL),
        0
    ) AS status,
    coalesce(
        t.server_id,
        (SELECT r.server_id FROM run AS r WHERE r.task_id = t.id AND r.linger_until IS NULL)
    ) AS server_id,
    t.status AS end_status,
    t.server_id AS end_server
FROM task AS t;
CREATE INDEX failure_group_by_hour ON failure_group (hour, owner, id);
CREATE INDEX failed_task_by_failure ON failed_task (failure, task_id);
CREATE INDEX server_health_by_time ON server_health (at, server_id);
CREATE INDEX server_load_by_time ON server_load (at, server_id, picks, completed, failed, run_ms);
CREATE INDEX facet_by_time ON facet (last_at);
CREATE INDEX audit_by_who ON audit (who, id);
CREATE INDEX audit_by_target ON audit (target, id);
CREATE INDEX audit_by_time ON audit (at);
COMMIT;
