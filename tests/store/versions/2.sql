-- /api/task/task_01a20dae3d42723697a72c1889e685bb/callback/1-y8nHIDh9Y6ztbQo1spFCP8gL
PRAGMA application_id = 1417245284;
PRAGMA user_version = 2;
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
INSERT INTO "attempt" VALUES('task_01a20dae3d0e738ea5788efe52ea72b2',1,1,'direct',1795525852430,1795525852435,'failed',1,500,'HTTP 500: no',NULL);
INSERT INTO "attempt" VALUES('task_01a20dae3d0e738ea5788efe52ea72b2',2,2,'direct',1795525852435,1795525852446,'failed',1,500,'HTTP 500: no',NULL);
CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT
) STRICT;
INSERT INTO "audit" VALUES(1,1795525852376,'ops','server.register','direct',NULL);
INSERT INTO "audit" VALUES(2,1795525852398,'ops','server.register','calling',NULL);
INSERT INTO "audit" VALUES(3,1795525852410,'root','algorithm.set','least-connections',NULL);
INSERT INTO "audit" VALUES(4,1795525852466,'ann','task.purge','task_01a20dae3d2371c2aaaa0090166ed575',NULL);
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
INSERT INTO "payload" VALUES('task_01a20dae3cfd78ca8d442fb97b80777c','{"n":1}');
INSERT INTO "payload" VALUES('task_01a20dae3d0e738ea5788efe52ea72b2','{"n":2}');
INSERT INTO "payload" VALUES('task_01a20dae3d367a9c93b3c45c1e71ee0f','{"n":4}');
INSERT INTO "payload" VALUES('task_01a20dae3d42723697a72c1889e685bb','{"n":5}');
INSERT INTO "payload" VALUES('task_01a20dae3d49701b99e42f0d570e422a','{"n":6}');
INSERT INTO "payload" VALUES('task_01a20dae3d62776c83ff8efaa71b8681','{"n":7}');
INSERT INTO "payload" VALUES('task_01a20dae3d66774d9535f6bfce1d856a','{"n":8}');
INSERT INTO "payload" VALUES('task_01a20dae3d687673b1622e33d6b46ea0','{"n":9}');
INSERT INTO "payload" VALUES('task_01a20dae3d6a7f139df42b4433d13201','{"n":10}');
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
INSERT INTO "queue" VALUES('task_01a20dae3d62776c83ff8efaa71b8681','ann',3125983611754546,'','',2814749767106568,NULL,NULL,0,0,0,NULL,NULL,1795525852514,'',NULL,1795525852514);
INSERT INTO "queue" VALUES('task_01a20dae3d66774d9535f6bfce1d856a','ann',3125983611754546,'','',281474976710665,NULL,NULL,0,0,0,NULL,NULL,1795525852518,'',NULL,1795525852518);
INSERT INTO "queue" VALUES('task_01a20dae3d687673b1622e33d6b46ea0','ann',3125983611754546,'','',2814749767106570,NULL,NULL,0,0,0,NULL,NULL,1795525852520,'',NULL,1795525852520);
INSERT INTO "queue" VALUES('task_01a20dae3d6a7f139df42b4433d13201','ann',3125983611754546,'','',2814749767106571,2079349852522,2079349852522,0,0,0,NULL,NULL,2079349852522,'',NULL,1795525852522);
CREATE TABLE result (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;
INSERT INTO "result" VALUES('task_01a20dae3cfd78ca8d442fb97b80777c','"done"');
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
INSERT INTO "run" VALUES('task_01a20dae3d42723697a72c1889e685bb',1,'calling','node-1',2814749767106566,'',0,0,NULL,1795525852482,2079349852482,1,1795525852487,1795525852487,NULL,NULL,NULL,1795525852487);
INSERT INTO "run" VALUES('task_01a20dae3d49701b99e42f0d570e422a',1,'calling','node-1',2814749767106567,'',0,0,NULL,1795525852489,2079349852489,1,1795525852503,1795525852506,40,'half',NULL,1795525852506);
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
INSERT INTO "server" VALUES('direct','direct','ops','http://127.0.0.1:37005/predict','http://127.0.0.1:37005/health',NULL,NULL,'gAAAAABrBYzcyGFVej3W3CFXLD4Vd_aMyNvCLYwRWknGXUW5RfozRcNBw53U2LysVLWl5r7BL_f21jTIi3J5K7dvIO964vxkbw==','["a"]',0,'["east"]',10,1,0,0,NULL,0,NULL,1795525852376,1795525852376,'online',1795525852390,'{}',0,NULL,0,0);
INSERT INTO "server" VALUES('calling','calling','ops','http://127.0.0.1:40017/predict','http://127.0.0.1:40017/health',NULL,NULL,NULL,'["b"]',0,'[]',10,3,1,0,NULL,0,NULL,1795525852398,1795525852398,'online',1795525852403,'{}',0,NULL,0,0);
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
INSERT INTO "stats_hour" VALUES(498757,'server','calling',0,0,0,0,0,0,0,0,0,0,0,0,0,100,0);
INSERT INTO "stats_hour" VALUES(498757,'server','direct',0,0,0,0,0,0,2,2,13,4,25,0,0,72,1795525852462);
INSERT INTO "stats_hour" VALUES(498757,'type','fails',1,0,1,0,0,1,0,2,0,2,12,1,0,0,1795525852446);
INSERT INTO "stats_hour" VALUES(498757,'type','long',2,0,0,0,0,0,0,0,0,0,0,2,0,0,1795525852489);
INSERT INTO "stats_hour" VALUES(498757,'type','text',7,2,0,1,0,0,2,0,13,2,13,2,7,0,1795525852522);
INSERT INTO "stats_hour" VALUES(498757,'yard','',10,2,1,1,0,1,2,2,13,4,25,5,7,0,1795525852522);
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
INSERT INTO "task" VALUES('task_01a20dae3cfd78ca8d442fb97b80777c','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["completed", "größe"]','{"m":1}',NULL,0,NULL,1795525852413,2,1,0,0,'direct',1795525852413,1795525852422,1795525852422,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d0e738ea5788efe52ea72b2','ann','fails',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,1,0,30000,'["failed"]',NULL,NULL,0,NULL,1795525852430,3,2,2,0,'direct',1795525852435,1795525852442,1795525852446,NULL,'HTTP 500: no',NULL,NULL,NULL,NULL,NULL,500,2,0,1);
INSERT INTO "task" VALUES('task_01a20dae3d2371c2aaaa0090166ed575','ann','text',0,4850443688152598,'["a"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["purged"]',NULL,NULL,0,NULL,1795525852451,2,1,0,0,'direct',1795525852458,1795525852462,1795525852462,NULL,NULL,NULL,NULL,NULL,NULL,NULL,200,1,1,0);
INSERT INTO "task" VALUES('task_01a20dae3d367a9c93b3c45c1e71ee0f','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["cancelled"]',NULL,NULL,0,NULL,1795525852470,5,0,0,0,NULL,NULL,NULL,1795525852478,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d42723697a72c1889e685bb','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["running"]',NULL,NULL,0,NULL,1795525852482,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d49701b99e42f0d570e422a','ann','long',0,8792659406634851,'["b"]','','',1,NULL,283824000000,NULL,NULL,NULL,3,0,30000,'["beaten"]',NULL,NULL,0,NULL,1795525852489,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d62776c83ff8efaa71b8681','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w7"]',NULL,NULL,0,NULL,1795525852514,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d66774d9535f6bfce1d856a','ann','text',9,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w8"]',NULL,NULL,0,NULL,1795525852518,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d687673b1622e33d6b46ea0','ann','text',0,3125983611754546,'["later"]','','',1,NULL,3600000,NULL,NULL,NULL,3,0,30000,'["waiting", "w9"]',NULL,NULL,0,NULL,1795525852520,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
INSERT INTO "task" VALUES('task_01a20dae3d6a7f139df42b4433d13201','ann','text',0,3125983611754546,'["later"]','','',1,2079349852522,3600000,NULL,NULL,NULL,3,0,30000,'["delayed"]',NULL,NULL,0,NULL,1795525852522,0,0,0,0,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,0,0);
CREATE TABLE task_tag (
    tag TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (tag, task_id)
) STRICT, WITHOUT ROWID;
INSERT INTO "task_tag" VALUES('beaten','task_01a20dae3d49701b99e42f0d570e422a');
INSERT INTO "task_tag" VALUES('cancelled','task_01a20dae3d367a9c93b3c45c1e71ee0f');
INSERT INTO "task_tag" VALUES('completed','task_01a20dae3cfd78ca8d442fb97b80777c');
INSERT INTO "task_tag" VALUES('delayed','task_01a20dae3d6a7f139df42b4433d13201');
INSERT INTO "task_tag" VALUES('failed','task_01a20dae3d0e738ea5788efe52ea72b2');
INSERT INTO "task_tag" VALUES('größe','task_01a20dae3cfd78ca8d442fb97b80777c');
INSERT INTO "task_tag" VALUES('purged','task_01a20dae3d2371c2aaaa0090166ed575');
INSERT INTO "task_tag" VALUES('running','task_01a20dae3d42723697a72c1889e685bb');
INSERT INTO "task_tag" VALUES('w7','task_01a20dae3d62776c83ff8efaa71b8681');
INSERT INTO "task_tag" VALUES('w8','task_01a20dae3d66774d9535f6bfce1d856a');
INSERT INTO "task_tag" VALUES('w9','task_01a20dae3d687673b1622e33d6b46ea0');
INSERT INTO "task_tag" VALUES('waiting','task_01a20dae3d62776c83ff8efaa71b8681');
INSERT INTO "task_tag" VALUES('waiting','task_01a20dae3d66774d9535f6bfce1d856a');
INSERT INTO "task_tag" VALUES('waiting','task_01a20dae3d687673b1622e33d6b46ea0');
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
