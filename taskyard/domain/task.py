"""A live task and its attempts, as the scheduler's memory holds them. Knows nothing of stores, HTTP or clocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskyard.domain.outcomes import Outcome, Status

if TYPE_CHECKING:
    from taskyard.domain.fleet import Flow, Lane
    from taskyard.domain.server import Server


@dataclass(slots=True)
class Spec:
    """What a client submitted, with all defaults applied. Never changed from then on. Times in int ms.

    (Not `frozen`: a frozen dataclass of so many members takes three times as long to make.)

    `capabilities` keeps the client's order; `run_at` is `None` for "now"; `ttl_ms`, `queue_timeout_ms` and
    `heartbeat_timeout_ms` are `None` when there is no such limit; `metadata` is JSON text; `traceparent` is passed on
    with each attempt and means nothing here.
    """

    id: str
    owner: str
    type: str
    created_at: int
    priority: int = 0
    capabilities: tuple[str, ...] = ()
    group: str = ""
    pin: str = ""
    run_async: bool = True
    run_at: int | None = None
    timeout_ms: int = 3_600_000
    ttl_ms: int | None = None
    queue_timeout_ms: int | None = None
    heartbeat_timeout_ms: int | None = None
    max_retries: int = 3
    backoff_base_ms: int = 1000
    backoff_cap_ms: int = 30_000
    tags: tuple[str, ...] = ()
    metadata: str | None = None
    resubmit_of: str | None = None
    hops: int = 0
    traceparent: str | None = None


@dataclass(eq=False, slots=True)
class Task:
    """A task that is queued or running.

    `rank` is its priority and place; `due_at` is set while it waits for a time (`runAt`, back-off) and is then in no
    window. `attempts` numbers every dispatch (the fence), `failures` and `lost` count what their limits bound.
    `avoid` is the server where it failed last. `deadline` is the `ttl`'s end, `queue_deadline` that of the wait for
    the first dispatch. `queued_at` is when its present wait began. `last_server` and `last_outcome` are those of
    attempt number `attempts` once it was given up. `retried` says that it was ever tried again by itself after it had
    failed: so it is counted once, whatever is done by hand.
    """

    id: str  # the spec's, for it is asked for everywhere
    spec: Spec
    lane: Lane
    rank: int
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    avoid: str = ""
    due_at: int | None = None
    deadline: int | None = None
    queue_deadline: int | None = None
    queued_at: int = 0
    last_server: str = ""
    last_outcome: Outcome | None = None
    status: Status = Status.PENDING
    run: Run | None = None
    flow: Flow | None = None
    payload: str | None = None
    # Bookkeeping: where memory holds it, and what the store knows of it.
    in_window: bool = False
    in_wakes: bool = False
    row_in_queue: bool = False
    ended_by: int | None = None
    retried: bool = False
    home: str = ""  # the node where a client waits for it, as far as memory knows
    damaged: str = ""  # what of its row cannot be read: it has to end

    @property
    def wake_at(self) -> int | None:
        """When the queued task must be looked at next, whatever the slots do; `None`: never."""
        at = self.due_at
        if self.deadline is not None and (at is None or self.deadline < at):
            at = self.deadline
        if self.queue_deadline is not None and (at is None or self.queue_deadline < at):
            at = self.queue_deadline
        return at


@dataclass(eq=False, slots=True)
class Run:
    """One attempt that holds a slot of its server: dispatching, accepted, or given up and lingering. Times in int ms.

    `responded_at` is when the predict answer came, `limit_at` when the attempt times out, `beat_at` the last word of
    the backend, `linger_until` is set once the attempt was given up.
    """

    task_id: str
    attempt: int
    server: Server
    node: str
    started_at: int
    limit_at: int
    task: Task | None = None
    accepted: bool = False
    responded_at: int | None = None
    beat_at: int = 0
    progress: int | None = None
    message: str | None = None
    linger_until: int | None = None
    stored: bool = False
    dirty: bool = False
    over: bool = False
    saved_progress_at: int = 0
    progress_due: int | None = None

    def wake_at(self) -> int:
        """When this attempt must be looked at next."""
        if self.linger_until is not None:
            return self.linger_until
        task = self.task
        at = self.limit_at
        if task is not None:
            if task.deadline is not None and task.deadline < at:
                at = task.deadline
            beat = task.spec.heartbeat_timeout_ms
            if beat is not None and self.accepted and self.beat_at + beat < at:
                at = self.beat_at + beat
            if self.progress_due is not None and self.progress_due < at:
                at = self.progress_due
        return at
