"""A node: the engine's turns, the store's threads, the dispatcher, the checks and the timers, put together and ended.

What the API asks of it stands in `front`. It knows nothing of routes, tokens or people.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from collections.abc import Sequence

import structlog

from taskyard.host.backup import Backups
from taskyard.host.checks import Checks
from taskyard.host.dispatcher import Dispatcher
from taskyard.host.effects import Effects
from taskyard.host.errors import StartError
from taskyard.host.front import PROGRAM, Front
from taskyard.host.keys import Keys, load_keys
from taskyard.host.limits import engine_limits
from taskyard.host.loop import TurnLoop
from taskyard.host.metrics import Metrics
from taskyard.host.nodes.calls import Calls
from taskyard.host.nodes.nodes import Nodes
from taskyard.host.nodes.outgoing import Hands
from taskyard.host.opening import open_store
from taskyard.host.promises import Promises
from taskyard.host.storage import Storage
from taskyard.host.sweeper import Sweeper
from taskyard.host.telemetry import open_telemetry
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.waiting import Trials
from taskyard.store.nodes import Shared
from taskyard.store.port import StoreError

__all__ = ["Node", "engine_limits"]
log = structlog.get_logger()
SWITCH_INTERVAL_S = 0.0005
GC_THRESHOLD = 20_000


class Node(Front):
    """One running node. `listeners` are the addresses that its own server listens on, which no endpoint may be."""

    async def start(self, listeners: Sequence[tuple[str, int]] = ()) -> None:
        """Open the store, recover, and begin to take turns. Raises `StartError`."""
        settings = self.settings
        # The writer thread must not wait 5 ms for the interpreter beside a busy loop (measured: p50 8 -> 0.6 ms).
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        try:
            store = await asyncio.to_thread(open_store, settings)
        except StoreError as error:
            raise StartError(error.in_full) from error
        self._storage = Storage(store, settings.reads_waiting)
        try:
            self._keys = Keys(load_keys([key.reveal() for key in settings.secret_key], settings.data_path))
            self._policy = AddressPolicy(listeners, settings.endpoint_allow)
            self._transport = Client(self._policy, budget=self._budget)
            self._calls = Calls(self._keys, connections=settings.node_calls, connect_ms=settings.connect_timeout)
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
            self._trace()
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
                failed=self._metrics.round_failed,
            )
            self.backups = Backups(self._storage, settings.backup_path, self.now, settings.backup_room)
            if self._nodes is not None:
                await self._nodes.start()
            await self._loop.start()
        except (StoreError, ValueError) as error:
            await self._storage.close()
            raise StartError(error.in_full if isinstance(error, StoreError) else str(error)) from error
        except StartError:
            await self._storage.close()
            raise
        self._metrics.start()
        if self._telemetry is not None:
            self._telemetry.start(self._metrics.families)
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
        nodes = Nodes(self.settings, store, self._clock, self._inbox, self._effects, hands, name=name, version=PROGRAM)
        self._transport.may_send = lambda: nodes.members.fresh
        return nodes

    def _trace(self) -> None:
        """Have spans made where the settings ask for it. Raises `StartError`, `ValueError`."""
        self._telemetry = open_telemetry(
            self.settings,
            self.settings.node_name or self.name,
            PROGRAM,
            now=self.now,
            memory=lambda: self.memory if self._nodes is None or self._nodes.deciding else None,
            read=self.read,
        )
        if self._telemetry is not None:
            self._spans = self._effects.spans = self._dispatcher.spans = self._telemetry.spans

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
        await self._calls.close()
        if self._telemetry is not None:
            await self._telemetry.stop()
        await self._storage.close()
        log.info("node_stopped", node=self.name)
