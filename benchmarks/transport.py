"""Exchanges per second of the transport beside a bare loop of the same exchanges, both with one real nginx.

    python -m benchmarks.transport [--seconds 3] [--rounds 5] [--connections 64] [--loop uvloop]

The bare loop writes a fixed request and waits for a fixed number of bytes: it parses nothing, pools nothing and keeps
no deadline, so it is what the event loop and the kernel cost alone. Both take turns in each round; medians are printed.
CPU is this process's own (nginx is another process), user and system together.
"""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds
from tests.support.aio import LOOPS
from tests.support.nginx import Nginx

BODY = b'{"task_id":"task_0","request":{"type":"chat","payload":{"text":"' + b"x" * 900 + b'"}}}'
HEADERS = (
    (b"Authorization", b"Bearer 0123456789abcdef"),
    (b"Idempotency-Key", b"task_0190f5fe8b7a7c9e8d3f2a1b4c5d6e7f"),
    (b"X-Taskyard-Attempt", b"1"),
    (b"traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
)
LOCATIONS = """
    location = /predict { default_type application/json; return 200 '{"status":"completed","result":{"ok":true}}'; }
"""
BOUNDS = Bounds(total_ms=60_000, body_max=8_388_608)

Load = Callable[[float], Awaitable[int]]  # until when (loop time) -> exchanges done


class Bare(asyncio.Protocol):
    """Sends the request again whenever `expected` bytes have come."""

    def __init__(self, request: bytes, expected: int, until: float) -> None:
        self._request = request
        self._expected = expected
        self._until = until
        self._loop = asyncio.get_running_loop()
        self._got = 0
        self.done = 0
        self.ended: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._got += len(data)
        if self._got < self._expected:
            return
        self._got -= self._expected
        self.done += 1
        if self._loop.time() < self._until:
            self._transport.write(self._request)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


async def bare(port: int, connections: int, until: float) -> int:
    lines = b"".join(b"%b: %b\r\n" % header for header in HEADERS)
    request = (
        b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept-Encoding: identity\r\nUser-Agent: taskyard/0\r\n"
        b"Content-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (port, len(BODY), lines, BODY)
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    expected = len(await reader.readuntil(b"\r\n\r\n")) + len(b'{"status":"completed","result":{"ok":true}}')
    writer.close()
    loop = asyncio.get_running_loop()
    loads = [
        (await loop.create_connection(lambda: Bare(request, expected, until), "127.0.0.1", port))[1]
        for _ in range(connections)
    ]
    await asyncio.gather(*(load.ended for load in loads))
    return sum(load.done for load in loads)


async def transport(url: str, connections: int, until: float) -> int:
    loop = asyncio.get_running_loop()
    client = Client(AddressPolicy())

    async def worker() -> int:
        done = 0
        while loop.time() < until:
            reply = await client.post(url, HEADERS, BODY, BOUNDS, pool_key="server", max_connections=connections)
            assert reply.status == 200
            done += 1
        return done

    done = sum(await asyncio.gather(*(worker() for _ in range(connections))))
    await client.close()
    return done


async def measure(load: Load, seconds: float) -> tuple[float, float]:
    """Exchanges per second of wall time, µs of CPU per exchange."""
    loop = asyncio.get_running_loop()
    wall, cpu = loop.time(), time.process_time()
    done = await load(wall + seconds)
    return done / (loop.time() - wall), (time.process_time() - cpu) / done * 1e6


async def main(port: int, seconds: float, rounds: int, connections: int) -> None:
    loads: dict[str, Load] = {
        "bare": lambda until: bare(port, connections, until),
        "transport": lambda until: transport(f"http://127.0.0.1:{port}/predict", connections, until),
    }
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in loads}
    for _ in range(rounds):
        for name, load in loads.items():
            seen[name].append(await measure(load, seconds))
    rates = {name: statistics.median(rate for rate, _ in figures) for name, figures in seen.items()}
    costs = {name: statistics.median(cost for _, cost in figures) for name, figures in seen.items()}
    for name in loads:
        print(f"{name:10} {rates[name]:8,.0f} exchanges/s {costs[name]:6.1f} µs CPU each")
    ratio = rates["transport"] / rates["bare"]
    print(
        f"ratio      {ratio:8.2f} of the bare loop, {costs['transport'] - costs['bare']:.1f} µs CPU more per exchange"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--loop", choices=sorted(LOOPS), default="uvloop")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        nginx = Nginx(Path(folder), LOCATIONS, keepalive_requests=10_000_000)
        try:
            with asyncio.Runner(loop_factory=LOOPS[options.loop]) as runner:
                runner.run(main(nginx.port, options.seconds, options.rounds, options.connections))
        finally:
            nginx.stop()
