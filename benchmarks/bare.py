"""The bare loop: the same HTTP exchanges as a node's main job, and nothing else. What HTTP alone costs in Python.

Takes a POST, answers it at once, POSTs the body to the stub on a pool of connections and reads the answer. No
validation, no tokens, no scheduling, no storage. A GET is answered with how many POSTs came and how many of the stub's
answers were read, as "came read". Run as a process: `python -m benchmarks.bare PORT STUB_PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque

import httptools
import uvloop

CONNECTIONS = 64
ANSWER = b'{"id":"task_0123456789abcdef0123456789abcdef","status":"PENDING","createdAt":0,"updatedAt":0}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
ANSWERED = HEAD % len(ANSWER) + ANSWER


class Out(asyncio.Protocol):
    """One connection to the stub."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self._pool.free(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._pool.read += 1
        self._pool.free(self)


class Pool:
    """Idle connections, and requests that wait for one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[Out] = []
        self._waiting: deque[bytes] = deque()
        self.came = self.read = 0

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        for _ in range(CONNECTIONS):
            await loop.create_connection(lambda: Out(self), "127.0.0.1", self._port)

    def send(self, body: bytes) -> None:
        self.came += 1
        request = (
            b"POST /0 HTTP/1.1\r\nhost: stub\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (
                len(body),
                body,
            )
        )
        if self._idle:
            self._idle.pop().transport.write(request)  # type: ignore[attr-defined]
        else:
            self._waiting.append(request)

    def free(self, connection: Out) -> None:
        if self._waiting:
            connection.transport.write(self._waiting.popleft())  # type: ignore[attr-defined]
        else:
            self._idle.append(connection)


class In(asyncio.Protocol):
    """One connection of the load generator."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
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
            counts = b"%d %d" % (self._pool.came, self._pool.read)
            self._transport.write(HEAD % len(counts) + counts)  # type: ignore[attr-defined]
            return
        self._transport.write(ANSWERED)  # type: ignore[attr-defined]
        self._pool.send(b"".join(self._body))
        self._body.clear()


async def serve(port: int, stub_port: int) -> None:
    """Until the process is ended."""
    pool = Pool(stub_port)
    await pool.open()
    server = await asyncio.get_running_loop().create_server(lambda: In(pool), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2])))
