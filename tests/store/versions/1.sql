-- /api/task/task_01a20d6b694d7804a5a8e5f236041f90/callback/1-wJqgPKJBfYwLbvNg02F4Xez2
PRAGMA application_id = 1417245284;
PRAGMA user_version = 1;
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
INSERT INTO "attempt" VALUES('task_01a20d6b694179e19687802c687caad5',1,1,'direct',1795521472833,1795521472835,'failed',1,500,'HTTP 500: no',NULL);
INSERT INTO "attempt" VALUES('task_01a20d6b694179e19687802c687caad5',2,2,'direct',1795521472835,1795521472837,'failed',1,500,'HTTP 500: no',NULL);
CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT
) STRICT;
INSERT INTO "audit" VALUES(1,1795521472820,'ops','server.register','direct',NULL);
INSERT INTO "audit" VALUES(2,1795521472824,'ops','server.register','calling',NULL);
INSERT INTO "audit" VALUES(3,1795521472827,'root','algorithm.set','least-connections',NULL);
INSERT INTO "audit" VALUES(4,1795521472842,'ann','task.purge','task_01a20d6b694778748a8992476bbd62eb',NULL);
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
INSERT INTO "payload" VALUES('task_01a20d6b693c76778842e5ade76febea','{"n":1}');
INSERT INTO "payload" VALUES('task_01a20d6b694179e19687802c687caad5','{"n":2}');
INSERT INTO "payload" VALUES('task_01a20d6b694b79049e4ce65efabab37e','{"n":4}');
INSERT INTO "payload" VALUES('task_01a20d6b694d7804a5a8e5f236041f90','{"n":5}');
INSERT INTO "payload" VALUES('task_01a20d6b6951793e91b092e3beecf4d2','{"n":6}');
INSERT INTO "payload" VALUES('task_01a20d6b6956704aa6555997cb567608','{"n":7}');
INSERT INTO "payload" VALUES('task_01a20d6b69577e32a04473ac789114ee','{"n":8}');
INSERT INTO "payload" VALUES('task_01a20d6b695870949d46dfa2b51b841a','{"n":9}');
INSERT INTO "payload" VALUES('task_01a20d6b695a73d7b5a1952efd99a8c4','{"n":10}');
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
INSERT INTO "queue" VALUES('task_01a20d6b6956704aa6555997cb567608','ann',3125983611754546,'','',2814749767106568,NULL,NULL,0,0,0,NULL,NULL,1795521472854,'',NULL,1795521472854);
INSERT INTO "queue" VALUES('task_01a20d6b69577e32a04473ac789114ee','ann',3125983611754546,'','',281474976710665,NULL,NULL,0,0,0,NULL,NULL,1795521472855,'',NULL,1795521472855);
INSERT INTO "queue" VALUES('task_01a20d6b695870949d46dfa2b51b841a','ann',3125983611754546,'','',2814749767106570,NULL,NULL,0,0,0,NULL,NULL,1795521472856,'',NULL,1795521472856);
INSERT INTO "queue" VALUES('task_01a20d6b695a73d7b5a1952efd99a8c4','ann',3125983611754546,'','',2814749767106571,2079345472858,2079345472858,0,0,0,NULL,NULL,2079345472858,'',NULL,1795521472858);
CREATE TABLE result (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
INSERT INTO "result" VALUES('task_01a20d6b693c76778842e5ade76febea','"done"');
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
INSERT INTO "run" VALUES('task_01a20d6b694d7804a5a8e5f236041f90',1,'calling','node-1',2814749767106566,'',0,0,NULL,1795521472845,2079345472845,1,1795521472847,1795521472847,NULL,NULL,NULL,1795521472847);
INSERT INTO "run" VALUES('task_01a20d6b6951793e91b092e3beecf4d2',1,'calling','node-1',2814749767106567,'',0,0,NULL,1795521472849,2079345472849,1,1795521472850,1795521472853,40,'half',NULL,1795521472853);
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
INSERT INTO "server" VALUES('direct','direct','ops','http://127.0.0.1:35445/predict','http://127.0.0.1:35445/health',NULL,NULL,'gAAAAABrBXvAjnxwiCKHhmBxhH6f8hD3lrrUvGrRGUq0e5Tl8wH8cG0YlHnOMRqsE-NYenKe_JFCFJ1QQDxsRXyHsOWLbuBLgw==','["a"]',0,'["east"]',10,1,0,0,NULL,0,NULL,1795521472820,1795521472820,'online',1795521472823,'{}',0,NULL,0,0);
INSERT INTO "server" VALUES('calling','calling','ops','http://127.0.0.1:35887/predict','http://127.0.0.1:35887/health',NULL,NULL,NULL,'["b"]',0,'[]',10,3,1,0,NULL,0,NULL,1795521472824,1795521472824,'online',1795521472826,'{}',0,NULL,0,0);
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
INSERT INTO "stats_hour" VALUES(498755,'server','calling',0,0,0,0,0,0,0,0,0,0,0,0,0,24,0);
INSERT INTO "stats_hour" VALUES(498755,'server','direct',0,0,0,0,0,0,2,2,6,4,9,0,0,18,1795521472841);
INSERT INTO "stats_hour" VALUES(498755,'type','fails',1,0,1,0,0,1,0,2,0,2,4,1,0,0,1795521472837);
INSERT INTO "stats_hour" VALUES(498755,'type','long',2,0,0,0,0,0,0,0,0,0,0,2,0,0,1795521472849);
INSERT INTO "stats_hour" VALUES(498755,'type','text',7,2,0,1,0,0,2,0,6,2,5,2,0,0,1795521472858);
INSERT INTO "stats_hour" VALUES(498755,'yard','',10,2,1,1,0,1,2,2,6,4,9,5,0,0,1795521472858);
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
) STRICT, WITHOUT ROWID;
INSERT INTO "task" VALUES('task_01a20d6b693c76778842e5ade76febea','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["completed", "größe"]','{"m":1}',NULL,0,NULL,1795521472828,2,1,0,0,'direct',1795521472828,1795521472832,1795521472832,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,0);
INSERT INTO "task" VALUES('task_01a20d6b694179e19687802c687caad5','ann','fails',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,1,0,30000,'["failed"]',NULL,NULL,0,NULL,1795521472833,3,2,2,0,'direct',1795521472835,1795521472837,1795521472837,NULL,'HTTP 500: no',NULL,NULL,NULL,NULL,NULL,500,2,0);
INSERT INTO "task" VALUES('task_01a20d6b694778748a8992476bbd62eb','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["purged"]',NULL,NULL,0,NULL,1795521472839,2,1,0,0,'direct',1795521472839,1795521472840,1795521472841,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,1);
INSERT INTO "task" VALUES('task_01a20d6b694b79049e4ce65efabab37e','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["cancelled"]',NULL,NULL,0,NULL,1795521472843,5,0,0,0,NULL,NULL,NULL,1795521472844,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b694d7804a5a8e5f236041f90','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["running"]',NULL,NULL,0,NULL,1795521472845,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b6951793e91b092e3beecf4d2','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["beaten"]',NULL,NULL,0,NULL,1795521472849,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b6956704aa6555997cb567608','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w7"]',NULL,NULL,0,NULL,1795521472854,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b69577e32a04473ac789114ee','ann','text',9,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w8"]',NULL,NULL,0,NULL,1795521472855,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b695870949d46dfa2b51b841a','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w9"]',NULL,NULL,0,NULL,1795521472856,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
INSERT INTO "task" VALUES('task_01a20d6b695a73d7b5a1952efd99a8c4','ann','text',0,3125983611754546,'["later"]','','',1,2079345472858,3600000,NULL,NULL,NULL,3,0,30000,'["delayed"]',NULL,NULL,0,NULL,1795521472858,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0);
CREATE TABLE task_tag (
    tag TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (tag, task_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "task_tag" VALUES('beaten','task_01a20d6b6951793e91b092e3beecf4d2');
INSERT INTO "task_tag" VALUES('cancelled','task_01a20d6b694b79049e4ce65efabab37e');
INSERT INTO "task_tag" VALUES('completed','task_01a20d6b693c76778842e5ade76febea');
INSERT INTO "task_tag" VALUES('delayed','task_01a20d6b695a73d7b5a1952efd99a8c4');
INSERT INTO "task_tag" VALUES('failed','task_01a20d6b694179e19687802c687caad5');
INSERT INTO "task_tag" VALUES('größe','task_01a20d6b693c76778842e5ade76febea');
INSERT INTO "task_tag" VALUES('purged','task_01a20d6b694778748a8992476bbd62eb');
INSERT INTO "task_tag" VALUES('running','task_01a20d6b694d7804a5a8e5f236041f90');
INSERT INTO "task_tag" VALUES('w7','task_01a20d6b6956704aa6555997cb567608');
INSERT INTO "task_tag" VALUES('w8','task_01a20d6b69577e32a04473ac789114ee');
INSERT INTO "task_tag" VALUES('w9','task_01a20d6b695870949d46dfa2b51b841a');
INSERT INTO "task_tag" VALUES('waiting','task_01a20d6b6956704aa6555997cb567608');
INSERT INTO "task_tag" VALUES('waiting','task_01a20d6b69577e32a04473ac789114ee');
INSERT INTO "task_tag" VALUES('waiting','task_01a20d6b695870949d46dfa2b51b841a');
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
COMMIT;
