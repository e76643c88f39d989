"""Many backend servers in one process, as a real fleet is seen: each task takes a while, and each a different one.

Run as a process: `python -m benchmarks.web.backend PORT`. Every path is a server. It answers with a result, and health
checks at once.
"""

from __future__ import annotations

import asyncio
import random
import sys

import httptools
import uvloop

RUNS_S = (0.05, 1.5)
DONE = b'{"status":"success","result":{"ok":true}}'
WELL = b'{"status":"healthy"}'
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"


class Backend(asyncio.Protocol):
    """One connection of the node."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._parser.get_method() == b"GET":
            self._answer(WELL)
        else:
            asyncio.get_running_loop().call_later(random.uniform(*RUNS_S), self._answer, DONE)

    def _answer(self, body: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(HEAD % (len(body), body))


async def serve(port: int) -> None:
    """Until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Backend, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
