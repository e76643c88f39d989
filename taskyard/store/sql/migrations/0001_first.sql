-- The first schema. Columns stand in the order of the tuples in engine/rows.py. Times are int ms, booleans 0 or 1, lists
-- and objects JSON text. Ids of tasks begin with their time of creation, so that their order is that of time.

-- What queued tasks require, one row per combination ever seen; the capability filter of lists reads it.
CREATE TABLE lane (
    id INTEGER NOT NULL PRIMARY KEY,
    capabilities TEXT NOT NULL,
    group_name TEXT NOT NULL,
    pin TEXT NOT NULL
) STRICT;

-- The facts of a task, and from `status` on how it ended. A live task has status 0 here: that it waits or runs is said
-- by its row in `queue` or `run` alone, so that this row is written twice in a task's life and no more.
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

-- Lists of one owner's tasks (every list that a user asks for).
CREATE INDEX task_by_owner ON task (owner, id);
-- Lists by type, and the search by a prefix of it.
CREATE INDEX task_by_type ON task (type, id);
-- Lists by capability, through the lanes that have it.
CREATE INDEX task_by_lane ON task (lane, id);
-- Lists by a status that ended.
CREATE INDEX task_by_status ON task (status, id) WHERE status >= 2;
-- Lists by the server of the last attempt.
CREATE INDEX task_by_server ON task (server_id, id) WHERE server_id IS NOT NULL;
-- The sweep of what ended long ago, and the latest time at a start.
CREATE INDEX task_by_end ON task (completed_at) WHERE completed_at IS NOT NULL;
-- The link from a task to the one that repeats it.
CREATE INDEX task_by_original ON task (resubmit_of, id) WHERE resubmit_of IS NOT NULL;

-- Bodies stand apart: an update of `task` beside them would write their pages again.
CREATE TABLE payload (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE result (
    task_id TEXT NOT NULL PRIMARY KEY,
    body TEXT NOT NULL
) STRICT;

CREATE TABLE task_tag (
    tag TEXT NOT NULL,
    task_id TEXT NOT NULL,
    PRIMARY KEY (tag, task_id)
) STRICT, WITHOUT ROWID;

-- A row only while a task waits; `due_at` is null when it is ready.
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

-- The refill of a flow's window; and at a start, without a look at the table, what each flow, lane and owner holds.
CREATE INDEX queue_order ON queue (lane, limit_key, avoid, due_at, rank, owner);
-- The next tasks that must be looked at whatever the slots do.
CREATE INDEX queue_wake ON queue (wake_at, task_id) WHERE wake_at IS NOT NULL;

-- A row only while an attempt holds a slot; `linger_until` is null while its task runs.
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

-- The history of what did not succeed at once: attempts numbered `attempt` to `last`.
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

-- Counters by hour since the epoch, of the whole yard, of a server, of a type.
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

-- The hours of a day for all servers or types.
CREATE INDEX stats_by_hour ON stats_hour (scope, hour, key);

CREATE TABLE idempotency (
    owner TEXT NOT NULL,
    key TEXT NOT NULL,
    hash TEXT NOT NULL,
    task_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (owner, key)
) STRICT, WITHOUT ROWID;

-- The sweep of expired keys.
CREATE INDEX idempotency_by_expiry ON idempotency (expires_at);

CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    details TEXT
) STRICT;

-- Many nodes: who runs, who decides (a higher epoch fences an older decider out), what waits for the decider.
CREATE TABLE node (
    id TEXT NOT NULL PRIMARY KEY,
    url TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL,
    draining INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    id INTEGER NOT NULL PRIMARY KEY,
    node TEXT NOT NULL,
    kind TEXT NOT NULL,
    task_id TEXT NOT NULL,
    body TEXT NOT NULL,
    taken_at INTEGER NOT NULL
) STRICT;

-- What lists filter by, with a task's live status and server.
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
