"""A node: the engine's turns, the store's threads, the dispatcher, the checks and the timers, put together.

It is what the API asks (see `port`). It knows nothing of routes, tokens or people.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import TypeVar

import structlog

from taskyard.domain.outcomes import Status
from taskyard.domain.server import Server
from taskyard.engine.facts import Fact, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Result
from taskyard.engine.rows import Record
from taskyard.host.backup import Backups
from taskyard.host.budget import Budget
from taskyard.host.checks import Checks
from taskyard.host.clock import Clock, new_task_id
from taskyard.host.dispatcher import Dispatcher
from taskyard.host.effects import Effects
from taskyard.host.errors import Overloaded, StartError, Unavailable
from taskyard.host.figures import FiguresView
from taskyard.host.inbox import Inbox
from taskyard.host.keys import Keys, load_keys
from taskyard.host.loop import TurnLoop
from taskyard.host.metrics import Metrics
from taskyard.host.nodes.nodes import Hands, Nodes
from taskyard.host.opening import open_store
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
from taskyard.host.promises import Promises
from taskyard.host.storage import Storage
from taskyard.host.sweeper import Sweeper
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds, TransportError
from taskyard.host.views import fleet_columns, live_counts, server_view
from taskyard.host.waiting import Board, Trials, waiting_task
from taskyard.host.watched import Watched
from taskyard.settings import Settings
from taskyard.store.nodes import Shared
from taskyard.store.port import Store, StoreError

log = structlog.get_logger()
T = TypeVar("T")
SWITCH_INTERVAL_S = 0.0005
# A full disk is not mended in a second.
TIGHT_RETRY_MS = 10_000
GC_THRESHOLD = 20_000
PROGRAM = version("taskyard")
# Between nodes: an answer's bytes at most, and connections.
INTERNAL_MOST = 64 << 20
INTERNAL_CONNECTIONS = 64


class Node:
    """One running node. `listeners` are the addresses that its own server listens on, which no endpoint may be."""

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

    async def start(self, listeners: Sequence[tuple[str, int]] = ()) -> None:
        """Open the store, recover, and begin to take turns. Raises `StartError`."""
        settings = self.settings
        # The writer thread must not wait 5 ms for the interpreter beside a busy loop (measured: p50 8 -> 0.6 ms).
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            store = await asyncio.to_thread(open_store, settings)
        except StoreError as error:
            raise StartError(str(error)) from error
        self._storage = Storage(store, settings.reads_waiting)
        try:
            self._keys = Keys(load_keys([key.reveal() for key in settings.secret_key], settings.data_path))
            self._policy = AddressPolicy(listeners, settings.endpoint_allow)
            self._transport = Client(self._policy, budget=self._budget)
            self._inside = Client(AddressPolicy((), ()))
            self._dispatcher = Dispatcher(
                settings,
                self._transport,
                self._budget,
                self._keys,
                self._tell,
                self._find,
                self.now,
                self._public_base,
            )
            self._checks = Checks(self._transport, self._tell, self._find, settings.check_timeout)
            promises = Promises(self.now)
            self._trials = Trials(settings.reads_waiting, promises)
            self._metrics = Metrics(
                lambda: self.memory, store.sizes, store.tight, self.now, lambda: self.not_ready() is None, promises
            )
            self._effects = Effects(
                self._dispatcher, self._checks, self._metrics, self._transport, self._budget, promises
            )
            if isinstance(store, Shared):
                self._nodes = await self._join(store)
            self._loop = TurnLoop(
                self._storage,
                self._inbox,
                self._clock,
                engine_limits(settings),
                self.name,
                turn_facts=settings.turn_facts,
                turn_bytes=settings.turn_bytes,
                stall_ms=settings.turn_stall,
                carry_out=self._effects.carry_out,
                fail=self._effects.fail,
                refuse=self._effects.refuse,
                observe=self._metrics.turned,
                sending=self._dispatcher.sending,
                nodes=self._nodes,
            )
            self._sweeper = Sweeper(
                self._storage,
                self.now,
                lambda: self.memory.queued + self.memory.processing,
                retention_ms=settings.retention,
                count=settings.retention_count,
                hold_ms=settings.sweep_hold,
                history_ms=settings.history_retention,
                audit_ms=settings.audit_retention,
            )
            self.backups = Backups(self._storage, settings.backup_path, self.now, settings.backup_room)
            if self._nodes is not None:
                await self._nodes.start()
            await self._loop.start()
        except (StoreError, ValueError) as error:
            await self._storage.close()
            raise StartError(str(error)) from error
        except StartError:
            await self._storage.close()
            raise
        self._metrics.start()
        self._sweeper.start()
        # What stands now stays: the collector need not walk it again, and live tasks are few and free of cycles.
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD, 20, 20)
        log.info("node_started", node=self.name, servers=len(self.memory.fleet.servers), queued=self.memory.queued)

    async def _join(self, store: Shared) -> Nodes:
        """One of many: by the database's clock, under a name that no other process has. Raises `StoreError`."""
        self.name = store.nodes.id
        self._clock.set(await asyncio.to_thread(store.nodes.now))
        hands = Hands(
            dispatch=self._effects.dispatch,
            abort=self._dispatcher.abort,
            sending=self._dispatcher.sending,
            memory=lambda: self.memory,
            url=lambda: self.settings.node_base(self.port),
        )
        name = self.settings.node_name or f"{socket.gethostname()}:{self.port}"
        return Nodes(self.settings, store, self._clock, self._inbox, self._effects, hands, name=name, version=PROGRAM)

    async def drain(self) -> None:
        """Dispatch nothing new, let who waits go, and give what is being sent a while to end."""
        self._draining = True
        if self._nodes is not None and (self._nodes.members.alive or not self._nodes.deciding):
            self._nodes.draining = True
            await self._loop.resign()
            self._effects.release_waiters()
            await self._nodes.withdraw()
        else:
            self._loop.drain()
            self._effects.release_waiters()
        await self._dispatcher.idle(self.settings.drain_timeout)

    async def stop(self) -> None:
        """End everything and close the store; what was acknowledged is in it."""
        await self.backups.stop()
        await self._sweeper.stop()
        await self._metrics.stop()
        await self._dispatcher.close()
        await self._checks.close()
        await self._loop.stop()
        if self._nodes is not None:
            await self._nodes.stop()
        self._effects.fail_all("the node stops")
        await self._transport.close()
        await self._inside.close()
        await self._storage.close()
        log.info("node_stopped", node=self.name)

    # --- what the API asks --------------------------------------------------------------------------------------------

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
        if nodes is None or nodes.deciding:
            return None
        return Decider(nodes.members.decider_url, nodes.careful())

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

    async def call_decider(self, url: str, body: bytes, limit_ms: int) -> bytes:
        """See `NodePort.call_decider`."""
        bounds = Bounds(
            total_ms=limit_ms, body_max=INTERNAL_MOST, connect_ms=self.settings.connect_timeout, silence_ms=limit_ms
        )
        try:
            reply = await self._inside.post(
                url,
                [(b"Authorization", b"Bearer " + self._keys.internal.encode())],
                body,
                bounds,
                pool_key="decider",
                max_connections=INTERNAL_CONNECTIONS,
            )
        except TransportError as error:
            raise Unavailable("the node that decides does not answer") from error
        if reply.status != 200:
            raise Unavailable("no node decides now")
        return reply.body

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


def engine_limits(settings: Settings) -> Limits:
    """The engine's numbers from the settings."""
    return Limits(
        max_queued=settings.max_queued,
        max_queued_per_sub=settings.max_queued_per_sub,
        max_lanes=settings.max_lanes,
        max_lanes_per_sub=settings.max_lanes_per_sub,
        max_lost=settings.max_lost,
        linger_ms=settings.linger,
        retry_budget=settings.retry_budget,
        check_timeout_ms=settings.check_timeout,
        offline_grace_ms=settings.offline_grace,
        stale_ms=settings.server_stale_threshold,
        sweep_ms=settings.server_cleanup_interval,
        removal_grace_ms=settings.removal_grace,
        idempotency_ms=settings.idempotency_retention,
        recovery_spread_ms=settings.recovery_spread,
        recovery_grace_ms=settings.recovery_grace,
        window_entries=settings.window_entries,
        wake_entries=settings.wake_entries,
        payload_bytes=settings.payload_memory,
        dispatches_per_turn=settings.turn_dispatches,
        wakes_per_turn=settings.turn_wakes,
        failure_groups=settings.failure_groups,
        facet_values=settings.facet_values,
    )
