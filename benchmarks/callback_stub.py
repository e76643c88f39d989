"""A backend by callback for the benchmarks: answers 202 and PUTs the result to `callback_url`, as fast as it can.

Run as a process: `python -m benchmarks.callback_stub PORT NODE_PORT`.
"""

from __future__ import annotations

import asyncio
import re
import sys
from collections import deque

import httptools
import uvloop

CONNECTIONS = 16
BODY = b'{"status":"COMPLETED","result":{"ok":true}}'
ACCEPTED = b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"
HEALTHY = b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 20\r\n\r\n{"status":"healthy"}'
CALLBACK = re.compile(rb'"callback_url":"http://[^/]+([^"]+)"')


class Callers:
    """Connections to the node, opened when they are needed: it closes those that are silent for long."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open = 0
        self._tasks: set[asyncio.Task[object]] = set()
        self.idle: list[Caller] = []
        self.waiting: deque[bytes] = deque()

    def send(self, request: bytes) -> None:
        """Send a callback on an idle connection, a new one, or the next that is free."""
        if self.idle:
            self.idle.pop().send(request)
            return
        self.waiting.append(request)
        if self._open < CONNECTIONS:
            self._open += 1
            loop = asyncio.get_running_loop()
            task: asyncio.Task[object] = loop.create_task(
                loop.create_connection(lambda: Caller(self), "127.0.0.1", self._port)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def lost(self, caller: Caller, request: bytes | None) -> None:
        """A connection is gone; what it had not brought an answer for is sent again."""
        self._open -= 1
        if caller in self.idle:
            self.idle.remove(caller)
        if request is not None:
            self.send(request)


class Caller(asyncio.Protocol):
    """One connection to the node."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._parser = httptools.HttpResponseParser(self)
        self._request: bytes | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._next()

    def send(self, request: bytes) -> None:
        self._request = request
        self._transport.write(request)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_status_code() != 200:
            raise RuntimeError(f"a callback was answered {self._parser.get_status_code()}")
        self._request = None
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._callers.lost(self, self._request)

    def _next(self) -> None:
        if self._callers.waiting:
            self.send(self._callers.waiting.popleft())
        else:
            self._callers.idle.append(self)


class Backend(asyncio.Protocol):
    """One connection of the node's dispatcher or checks."""

    def __init__(self, callers: Callers) -> None:
        self._callers = callers
        self._parser = httptools.HttpRequestParser(self)
        self._body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            self._transport.write(HEALTHY)  # type: ignore[attr-defined]
            return
        body = b"".join(self._body)
        self._body.clear()
        self._transport.write(ACCEPTED)  # type: ignore[attr-defined]
        found = CALLBACK.search(body)
        if found is None:
            raise RuntimeError("no callback_url in the request")
        request = b"PUT %b HTTP/1.1\r\nhost: node\r\ncontent-length: %d\r\n\r\n%b" % (found[1], len(BODY), BODY)
        self._callers.send(request)


async def serve(port: int, node_port: int) -> None:
    """Until the process is ended."""
    callers = Callers(node_port)
    server = await asyncio.get_running_loop().create_server(lambda: Backend(callers), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
