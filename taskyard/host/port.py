"""What the API may ask of a node: facts in, results out, reads, waits, and views of what only memory knows.

Views are snapshots as plain data. Times are int ms since the epoch, durations int ms, loads and rates 0-1.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar

from taskyard.domain.outcomes import Status
from taskyard.domain.task import Task
from taskyard.engine.facts import CalledBack, Fact
from taskyard.engine.forecast import Estimate
from taskyard.engine.plan import Result
from taskyard.engine.position import Ahead
from taskyard.engine.remedy import Remedy
from taskyard.engine.rows import EndedTask, Record
from taskyard.engine.why import Why
from taskyard.host.backup import Backups
from taskyard.host.errors import Overloaded
from taskyard.host.watched import Watched
from taskyard.settings import Settings
from taskyard.store.port import Store

if TYPE_CHECKING:
    from taskyard.host.figures import FiguresView

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server as it is now. `last_check` and `check_error` are of the newest health check, `None` before it."""

    id: str
    name: str
    owner: str
    status: str
    registered_at: int
    last_heartbeat: int
    online_since: int | None
    groups: tuple[str, ...]
    capabilities: tuple[str, ...]
    weight: int
    max_concurrent: int
    active: int
    reported_active: int | None
    predict: str
    health_url: str
    metrics_url: str | None
    cancel_url: str | None
    is_async: bool
    maintenance_reason: str | None
    misconfigured: bool
    paused_until: int | None
    removing_until: int | None
    last_passed: bool
    last_check: int | None
    check_error: str | None
    consecutive_failures: int
    score: float
    load: float


@dataclass(frozen=True, slots=True)
class LiveCounts:
    """What is queued and what runs now; `oldest_pending_at` is the creation time of the oldest queued task known."""

    pending: int
    processing: int
    oldest_pending_at: int | None


class FleetColumns(NamedTuple):
    """What changes of all servers by the second, in columns: the same place in each is one server. `ms` is the decaying
    average of its completed attempts' run times, over their types alike; `None` before there is one."""

    ids: list[str]
    status: list[str]
    active: list[int]
    slots: list[int]
    ms: list[int | None]


class WaitingTask(NamedTuple):
    """Why a task waits, what stands before it (`None` while it waits for a time), and the task if trying has sense."""

    why: Why
    ahead: Ahead | None
    task: Task | None


class Outlook(NamedTuple):
    """What would start a waiting task at once, and when it will start as things stand; `None`: there is no telling."""

    remedy: Remedy | None
    estimate: Estimate | None


class WaitingLane(NamedTuple):
    """Queued tasks with the same requirements, and why the most of them wait; `oldest_at` as far as memory knows."""

    capabilities: tuple[str, ...]
    group: str
    pin: str
    queued: int
    oldest_at: int | None
    why: Why


class WaitingLanes(NamedTuple):
    """Some lanes as they were at `as_of` (int ms), and how many lanes with how many queued tasks are not among them."""

    as_of: int
    lanes: list[WaitingLane]
    other_lanes: int
    other_queued: int


class End(NamedTuple):
    """How a task ended, as its turn has stored it; `result` is JSON text."""

    row: EndedTask
    result: str | None


class Decider(NamedTuple):
    """The node that decides while this one does not: its URL (`None`: unknown), and whose submissions it should take
    itself, since a limit is near: everybody's (`careful`), or those of `owners`."""

    url: str | None
    careful: bool
    owners: frozenset[str] = frozenset()


class NodeView(NamedTuple):
    """One of the nodes: `role` is "decider", "member" or "gone", `lag` ms since it was heard, `load` what it sends."""

    id: str
    name: str
    url: str
    is_self: bool
    role: Literal["decider", "member", "gone"]
    epoch: int
    version: str
    started_at: int
    draining: bool
    load: int
    lag: int


class NodePort(Protocol):
    """A running node."""

    settings: Settings
    name: str
    backups: Backups
    figures: FiguresView

    def now(self) -> int:
        """The node's wall clock in ms; never goes back."""

    def new_task_id(self, now: int) -> str:
        """`task_` + a UUIDv7 in hex whose time is `now`."""

    def put(self, fact: Fact) -> asyncio.Future[Result]:
        """As `ask`, for who may not wait to the end: the fact is decided all the same."""

    def call_back(self, fact: CalledBack, traceparent: str | None) -> asyncio.Future[Result]:
        """As `put`, for a callback and the trace context that came with it."""

    async def ask(self, fact: Fact) -> Result:
        """Put a fact into the inbox and return what its turn answered, after the commit.

        Raises `Overloaded` when the inbox is full and `Unavailable` when the store is away or the node stops.
        """

    async def ask_many(self, facts: Sequence[Fact]) -> list[Result | Overloaded]:
        """As `ask`, for many at once; results in order, an `Overloaded` for each that could not be taken."""

    def is_stored(self, decided: asyncio.Future[Result]) -> bool:
        """Whether a fact whose answer is awaited is stored, though no turn has decided it yet."""

    @property
    def decider(self) -> Decider | None:
        """Who decides; `None` when this node does, or would."""

    @property
    def decides(self) -> bool:
        """Whether this node decides and has read what it needs for that; neither this nor `decider` between two."""

    def unsure(self) -> str | None:
        """Why what this node knows may be so no more, or `None`: the store is away, or no turns are taken."""

    async def caught_up(self) -> None:
        """Until what other nodes have stored for this one is decided, or has waited for long enough."""

    def nodes(self) -> list[NodeView]:
        """All nodes as this one last saw them."""

    async def call_decider(self, url: str, body: bytes, limit_ms: int, lane: str = "node") -> bytes:
        """Have another node answer a call; what it said. No lane's calls wait for another's. Raises `Unavailable`."""

    def is_internal(self, token: str) -> bool:
        """Whether a token is another node's of this yard."""

    async def read(self, query: Callable[[Store], T]) -> T:
        """Run a read of the store on a reader thread. Raises `Unavailable`."""

    async def wait_ended(self, task_id: str, timeout_ms: int) -> End | None:
        """Wait until the task has ended; `None` after `timeout_ms` or when the node drains.

        Call it before the read that decides whether there is anything to wait for: see `watch`.
        """

    async def wait_changed(self, task_id: str, timeout_ms: int) -> bool:
        """Wait until the task's status changes; false after `timeout_ms` or when the node drains."""

    async def wait_checked(self, server_id: str, timeout_ms: int) -> bool:
        """Wait until the server's first health check has ended; false after `timeout_ms`. At once when it had one."""

    async def callback_server(self, task_id: str, attempt: int) -> str | None:
        """The server of an attempt, from memory or the store; `None` when there is none."""

    def proof_is_good(self, task_id: str, attempt: int, server_id: str, proof: str) -> bool:
        """Whether a callback's proof is right, in constant time."""

    def seal(self, api_key: str) -> str:
        """Encrypt an apiKey for the store."""

    def servers(self) -> list[ServerView]:
        """All servers, those being removed included."""

    def server(self, server_id: str) -> ServerView | None:
        """One server."""

    def fleet(self) -> FleetColumns:
        """What changes of all servers by the second, those being removed excepted."""

    @property
    def watched(self) -> Watched:
        """Tasks that somebody follows."""

    def address_denied(self, url: str) -> str | None:
        """Why the address policy denies an endpoint URL as far as can be told without resolving it, or `None`."""

    @property
    def algorithm(self) -> str:
        """The load-balancing policy in force."""

    def live(self) -> LiveCounts:
        """Counts of now."""

    def halted(self) -> str | None:
        """Why no tasks are started ("draining", "store_away", "stalled"), or `None` when they are."""

    def why(self, record: Record) -> WaitingTask | Status | None:
        """Why the task of a record that says it is queued waits; its status when it waits no longer.

        `None`: it has moved on, read it again.
        """

    async def outlook(self, waits: WaitingTask) -> Outlook:
        """What can be said of when the task will start."""

    def waiting(self, most: int) -> WaitingLanes:
        """The lanes with queued tasks, the oldest first, and why they wait; now or a moment ago."""

    def not_ready(self) -> str | None:
        """Why the node is not ready, or `None` when it is."""

    def draining(self) -> bool:
        """Whether the node is about to stop."""

    def reserve(self, size: int) -> bool:
        """Take bytes from the budget of bodies in flight; false when it is used up."""

    def count(self, size: int) -> None:
        """Take bytes from it that are held already, whether or not it has them."""

    def release(self, size: int) -> None:
        """Give bytes back."""

    def metrics(self) -> bytes:
        """All metrics in Prometheus' text format."""
