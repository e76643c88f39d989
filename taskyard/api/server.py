"""The HTTP server: takes connections on the listening sockets, sweeps them once a second, and stops in order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from email.utils import formatdate
from http import HTTPStatus
from itertools import islice

from taskyard.api.answering import Answering
from taskyard.api.connection import Connection
from taskyard.api.deadlines import SWEEP_S
from taskyard.api.limits import Limits
from taskyard.api.request import Request, Response
from taskyard.settings import Settings

BACKLOG = 2048
SWEPT_AT_ONCE = 100  # connections: even if all must be refused, that takes no longer than a few ms
_PHRASES = {status.value: status.phrase for status in HTTPStatus}


class HttpServer:
    """Serves an application: `answer(request)` gives a response, or `None` when nobody waits for it."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response | None]], settings: Settings) -> None:
        self.answer = answer
        self.limits = Limits.of(settings)
        self.stopping = False
        self.connections: set[Answering] = set()
        self._starts: dict[int, bytes] = {}
        self._listeners: list[asyncio.Server] = []
        self._sweep: asyncio.Handle | None = None
        self._sweep_due = self._sweep_late = 0.0  # the loop's time, s
        self._empty = asyncio.Event()
        self._forced = asyncio.Event()

    async def start_on(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from listening sockets, which belong to the server from now on."""
        loop = asyncio.get_running_loop()
        self._on_sweep()
        for listener in sockets:
            self._listeners.append(
                await loop.create_server(lambda: Connection(self, loop), sock=listener, backlog=BACKLOG)
            )

    async def stop(self, within_s: float) -> None:
        """Take no more connections, give answers under way so long, then cut off what is left."""
        self.stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in list(self.connections):
            connection.close_idle()
        try:
            if not self._forced.is_set():
                async with asyncio.timeout(within_s):
                    await self._gone_or_forced()
        except TimeoutError:
            pass
        if self._sweep is not None:
            self._sweep.cancel()
        while self.connections:
            for connection in list(self.connections):
                connection.abort()
            await asyncio.sleep(0)

    def force(self) -> None:
        """Wait for no answer any more."""
        self._forced.set()

    async def _gone_or_forced(self) -> None:
        if not self.connections:
            return
        waits = [asyncio.ensure_future(self._empty.wait()), asyncio.ensure_future(self._forced.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    # --- what connections need ----------------------------------------------------------------------------------------

    def start(self, status: int) -> bytes:
        """The status line and the date."""
        known = self._starts.get(status)
        if known is None:
            phrase = _PHRASES.get(status, "")
            known = f"HTTP/1.1 {status} {phrase}\r\ndate: {formatdate(usegmt=True)}\r\n".encode()
            self._starts[status] = known
        return known

    def opened(self, connection: Answering) -> bool:
        """A connection is there; whether there is room for it."""
        self.connections.add(connection)
        return len(self.connections) <= self.limits.connections

    def closed(self, connection: Answering) -> None:
        """A connection is gone."""
        self.connections.discard(connection)
        if self.stopping and not self.connections:
            self._empty.set()

    def _on_sweep(self) -> None:
        self._starts.clear()  # the date
        # A process that was frozen finds its timers due before it has read what came.
        self._sweep_late = asyncio.get_running_loop().time() - self._sweep_due if self._sweep_due else 0.0
        self._sweep_on(iter(list(self.connections)))

    def _sweep_on(self, left: Iterator[Answering]) -> None:
        """Sweep some of those that are left; what came meanwhile is served before the others."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        some = list(islice(left, SWEPT_AT_ONCE))
        for connection in some:
            if connection in self.connections:
                connection.sweep(now, self._sweep_late)
        if some:
            self._sweep = loop.call_soon(self._sweep_on, left)
            return
        self._sweep_due = loop.time() + SWEEP_S
        self._sweep = loop.call_at(self._sweep_due, self._on_sweep)
