"""Slow clients, as a program: `python -m tests.overload.crowd PORT COUNT TOKEN`.

Opens COUNT connections from many addresses of loopback: half of them silent, a quarter sends a head a few bytes at a
time, a quarter a body. Writes one line of JSON once all are open, and one once all are closed: how many ended with
which status (0: without a word), how many were closed before all were open, and how long the longest lasted, in ms. It
knows nothing of Taskyard but its HTTP.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from typing import cast

import uvloop

# Each address has so many of them: fewer than a node takes from one.
EACH = 400
AT_ONCE = 200  # that are being opened
PAUSE_S = 3.0  # between two bytes of one connection
PARTS = 100  # of the crowd, that send one after the other


class Slow(asyncio.Protocol):
    """One connection, the `number`th."""

    def __init__(self, crowd: "Crowd", number: int) -> None:
        self._crowd = crowd
        self._number = number
        self._began = time.monotonic()
        self._heard = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport = cast(asyncio.Transport, transport)
        kind = self._number % 4
        if kind == 1:
            transport.write(b"GET /ready HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        if kind == 3:
            transport.write(
                f"POST /api/task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {self._crowd.token}\r\n"
                'Content-Length: 1000\r\n\r\n{"type":"'.encode()
            )
        self._crowd.open += 1

    def trickle(self) -> None:
        if self._number % 2 and self.transport is not None and not self.transport.is_closing():
            self.transport.write(b"a")

    def data_received(self, data: bytes) -> None:
        self._heard += data[:64]

    def connection_lost(self, exc: Exception | None) -> None:
        crowd = self._crowd
        words = self._heard.split()
        crowd.statuses[int(words[1]) if len(words) > 1 else 0] += 1
        crowd.longest_s = max(crowd.longest_s, time.monotonic() - self._began)
        crowd.open -= 1
        if not crowd.all_open:
            crowd.early += 1
        if crowd.open == 0:
            crowd.gone.set()


class Crowd:
    """All of them."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.open = 0
        self.early = 0
        self.all_open = False
        self.longest_s = 0.0
        self.statuses: Counter[int] = Counter()
        self.gone = asyncio.Event()
        self._slow: list[Slow] = []
        self._gate = asyncio.Semaphore(AT_ONCE)

    async def _connect(self, number: int) -> None:
        async with self._gate:
            address = 2 + number // EACH
            source = (f"127.0.{address >> 8}.{address & 255}", 0)
            _, slow = await asyncio.get_running_loop().create_connection(
                lambda: Slow(self, number), "127.0.0.1", self.port, local_addr=source
            )
            self._slow.append(slow)

    async def run(self, count: int) -> None:
        opening = [asyncio.create_task(self._connect(number)) for number in range(count)]
        trickling = asyncio.create_task(self._trickle())
        await asyncio.gather(*opening)
        self.all_open = True
        _say(open=self.open)
        await self.gone.wait()
        trickling.cancel()
        _say(statuses=self.statuses, early=self.early, longest_ms=round(self.longest_s * 1000))

    async def _trickle(self) -> None:
        part = 0
        while True:
            await asyncio.sleep(PAUSE_S / PARTS)
            for slow in self._slow[part::PARTS]:
                slow.trickle()
            part = (part + 1) % PARTS


def _say(**what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    uvloop.run(Crowd(int(sys.argv[1]), sys.argv[3]).run(int(sys.argv[2])))
