"""One HTTP request as the application sees it, and the answer it gives: plain data, whatever server is below."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from taskyard.api.stream import Stream


class HungUp(Exception):
    """The client is gone; nobody waits for an answer."""


@dataclass(slots=True)
class Response:
    """An answer: its status code, its header lines as bytes (each with its CRLF), and its body, or a stream of it."""

    status: int
    head: bytes
    body: bytes
    stream: Stream | None = None


class Request:
    """A request's head, its body as it comes, and whether the client is still there.

    `headers` have lower-case names; one that comes twice is one list. `query` is as sent, `path` without
    percent signs. `on_wait` is called when the body is waited for, `on_take` when some of it was taken. `old`: the
    client speaks HTTP/1.0; `upgrade`: it wants the connection to become a WebSocket; `waits`:
    it may wait for a task's end here.
    """

    __slots__ = (
        "_arrived",
        "_chunks",
        "_left",
        "gone",
        "headers",
        "held",
        "keep",
        "method",
        "old",
        "on_take",
        "on_wait",
        "path",
        "peer",
        "query",
        "upgrade",
        "waits",
        "whole",
    )

    def __init__(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: dict[bytes, bytes],
        peer: str,
        on_wait: Callable[[], None],
        on_take: Callable[[], None],
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.peer = peer
        self.on_wait = on_wait
        self.on_take = on_take
        self.keep = False  # whether the client wants to keep the connection
        self.old = self.upgrade = False
        self.waits = True
        self.whole = False  # whether all of the body has come
        self.gone = False  # whether the client has left
        self.held = 0  # bytes of the body that came and were not taken
        self._chunks: list[bytes] = []
        self._arrived: asyncio.Future[None] | None = None
        self._left: list[asyncio.Future[bool]] = []

    # --- the application's side ---------------------------------------------------------------------------------------

    async def chunk(self) -> bytes:
        """What came of the body since the last call, once there is something; empty at its end. Raises `HungUp`."""
        while not self._chunks:
            if self.whole:
                return b""
            if self.gone:
                raise HungUp
            self.on_wait()
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self.held = 0
        if not self.whole:
            self.on_take()
        return data

    def when_gone(self) -> asyncio.Future[bool]:
        """Done when the client leaves. To be cancelled by who waits no longer."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        if self.gone:
            future.set_result(True)
        else:
            self._left.append(future)
        return future

    # --- the server's side --------------------------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Some of the body came."""
        self._chunks.append(data)
        self.held += len(data)
        self._wake()

    def finish(self) -> None:
        """All of the body came."""
        self.whole = True
        self._wake()

    def leave(self) -> None:
        """The client is gone."""
        self.gone = True
        self._wake()
        for future in self._left:
            if not future.done():
                future.set_result(True)
        self._left.clear()

    def drop(self) -> None:
        """The request is answered: what came of its body is not wanted any more."""
        self._chunks.clear()
        self.held = 0

    def _wake(self) -> None:
        if self._arrived is not None:
            if not self._arrived.done():
                self._arrived.set_result(None)
            self._arrived = None
