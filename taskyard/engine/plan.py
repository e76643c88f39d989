"""The plan: all that a turn decided, as data. What to write, what to read with it, and what the host does after.

The store carries out `writes`, `refills`, `wakes` and `payloads` in one transaction and answers with a `Receipt`. Only
then does the host carry out `effects`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from taskyard.domain.outcomes import Outcome, Status
from taskyard.domain.task import Spec
from taskyard.engine.facts import Fact
from taskyard.engine.rows import (
    AttemptRow,
    AuditRow,
    EndedTask,
    FacetRow,
    FailureRow,
    HealthRow,
    KeyRow,
    LaneRow,
    LoadRow,
    NewTask,
    QueueRow,
    Record,
    RunRow,
    SeriesRow,
    ServerRow,
    StatRow,
)


@dataclass(slots=True)
class Writes:
    """Rows by what is to be done with them, in the order in which the store does it."""

    lanes: list[LaneRow] = field(default_factory=list)
    tasks: list[NewTask] = field(default_factory=list)
    payloads: list[tuple[str, str]] = field(default_factory=list)  # task, JSON text
    tags: list[tuple[str, str]] = field(default_factory=list)  # tag, task
    keys: list[KeyRow] = field(default_factory=list)
    reopened: list[tuple[str]] = field(default_factory=list)  # task: live again, its end and result erased
    retried: list[tuple[str]] = field(default_factory=list)  # task: had its first retry
    unqueued: list[tuple[str]] = field(default_factory=list)  # task
    queued: list[QueueRow] = field(default_factory=list)  # upsert
    stopped: list[tuple[str, int]] = field(default_factory=list)  # task, attempt: the slot is free
    runs: list[RunRow] = field(default_factory=list)  # upsert
    attempts: list[AttemptRow] = field(default_factory=list)  # folded into the last entry where `count` > 1
    ended: list[EndedTask] = field(default_factory=list)
    results: list[tuple[str, str]] = field(default_factory=list)  # task, JSON text
    purged: list[tuple[str]] = field(default_factory=list)  # task
    servers: list[ServerRow] = field(default_factory=list)  # upsert
    unregistered: list[tuple[str]] = field(default_factory=list)  # server
    stats: list[StatRow] = field(default_factory=list)  # added to what is there
    series: list[SeriesRow] = field(default_factory=list)  # upsert, as are the others of these figures
    failures: list[FailureRow] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)  # task, group of failures
    health: list[HealthRow] = field(default_factory=list)
    loads: list[LoadRow] = field(default_factory=list)
    facets: list[FacetRow] = field(default_factory=list)
    settings: list[tuple[str, str]] = field(default_factory=list)  # name, value
    audit: list[AuditRow] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


class Refill(NamedTuple):
    """Read the next tasks of a flow: ready ones, rank at least `start`, in order."""

    lane: int
    limit_key: str
    avoid: str
    start: int
    limit: int


class WakeRead(NamedTuple):
    """Read the next queued tasks by (wake_at, id) after this pair, in order."""

    after_at: int
    after_id: str
    limit: int


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Refusal:
    """A call that is refused. `code` is one of a closed set, `status` the task's state where that forbids it."""

    code: str
    details: str
    status: Status | None = None


@dataclass(slots=True)
class SubmitDone:
    """A task was taken, or (`replayed`) had been under the same idempotency key."""

    task_id: str
    created_at: int
    replayed: bool = False


@dataclass(slots=True)
class TaskDone:
    """A call on a task took effect (or, for a repeated callback, had already)."""

    task_id: str
    status: Status
    updated_at: int


@dataclass(frozen=True, slots=True)
class ServerDone:
    """A call on a server took effect. `created` says that it was new; `key_dropped` that its old apiKey was."""

    server_id: str
    status: str
    created: bool = False
    key_dropped: bool = False


@dataclass(frozen=True, slots=True)
class AlgorithmDone:
    """The policy in force."""

    name: str


@dataclass(frozen=True, slots=True)
class NoteDone:
    """It stands in the audit log."""


Result = Refusal | SubmitDone | TaskDone | ServerDone | AlgorithmDone | NoteDone


# --- effects ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Answer:
    """Tell whoever waits under `ref`."""

    ref: int
    result: Result


@dataclass(slots=True)
class Dispatch:
    """POST attempt number `attempt` to the server. `waited_ms` is the time since the task was ready."""

    task_id: str
    attempt: int
    server_id: str
    node: str
    type: str
    priority: int
    capabilities: tuple[str, ...]
    run_async: bool
    limit_at: int
    timeout_ms: int
    hops: int
    traceparent: str | None
    waited_ms: int
    payload: str | None


@dataclass(frozen=True, slots=True)
class Abort:
    """Give up an attempt: close its connection, and ask the server's cancel endpoint where it has one.

    `api_key` is the server's (encrypted by the host): by the time of asking the server may be gone.
    """

    task_id: str
    attempt: int
    server_id: str
    node: str
    cancel_url: str | None
    api_key: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """Run a health check; send `Checked` with this `ref`."""

    server_id: str
    ref: int = 0


@dataclass(slots=True)
class Changed:
    """A task's status changed."""

    task_id: str
    status: Status


@dataclass(slots=True)
class AttemptOver:
    """An attempt ended: for metrics, logs and traces. `took_ms` from dispatch, `response_ms` to the predict answer."""

    task_id: str
    attempt: int
    server_id: str
    spec: Spec
    outcome: Outcome
    took_ms: int
    response_ms: int | None
    error: str | None


@dataclass(slots=True)
class Unserved:
    """A task ended while it waited, after so many attempts; `waited_ms` is how long this time."""

    task_id: str
    attempts: int
    spec: Spec
    status: Status
    waited_ms: int


@dataclass(frozen=True, slots=True)
class ServerChanged:
    """A server's status changed, or it is gone (`status` None)."""

    server_id: str
    status: str | None
    reason: str | None


@dataclass(frozen=True, slots=True)
class Forget:
    """A server is gone for good: its connections can be closed."""

    server_id: str


@dataclass(slots=True)
class Post:
    """What concerns other nodes, in the transaction of a turn.

    `taken` are lines of the inbox as (node, number), `letters` (node, kind, task, JSON text), `gone` nodes that are
    dead, `unread` nodes that will read no letter of before. `verdicts` are answers to this node's own lines, by number.
    """

    taken: list[tuple[str, int]] = field(default_factory=list)
    letters: list[tuple[str, str, str, str]] = field(default_factory=list)
    gone: list[tuple[str]] = field(default_factory=list)
    unread: list[tuple[str]] = field(default_factory=list)
    verdicts: list[tuple[int, Result]] = field(default_factory=list)


AnyEffect = Answer | Dispatch | Abort | Check | Changed | AttemptOver | Unserved | ServerChanged | Forget


@dataclass(slots=True)
class Plan:
    """What one turn decided. `again`: another turn would decide more at once; `deferred` facts go first in it."""

    now: int
    writes: Writes = field(default_factory=Writes)
    refills: list[Refill] = field(default_factory=list)
    wakes: WakeRead | None = None
    payloads: list[str] = field(default_factory=list)
    effects: list[AnyEffect] = field(default_factory=list)
    again: bool = False
    deferred: list[Fact] = field(default_factory=list)
    epoch: int = 0
    post: Post | None = None

    def is_empty(self) -> bool:
        """Whether the store has nothing to do."""
        return not (self.writes or self.refills or self.wakes or self.payloads or self.post)


@dataclass(slots=True)
class Receipt:
    """The store's answer to a committed plan: rows per refill (in the plan's order), per wake read, and payloads."""

    refills: list[list[Record]] = field(default_factory=list)
    wakes: list[Record] = field(default_factory=list)
    payloads: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Lookup:
    """What must be read before a turn: tasks by id, and idempotency keys as (owner, key)."""

    tasks: list[str] = field(default_factory=list)
    keys: list[tuple[str, str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.tasks or self.keys)


@dataclass(slots=True)
class Found:
    """The answer to a lookup; what is absent does not exist."""

    tasks: dict[str, Record] = field(default_factory=dict)
    keys: dict[tuple[str, str], KeyRow] = field(default_factory=dict)


@dataclass(slots=True)
class FlowCount:
    """How many tasks are ready in a flow."""

    lane: int
    limit_key: str
    avoid: str
    count: int


@dataclass(slots=True)
class Snapshot:
    """All that a start needs from the store; windows are filled by refills in the first turn.

    `lane_queued` counts all queued tasks by lane, `owner_queued` by owner, `wakes` is the first batch by wake time and
    `wakes_complete` says that there are no more.
    """

    servers: list[ServerRow] = field(default_factory=list)
    lanes: list[LaneRow] = field(default_factory=list)
    flows: list[FlowCount] = field(default_factory=list)
    lane_queued: dict[int, int] = field(default_factory=dict)
    owner_queued: dict[str, int] = field(default_factory=dict)
    runs: list[Record] = field(default_factory=list)  # of tasks that run
    lingering: list[RunRow] = field(default_factory=list)  # attempts given up
    wakes: list[Record] = field(default_factory=list)
    wakes_complete: bool = True
    last_place: int = 0
    last_time: int = 0
    settings: dict[str, str] = field(default_factory=dict)
    damaged: list[str] = field(default_factory=list)  # what was left out, for its rows cannot be read
    # Of the figures what is not over: the latest spans, the latest hour's failures, each server's last status.
    series: list[SeriesRow] = field(default_factory=list)
    failures: list[FailureRow] = field(default_factory=list)
    loads: list[LoadRow] = field(default_factory=list)
    health: list[HealthRow] = field(default_factory=list)
