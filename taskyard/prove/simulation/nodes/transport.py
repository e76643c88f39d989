"""The connections of one simulated process to backends: a `Transport` whose messages take their time and can be lost.

Knows what the dispatcher and the checks send, and how a backend is told of it; nothing of outcomes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from taskyard.engine.plan import Dispatch
from taskyard.host.transport.port import Bounds, Broken, Headers, Lines, Reply, Silent, TransportError, Unreached
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.nodes.loop import VirtualLoop
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.store import Writer
from taskyard.prove.simulation.world import World

# Share of dispatches for which no connection is open, and one must be made.
COLD = 0.3
# A connection takes less.
LATE_MS = 50
Answered = Callable[[Reply | TransportError], None]
HEALTHY = {"status": "healthy"}


class Yard(Protocol):
    """The backends, by the id under which they are registered."""

    def post(self, dispatch: Dispatch, proof: str, answer: Any) -> None:
        """A dispatch arrives; `answer` takes what comes back."""

    def cancel(self, server_id: str, task_id: str, attempt: int) -> bool:
        """The cancel endpoint is asked; whether it confirms."""

    def hang_up(self, task_id: str, attempt: int) -> None:
        """The connection of a dispatch is closed."""

    def check(self, server_id: str) -> tuple[bool, tuple[str, ...] | None]:
        """A health check: whether it passes, and the capabilities that it tells."""


class Wire:
    """A `Transport` of process `number` on `loop`."""

    def __init__(
        self, world: World, chance: Chance, network: Network, number: int, loop: VirtualLoop, yard: Yard, write: Writer
    ) -> None:
        self._world = world
        self._chance = chance
        self._network = network
        self._number = number
        self._loop = loop
        self._yard = yard
        self._write = write
        self._begun = 0
        self._open: dict[tuple[str, int], asyncio.Future[Reply]] = {}

    def die(self) -> None:
        """The process is gone, and its connections with it."""
        for attempt in list(self._open):
            self._yard.hang_up(*attempt)

    # --- the port ----------------------------------------------------------------------------------------------------

    def post_now(
        self,
        url: str,
        head: Lines,
        body: Sequence[bytes],
        bounds: Bounds,
        *,
        pool_key: str,
        max_connections: int,
        done: Callable[[asyncio.Future[Reply]], None],
    ) -> asyncio.Future[Reply] | None:
        """See `Transport`."""
        if self._share() < COLD:
            return None
        future = self._dispatch(pool_key, b"".join(body), bounds)
        future.add_done_callback(done)
        return future

    async def post(
        self,
        url: str,
        headers: Headers | Lines,
        body: bytes | Sequence[bytes],
        bounds: Bounds,
        *,
        pool_key: str,
        max_connections: int,
    ) -> Reply:
        """See `Transport`."""
        if isinstance(body, bytes):
            return await self._cancel(pool_key.partition(" ")[0], json.loads(body), bounds)
        began = self._world.now
        await asyncio.sleep(self._delay() / 1000)  # a connection is made
        if not self._reaches():
            await asyncio.sleep(bounds.connect_ms / 1000)
            raise Unreached("no connection in time")
        sent = self._dispatch(pool_key, b"".join(body), bounds)
        if self._world.now - began > LATE_MS:  # frozen meanwhile: it does not look again whether it was given up
            self._write("node", "connects", *next(key for key, future in self._open.items() if future is sent))
        return await sent

    async def get(self, url: str, headers: Headers, bounds: Bounds, *, pool_key: str, max_connections: int) -> Reply:
        """See `Transport`."""
        server = pool_key.partition(" ")[0]
        await asyncio.sleep(self._delay() / 1000)
        if not self._reaches():
            await asyncio.sleep(bounds.connect_ms / 1000)
            raise Unreached("no connection in time")
        passed, capabilities = self._yard.check(server)
        if not passed:
            return _reply(503, b"")
        told = HEALTHY if capabilities is None else HEALTHY | {"capabilities": capabilities}
        return _reply(200, json.dumps(told).encode())

    def forget(self, pool_key: str) -> None:
        """See `Transport`; connections are not kept here."""

    async def close(self) -> None:
        """See `Transport`."""

    # --- what it does ------------------------------------------------------------------------------------------------

    async def _cancel(self, server: str, asked: dict[str, Any], bounds: Bounds) -> Reply:
        await asyncio.sleep(self._delay() / 1000)
        if not self._reaches():
            await asyncio.sleep(bounds.connect_ms / 1000)
            raise Unreached("no connection in time")
        return _reply(200 if self._yard.cancel(server, asked["task_id"], asked["attempt"]) else 501, b"")

    def _dispatch(self, server: str, body: bytes, bounds: Bounds) -> asyncio.Future[Reply]:
        dispatch, proof = _read(server, body)
        key = dispatch.task_id, dispatch.attempt
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._open[key] = future
        future.add_done_callback(lambda ended: self._closed(key, ended))
        self._world.after(self._delay(), self._arrive, dispatch, proof, future)
        self._loop.call_later(bounds.total_ms / 1000, self._give_up, future)
        return future

    def _arrive(self, dispatch: Dispatch, proof: str, future: asyncio.Future[Reply]) -> None:
        if not self._reaches() or (self._loop.dead and self._share() < 0.5):
            return
        if future.cancelled():
            return  # closed before it was sent

        def answer(told: Reply | TransportError) -> None:
            self._world.after(self._delay(), self._hear, future, told)

        self._yard.post(dispatch, proof, answer)

    def _hear(self, future: asyncio.Future[Reply], told: Reply | TransportError) -> None:
        if self._reaches():
            self._loop.call_soon(_settle, future, told)
        elif self._share() < 0.5:
            self._loop.call_soon(_settle, future, Broken("reset by peer"))

    def _give_up(self, future: asyncio.Future[Reply]) -> None:
        _settle(future, Silent("no answer", total=True))

    def _closed(self, key: tuple[str, int], future: asyncio.Future[Reply]) -> None:
        if self._open.get(key) is future:
            del self._open[key]
        if future.cancelled() and not self._loop.dead:
            self._world.after(self._delay(), self._yard.hang_up, *key)

    def _reaches(self) -> bool:
        return self._number not in self._network.no_backends

    def _share(self) -> float:
        self._begun += 1
        return self._chance.share(About.ERRAND, self._number, self._begun)

    def _delay(self) -> int:
        self._begun += 1
        return self._network.to_a_backend(self._number, self._begun)


def _settle(future: asyncio.Future[Reply], told: Reply | TransportError) -> None:
    if future.done():
        return
    if isinstance(told, TransportError):
        future.set_exception(told)
    else:
        future.set_result(told)


def _reply(status: int, body: bytes) -> Reply:
    return Reply(status, "application/json", "", None, body, 0, 0)


def _read(server: str, body: bytes) -> tuple[Dispatch, str]:
    """What a backend reads in a request: the attempt, and the proof in its callback's path."""
    told = json.loads(body)
    request = told["request"]
    _, _, proof = told["callback_url"].rpartition("/")[2].partition("-")
    return (
        Dispatch(
            task_id=told["task_id"],
            attempt=told["attempt"],
            server_id=server,
            node="",
            type=request["type"],
            priority=request["priority"],
            capabilities=tuple(request["capabilities"]),
            run_async=request["async"],
            limit_at=0,
            timeout_ms=told["timeout"],
            hops=0,
            traceparent=None,
            waited_ms=0,
            payload=json.dumps(request["payload"]),
        ),
        proof,
    )
