"""A node: the engine's turns, the store's threads, the dispatcher, the checks and the timers, put together.

It is what the API asks (see `port`). It knows nothing of routes, tokens or people.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from taskyard.domain.outcomes import Status
from taskyard.domain.server import Server
from taskyard.engine.facts import Checked, DrainBegan, Fact
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.engine.plan import (
    Abort,
    Answer,
    AttemptOver,
    Changed,
    Check,
    Dispatch,
    Forget,
    Plan,
    Result,
    ServerChanged,
)
from taskyard.host.checks import Checks
from taskyard.host.clock import Clock, new_task_id
from taskyard.host.dispatcher import Dispatcher
from taskyard.host.errors import StartError, Unavailable
from taskyard.host.inbox import Inbox
from taskyard.host.keys import Keys, load_keys
from taskyard.host.loop import TurnLoop
from taskyard.host.metrics import Metrics
from taskyard.host.port import LiveCounts, ServerView, WaitingLane
from taskyard.host.storage import Storage
from taskyard.host.sweeper import Sweeper
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.views import live_counts, server_view, waiting_lanes
from taskyard.host.waiters import Waiters
from taskyard.settings import Settings
from taskyard.store.port import Store, StoreError
from taskyard.store.sqlite import SqliteStore

log = structlog.get_logger()
T = TypeVar("T")
DRAIN_MS = 10_000
SWITCH_INTERVAL_S = 0.0005
GC_THRESHOLD = 20_000


class Node:
    """One running node. `listeners` are the addresses that its own server listens on, which no endpoint may be."""

    def __init__(self, settings: Settings, name: str = "node-1") -> None:
        self.settings = settings
        self.name = name
        self.port = settings.port
        self._clock = Clock()
        self._inbox = Inbox()
        self._answers: dict[int, asyncio.Future[Result]] = {}
        self._last_ref = 0
        self._ended: Waiters[str] = Waiters()
        self._changed: Waiters[str] = Waiters()
        self._checked: Waiters[str] = Waiters()
        self._in_flight = 0
        self._draining = False
        self._listeners: list[tuple[str, int]] = []

    async def start(self, listeners: Sequence[tuple[str, int]] = ()) -> None:
        """Open the store, recover, and begin to take turns. Raises `StartError`."""
        settings = self.settings
        if settings.database is not None:
            raise StartError("--database: this version keeps its tasks in a SQLite file only; leave --database out.")
        # The writer thread must not wait 5 ms for the interpreter beside a busy loop (measured: p50 8 -> 0.6 ms).
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            store = await asyncio.to_thread(SqliteStore, settings.data_path)
        except StoreError as error:
            raise StartError(str(error)) from error
        self._storage = Storage(store)
        try:
            self._keys = Keys(load_keys([key.reveal() for key in settings.secret_key], settings.data_path))
            self._policy = AddressPolicy(listeners, settings.endpoint_allow)
            self._transport = Client(self._policy)
            self._dispatcher = Dispatcher(
                settings, self._transport, self._keys, self._inbox.put, self._find, self.now, self._public_base
            )
            self._checks = Checks(self._transport, self._inbox.put, self._find, settings.check_timeout)
            self._metrics = Metrics(lambda: self.memory, store.sizes, self.now)
            self._loop = TurnLoop(
                self._storage,
                self._inbox,
                self._clock,
                engine_limits(settings),
                self.name,
                turn_facts=settings.turn_facts,
                turn_bytes=settings.turn_bytes,
                carry_out=self._carry_out,
                fail=self._fail,
                observe=self._metrics.turned,
                sending=self._dispatcher.sending,
            )
            self._sweeper = Sweeper(self._storage, self.now, settings.retention)
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

    async def drain(self) -> None:
        """Dispatch nothing new, let who waits go, and give what is being sent a while to end."""
        self._inbox.put(DrainBegan())
        self._draining = True
        self._ended.release_all()
        self._changed.release_all()
        await self._dispatcher.idle(DRAIN_MS)

    async def stop(self) -> None:
        """End everything and close the store; what was acknowledged is in it."""
        await self._sweeper.stop()
        await self._metrics.stop()
        await self._dispatcher.close()
        await self._checks.close()
        await self._loop.stop()
        self._fail_all("the node stops")
        await self._transport.close()
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
        return await self._put_for_answer(fact)

    async def ask_many(self, facts: Sequence[Fact]) -> list[Result]:
        """See `NodePort.ask_many`."""
        return list(await asyncio.gather(*[self._put_for_answer(fact) for fact in facts]))

    def _put_for_answer(self, fact: Fact) -> asyncio.Future[Result]:
        if self._loop.away is not None:
            raise Unavailable(f"the store is away: {self._loop.away}")
        self._last_ref = ref = self._last_ref + 1
        fact.ref = ref
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._inbox.put(fact)
        self._answers[ref] = future
        return future

    async def read(self, query: Callable[[Store], T]) -> T:
        """See `NodePort.read`."""
        return await self._storage.read(query)

    async def wait_ended(self, task_id: str, timeout_ms: int) -> bool:
        """See `NodePort.wait_ended`."""
        return not self._draining and await self._ended.wait(task_id, timeout_ms)

    async def wait_changed(self, task_id: str, timeout_ms: int) -> bool:
        """See `NodePort.wait_changed`."""
        return not self._draining and await self._changed.wait(task_id, timeout_ms)

    async def wait_checked(self, server_id: str, timeout_ms: int) -> bool:
        """Wait until a health check of the server has ended; false after `timeout_ms`."""
        server = self._find(server_id)
        if server is None or not server.checking:
            return True
        return await self._checked.wait(server_id, timeout_ms)

    async def callback_server(self, task_id: str, attempt: int) -> str | None:
        """See `NodePort.callback_server`."""
        run = self.memory.runs.get((task_id, attempt))
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
        return [server_view(server) for server in self.memory.fleet.servers.values()]

    def server(self, server_id: str) -> ServerView | None:
        """See `NodePort.server`."""
        server = self._find(server_id)
        return server_view(server) if server is not None else None

    def address_denied(self, url: str) -> str | None:
        """See `NodePort.address_denied`."""
        return self._policy.check_url(url)

    @property
    def algorithm(self) -> str:
        """The load-balancing policy in force."""
        return self.memory.fleet.policy.name

    def live(self) -> LiveCounts:
        """See `NodePort.live`."""
        return live_counts(self.memory)

    def waiting(self, most: int) -> list[WaitingLane]:
        """See `NodePort.waiting`."""
        return waiting_lanes(self.memory, most)

    def not_ready(self) -> str | None:
        """See `NodePort.not_ready`."""
        if self._draining:
            return "draining: the node is about to stop"
        if self._loop.away is not None:
            return f"the store is away: {self._loop.away}"
        return "the turn is stalled" if self._loop.stalled() else None

    def draining(self) -> bool:
        """See `NodePort.draining`."""
        return self._draining

    def reserve(self, size: int) -> bool:
        """See `NodePort.reserve`."""
        if self._in_flight + size > self.settings.memory_budget:
            return False
        self._in_flight += size
        return True

    def release(self, size: int) -> None:
        """See `NodePort.release`."""
        self._in_flight -= size

    def metrics(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return self._metrics.text()

    # --- effects ------------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: Plan, facts: Sequence[Fact]) -> None:
        for effect in plan.effects:
            if isinstance(effect, Answer):
                future = self._answers.pop(effect.ref, None)
                if future is not None and not future.done():
                    future.set_result(effect.result)
            elif isinstance(effect, Dispatch):
                self._dispatcher.dispatch(effect)
                self._metrics.dispatched(effect)
            elif isinstance(effect, Changed):
                self._note_change(effect)
            elif isinstance(effect, Abort):
                self._dispatcher.abort(effect)
            elif isinstance(effect, Check):
                self._checks.check(effect)
            elif isinstance(effect, AttemptOver):
                self._metrics.attempt_over(effect)
                _log_attempt(effect)
            elif isinstance(effect, ServerChanged):
                log.info("server_changed", server=effect.server_id, status=effect.status, reason=effect.reason)
            elif isinstance(effect, Forget):
                for kind in ("", " health", " cancel"):
                    self._transport.forget(effect.server_id + kind)
        for fact in facts:
            if isinstance(fact, Checked):
                self._checked.wake(fact.server_id)

    def _note_change(self, effect: Changed) -> None:
        self._changed.wake(effect.task_id)
        if effect.status.ended:
            self._ended.wake(effect.task_id)
            self._metrics.ended(effect.status)
            if effect.status is not Status.COMPLETED:
                log.info("task_ended", task=effect.task_id, status=effect.status.name)

    def _fail(self, facts: Sequence[Fact], reason: str) -> None:
        for fact in facts:
            future = self._answers.pop(fact.ref, None) if fact.ref else None
            if future is not None and not future.done():
                future.set_exception(Unavailable(f"the store is away: {reason}"))

    def _fail_all(self, reason: str) -> None:
        for future in self._answers.values():
            if not future.done():
                future.set_exception(Unavailable(reason))
        self._answers.clear()

    def _find(self, server_id: str) -> Server | None:
        return self.memory.fleet.servers.get(server_id)

    def _public_base(self) -> str:
        return self.settings.public_base(self.port)


def _log_attempt(effect: AttemptOver) -> None:
    if effect.error is not None:
        log.info(
            "attempt_over",
            task=effect.task_id,
            attempt=effect.attempt,
            server=effect.server_id,
            outcome=effect.outcome.value,
            took_ms=effect.took_ms,
            error=effect.error,
        )


def engine_limits(settings: Settings) -> Limits:
    """The engine's numbers from the settings."""
    return Limits(
        max_queued=settings.max_queued,
        max_queued_per_sub=settings.max_queued_per_sub,
        max_lanes=settings.max_lanes,
        max_lost=settings.max_lost,
        linger_ms=settings.linger,
        retry_budget=settings.retry_budget,
        check_timeout_ms=settings.check_timeout,
        offline_grace_ms=settings.offline_grace,
        stale_ms=settings.server_stale_threshold,
        sweep_ms=settings.server_cleanup_interval,
        idempotency_ms=settings.idempotency_retention,
        window_entries=settings.window_entries,
        payload_bytes=settings.payload_memory,
    )
