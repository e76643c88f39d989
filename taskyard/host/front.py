"""What the API asks of a node (see `port`), answered by the node's parts. Knows neither how they are made nor ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from taskyard.domain.outcomes import Status
from taskyard.domain.server import Server
from taskyard.engine.facts import CalledBack, Fact, Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Result
from taskyard.engine.rows import Record
from taskyard.host.backup import Backups
from taskyard.host.budget import Budget
from taskyard.host.clock import Clock, new_task_id
from taskyard.host.dispatcher import Dispatcher
from taskyard.host.effects import Effects
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.figures import FiguresView
from taskyard.host.inbox import Inbox
from taskyard.host.keys import Keys
from taskyard.host.loop import TurnLoop
from taskyard.host.metrics import Metrics
from taskyard.host.nodes.calls import Calls
from taskyard.host.nodes.nodes import Nodes
from taskyard.host.port import (
    Decider,
    End,
    FleetColumns,
    LiveCounts,
    NodeView,
    Outlook,
    ServerView,
    WaitingLanes,
    WaitingTask,
)
from taskyard.host.storage import Storage
from taskyard.host.telemetry import Telemetry
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.views import fleet_columns, live_counts, server_view
from taskyard.host.waiting import Board, Trials, waiting_task
from taskyard.host.watched import Watched
from taskyard.settings import Settings
from taskyard.store.port import Store

if TYPE_CHECKING:
    from taskyard.tracing.spans import Spans

T = TypeVar("T")
# A full disk is not mended in a second.
TIGHT_RETRY_MS = 10_000
PROGRAM = version("taskyard")


class Front:
    """A `NodePort`. What is only declared here is made when the node starts."""

    backups: Backups
    _storage: Storage
    _keys: Keys
    _policy: AddressPolicy
    _calls: Calls
    _dispatcher: Dispatcher
    _trials: Trials
    _metrics: Metrics
    _effects: Effects
    _loop: TurnLoop

    def __init__(self, settings: Settings, name: str = "node-1") -> None:
        self.settings = settings
        self.name = name
        self.port = settings.port
        self._clock = Clock()
        self._inbox = Inbox(settings.inbox_submissions, settings.inbox_calls)
        self._budget = Budget(settings.memory_budget)
        self._board = Board()
        self.figures = FiguresView(self._known, self.now)
        self._draining = False
        self._started_at = self._clock.now()
        self._nodes: Nodes | None = None
        self._telemetry: Telemetry | None = None
        self._spans: Spans | None = None

    @property
    def memory(self) -> Memory:
        """The engine's present memory; to be read only."""
        return self._loop.engine.memory

    def now(self) -> int:
        """The node's clock, int ms."""
        return self._clock.now()

    def new_task_id(self, now: int) -> str:
        """A new task's id whose time is `now`."""
        return new_task_id(now)

    async def ask(self, fact: Fact) -> Result:
        """See `NodePort.ask`."""
        return await self.put(fact)

    async def ask_many(self, facts: Sequence[Fact]) -> list[Result | Overloaded]:
        """See `NodePort.ask_many`."""
        return list(await asyncio.gather(*[self._ask_of_many(fact) for fact in facts]))

    async def _ask_of_many(self, fact: Fact) -> Result | Overloaded:
        try:
            return await self.put(fact)
        except Overloaded as overload:
            return overload

    def put(self, fact: Fact) -> asyncio.Future[Result]:
        """See `NodePort.put`."""
        if self._spans is not None and isinstance(fact, Submitted):
            return self._spans.submit(fact, self._take)
        return self._take(fact)

    def call_back(self, fact: CalledBack, traceparent: str | None) -> asyncio.Future[Result]:
        """See `NodePort.call_back`."""
        return self._take(fact) if self._spans is None else self._spans.call_back(fact, traceparent, self._take)

    def _take(self, fact: Fact) -> asyncio.Future[Result]:
        if self._nodes is not None and self._nodes.takes_in(fact):
            return self._nodes.put(fact)
        if (away := self._away()) is not None:
            raise Unavailable(away)
        if isinstance(fact, Submitted) and (tight := self._storage.tight()) is not None:
            raise Unavailable(tight, TIGHT_RETRY_MS)
        self._inbox.put(fact)
        return self._effects.expect(fact)

    def _tell(self, fact: Fact) -> None:
        """What the dispatcher and the checks have found out, for whoever decides."""
        if self._nodes is None or self._nodes.deciding:
            self._inbox.put(fact)
        else:
            self._nodes.tell(fact)

    def is_stored(self, decided: asyncio.Future[Result]) -> bool:
        """See `NodePort.is_stored`."""
        return self._nodes is not None and self._nodes.intake.is_stored(decided)

    @property
    def decider(self) -> Decider | None:
        """See `NodePort.decider`."""
        nodes = self._nodes
        return None if nodes is None or nodes.deciding else nodes.decider

    @property
    def decides(self) -> bool:
        """See `NodePort.decides`."""
        return not self._loop.standby and (self._nodes is None or self._nodes.deciding)

    def unsure(self) -> str | None:
        """See `NodePort.unsure`."""
        if (away := self._away()) is not None:
            return away
        if self._nodes is not None and (lost := self._nodes.not_ready()) is not None:
            return lost
        return "the turn is stalled" if self._loop.stalled() else None

    async def caught_up(self) -> None:
        """See `NodePort.caught_up`."""
        if self._nodes is not None:
            await self._nodes.lines.caught_up()

    def nodes(self) -> list[NodeView]:
        """See `NodePort.nodes`."""
        if self._nodes is not None:
            return self._nodes.views()
        sending = len(self._dispatcher.sending())
        url = self.settings.node_base(self.port)
        name = self.settings.node_name or self.name
        return [
            NodeView(self.name, name, url, True, "decider", 0, PROGRAM, self._started_at, self._draining, sending, 0)
        ]

    async def call_decider(self, url: str, body: bytes, limit_ms: int, lane: str = "node") -> bytes:
        """See `NodePort.call_decider`."""
        return await self._calls.call(url, body, limit_ms, lane)

    def is_internal(self, token: str) -> bool:
        """See `NodePort.is_internal`."""
        return self._keys.is_internal(token)

    async def read(self, query: Callable[[Store], T]) -> T:
        """See `NodePort.read`."""
        return await self._storage.read(query)

    async def wait_ended(self, task_id: str, timeout_ms: int) -> End | None:
        """See `NodePort.wait_ended`."""
        return None if self._draining else await self._effects.ended.wait(task_id, timeout_ms)

    async def wait_changed(self, task_id: str, timeout_ms: int) -> bool:
        """See `NodePort.wait_changed`."""
        return not self._draining and await self._effects.changed.wait(task_id, timeout_ms) is not None

    async def wait_checked(self, server_id: str, timeout_ms: int) -> bool:
        """Wait until a health check of the server has ended; false after `timeout_ms`."""
        server = self._find(server_id)
        if server is None or not server.checking:
            return True
        return await self._effects.checked.wait(server_id, timeout_ms) is not None

    async def callback_server(self, task_id: str, attempt: int) -> str | None:
        """See `NodePort.callback_server`."""
        run = self.memory.runs.get((task_id, attempt)) if self._nodes is None or self._nodes.deciding else None
        if run is not None:
            return run.server.id
        return await self.read(lambda store: store.attempt_server(task_id, attempt))

    def proof_is_good(self, task_id: str, attempt: int, server_id: str, proof: str) -> bool:
        """See `NodePort.proof_is_good`."""
        return self._keys.proof_is_good(task_id, attempt, server_id, proof)

    def seal(self, api_key: str) -> str:
        """See `NodePort.seal`."""
        return self._keys.seal(api_key)

    def servers(self) -> list[ServerView]:
        """See `NodePort.servers`."""
        return [server_view(server) for server in self._known().fleet.servers.values()]

    def server(self, server_id: str) -> ServerView | None:
        """See `NodePort.server`."""
        server = self._known().fleet.servers.get(server_id)
        return server_view(server) if server is not None else None

    def fleet(self) -> FleetColumns:
        """See `NodePort.fleet`."""
        return fleet_columns(self._known())

    @property
    def watched(self) -> Watched:
        """See `NodePort.watched`."""
        return self._effects.watched

    def address_denied(self, url: str) -> str | None:
        """See `NodePort.address_denied`."""
        return self._policy.check_url(url)

    @property
    def algorithm(self) -> str:
        """The load-balancing policy in force."""
        return self._known().fleet.policy.name

    def live(self) -> LiveCounts:
        """See `NodePort.live`."""
        return live_counts(self._known())

    def halted(self) -> str | None:
        """See `NodePort.halted`."""
        if self._draining:
            return "draining"
        if self._loop.away is not None:
            return "store_away"
        return "stalled" if self._loop.stalled() else None

    def why(self, record: Record) -> WaitingTask | Status | None:
        """See `NodePort.why`."""
        return waiting_task(self._known(), record, self.now(), self.halted())

    async def outlook(self, waits: WaitingTask) -> Outlook:
        """See `NodePort.outlook`."""
        if waits.task is None:
            return Outlook(None, None)
        return await self._trials.outlook(waits.task, self._known, self.now)

    def waiting(self, most: int) -> WaitingLanes:
        """See `NodePort.waiting`."""
        return self._board.look(self._known(), most, self.now(), self.halted())

    def not_ready(self) -> str | None:
        """See `NodePort.not_ready`."""
        if self._draining:
            return "draining: the node is about to stop"
        if self._nodes is not None and not self._nodes.deciding:
            return self._nodes.not_ready()
        if (away := self._away()) is not None:
            return away
        if (tight := self._storage.tight()) is not None:
            return tight
        return "the turn is stalled" if self._loop.stalled() else None

    def draining(self) -> bool:
        """See `NodePort.draining`."""
        return self._draining

    def reserve(self, size: int) -> bool:
        """See `NodePort.reserve`."""
        return self._budget.reserve(size)

    def count(self, size: int) -> None:
        """See `NodePort.count`."""
        self._budget.add(size)

    def release(self, size: int) -> None:
        """See `NodePort.release`."""
        self._budget.release(size)

    @property
    def in_flight(self) -> int:
        """Bytes of bodies in flight."""
        return self._budget.used

    def metrics(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self._metrics.text()

    def _away(self) -> str | None:
        """Why nothing can be taken in now, if so."""
        if self._loop.away is None:
            return None
        return f"standby: {self._loop.away}" if self._loop.standby else f"the store is away: {self._loop.away}"

    def _known(self) -> Memory:
        """What this node knows, if it is of any use. Raises `Unavailable`."""
        if self._loop.standby:
            raise Unavailable(self._away() or "standby")
        return self.memory

    def _find(self, server_id: str) -> Server | None:
        if self._nodes is not None and not self._nodes.deciding:
            return self._nodes.server(server_id)
        return self.memory.fleet.servers.get(server_id)

    def _public_base(self) -> str:
        return self.settings.public_base(self.port)
