"""Rows: what the plan writes and the store gives back, as tuples in the order of the store's columns.

A row is data of the engine, not of SQL: ints below 2**53, text, `None`; booleans are 0 or 1; lists and objects are JSON
text. Times are int ms.
"""

from __future__ import annotations

from typing import NamedTuple


class LaneRow(NamedTuple):
    """A lane's requirements; `capabilities` is a sorted JSON array."""

    id: int
    capabilities: str
    group_name: str
    pin: str


class NewTask(NamedTuple):
    """The facts of a task, written once."""

    id: str
    owner: str
    type: str
    priority: int
    lane: int
    capabilities: str
    group_name: str
    pin: str
    run_async: int
    run_at: int | None
    timeout: int
    ttl: int | None
    queue_timeout: int | None
    heartbeat_timeout: int | None
    max_retries: int
    backoff_base: int
    backoff_cap: int
    tags: str | None
    metadata: str | None
    resubmit_of: str | None
    hops: int
    traceparent: str | None
    created_at: int


class EndedTask(NamedTuple):
    """How a task ended; `started_at` to `responded_at` are those of its last attempt.

    `ended_by` is the number of the attempt whose word ended it, null when a person or a limit did.
    """

    status: int
    attempts: int
    failures: int
    lost: int
    server_id: str | None
    started_at: int | None
    responded_at: int | None
    completed_at: int
    deadline: int | None
    error: str | None
    error_code: str | None
    error_details: str | None
    result_metadata: str | None
    progress: int | None
    message: str | None
    http_status: int | None
    ended_by: int | None
    id: str


class TaskRow(NamedTuple):
    """A task as the store has it: its facts, then how it ended (status 0 and nulls while it is live)."""

    id: str
    owner: str
    type: str
    priority: int
    lane: int
    capabilities: str
    group_name: str
    pin: str
    run_async: int
    run_at: int | None
    timeout: int
    ttl: int | None
    queue_timeout: int | None
    heartbeat_timeout: int | None
    max_retries: int
    backoff_base: int
    backoff_cap: int
    tags: str | None
    metadata: str | None
    resubmit_of: str | None
    hops: int
    traceparent: str | None
    created_at: int
    status: int
    attempts: int
    failures: int
    lost: int
    server_id: str | None
    started_at: int | None
    responded_at: int | None
    completed_at: int | None
    deadline: int | None
    error: str | None
    error_code: str | None
    error_details: str | None
    result_metadata: str | None
    progress: int | None
    message: str | None
    http_status: int | None
    ended_by: int | None
    purged: int
    retried: int


class QueueRow(NamedTuple):
    """A queued task's live state; `due_at` is null when it is ready, `wake_at` the first of all its times."""

    task_id: str
    owner: str
    lane: int
    limit_key: str
    avoid: str
    rank: int
    due_at: int | None
    wake_at: int | None
    attempts: int
    failures: int
    lost: int
    deadline: int | None
    queue_deadline: int | None
    queued_at: int
    last_server: str
    last_outcome: str | None
    updated_at: int


class RunRow(NamedTuple):
    """An attempt that holds a slot; `linger_until` is set once it was given up, and its task is then elsewhere."""

    task_id: str
    attempt: int
    server_id: str
    node: str
    rank: int
    avoid: str
    failures: int
    lost: int
    deadline: int | None
    started_at: int
    limit_at: int
    accepted: int
    responded_at: int | None
    beat_at: int
    progress: int | None
    message: str | None
    linger_until: int | None
    updated_at: int


class AttemptRow(NamedTuple):
    """A history entry: attempt numbers `attempt` to `last` (more than one when successive ones were folded)."""

    task_id: str
    attempt: int
    last: int
    server_id: str
    started_at: int
    ended_at: int
    outcome: str
    count: int  # type: ignore[assignment]
    http_status: int | None
    error: str | None
    metadata: str | None


class ServerRow(NamedTuple):
    """A registered server; `capabilities`, `groups`, `averages` and `metrics` are JSON text."""

    id: str
    name: str
    owner: str
    predict: str
    health_url: str
    metrics_url: str | None
    cancel_url: str | None
    api_key: str | None
    capabilities: str
    learns_capabilities: int
    groups: str
    max_concurrent: int
    weight: int
    is_async: int
    maintenance: int
    maintenance_reason: str | None
    draining: int
    removing_until: int | None
    registered_at: int
    last_heartbeat: int
    state: str
    online_since: int | None
    averages: str
    misconfigured: int
    paused_until: int | None
    pause_step: int
    held: int


class KeyRow(NamedTuple):
    """An idempotency key of a subject, the hash of the body it came with, and the task it made."""

    owner: str
    key: str
    hash: str
    task_id: str
    created_at: int
    expires_at: int


class StatRow(NamedTuple):
    """Counters of one hour to add: scope "yard" (key ''), "server" or "type". Sums of ms beside their counts.

    The scope "removed", by type and under the hour 0, counts the tasks that a sweep has removed; the scope "kept", by
    owner (key '': all) and under the hour 0, those that are there: `created` in all, the others by how they ended.
    """

    hour: int
    scope: str
    key: str
    created: int
    completed: int
    failed: int
    cancelled: int
    timed_out: int
    retried: int
    attempts_ok: int
    attempts_failed: int
    run_ms: int
    responses: int
    response_ms: int
    waits: int
    wait_ms: int
    online_ms: int
    last_at: int


STAT_NAMES = StatRow._fields[3:-1]


class SeriesRow(NamedTuple):
    """What happened in `step` ms from `at` on; `waits` and `runs` are the texts of spreads.

    `waiting` and `running` are the counts at the end. Since `since` the recording has been without a gap.
    """

    step: int
    at: int
    since: int
    submitted: int
    completed: int
    failed: int
    timed_out: int
    cancelled: int
    waits: str
    runs: str
    waiting: int
    running: int


class FailureRow(NamedTuple):
    """A group of an owner's failures in an hour since the epoch; `error` is its pattern.

    `minutes` (by minute: tasks that ended, and failures), `servers` (attempts by server) and `samples` (task ids, the
    latest last) are JSON text. `timeout` and `run_p95` are those of the latest attempt's type, in ms.
    """

    owner: str
    hour: int
    id: str
    type: str
    outcome: str
    http_status: int | None
    error_code: str | None
    error: str
    tasks: int
    attempts: int
    minutes: str
    servers: str
    samples: str
    first_at: int
    last_at: int
    timeout: int | None
    run_p95: int | None


class HealthRow(NamedTuple):
    """From when on a server had a status."""

    server_id: str
    at: int
    status: str
    reason: str | None


class LoadRow(NamedTuple):
    """A server in the 288 s from `at` on: `busy_ms` of `slot_ms` its slots were in use.

    `outcomes` is JSON text: by type how many attempts ended as completed, failed, timeout or otherwise.
    """

    server_id: str
    at: int
    busy_ms: int
    slot_ms: int
    picks: int
    completed: int
    failed: int
    run_ms: int
    responses: int
    response_ms: int
    outcomes: str


class FacetRow(NamedTuple):
    """A value of a field that was seen; `owner` '' stands for all."""

    field: str
    owner: str
    value: str
    last_at: int


class AuditRow(NamedTuple):
    """Who changed what."""

    at: int
    who: str
    action: str
    target: str
    details: str | None


class Record(NamedTuple):
    """A task with its live state: a queue row, or a run row, or neither when it has ended.

    `damaged` names the columns that the store could not read as they were written; there is something in their place.
    """

    task: TaskRow
    queue: QueueRow | None
    run: RunRow | None
    damaged: str = ""
