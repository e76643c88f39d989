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


class Caller(asyncio.Protocol):
    """One connection to the node."""

    def __init__(self, idle: list[Caller], waiting: deque[bytes]) -> None:
        self._idle = idle
        self._waiting = waiting
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.on_message_complete()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._waiting:
            self.transport.write(self._waiting.popleft())  # type: ignore[attr-defined]
        else:
            self._idle.append(self)


class Backend(asyncio.Protocol):
    """One connection of the node's dispatcher or checks."""

    def __init__(self, idle: list[Caller], waiting: deque[bytes]) -> None:
        self._idle = idle
        self._waiting = waiting
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
        if self._idle:
            self._idle.pop().transport.write(request)  # type: ignore[attr-defined]
        else:
            self._waiting.append(request)


async def serve(port: int, node_port: int) -> None:
    """Until the process is ended."""
    idle: list[Caller] = []
    waiting: deque[bytes] = deque()
    loop = asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Caller(idle, waiting), "127.0.0.1", node_port)
    server = await loop.create_server(lambda: Backend(idle, waiting), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
