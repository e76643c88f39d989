"""A process of another queue for `benchmarks/peers.py`: `python -m benchmarks.peer PEER ROLE DATABASE STUB SECONDS`.

A worker prints `ready`, then POSTs each job's payload to the stub with the client that Taskyard itself uses, until it
is told to stop. A producer keeps 64 submissions under way, each stored and committed by itself, and prints how many
there were. Each is used as its documentation says, with its defaults but for the number of jobs at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds

AT_ONCE = 64
JOBS_AT_ONCE = 50
CONNECTIONS = 16
PAYLOAD = "x" * 988


class Post:
    """What a job does."""

    def __init__(self, stub: str) -> None:
        self._client = Client(AddressPolicy())
        self._url = stub
        self._bounds = Bounds(total_ms=60_000, body_max=1 << 20)

    async def __call__(self, text: str) -> None:
        head = [(b"Content-Type", b"application/json")]
        body = ('{"text":"' + text + '"}').encode()
        reply = await self._client.post(
            self._url, head, body, self._bounds, pool_key="stub", max_connections=JOBS_AT_ONCE
        )
        if reply.status != 200:
            raise RuntimeError(f"{reply.status}: {reply.body!r}")


async def until_told(stopped: Callable[[], Awaitable[None]]) -> None:
    """Wait for SIGTERM, then stop."""
    told = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    print("ready", flush=True)
    await told.wait()
    await stopped()


async def produced(submit: Callable[[], Awaitable[object]], seconds: float) -> None:
    """A closed loop of submissions."""
    end = time.monotonic() + seconds
    count = 0

    async def loop() -> None:
        nonlocal count
        while time.monotonic() < end:
            await submit()
            count += 1

    await asyncio.gather(*(loop() for _ in range(AT_ONCE)))
    print(count, flush=True)


# --- procrastinate ---------------------------------------------------------------------------------------------------


async def procrastinate(role: str, database: str, stub: str, seconds: float) -> None:
    """One of its processes. It fetches a job by a statement each, and is woken by LISTEN."""
    import procrastinate as library

    app = library.App(connector=library.PsycopgConnector(conninfo=database, max_size=CONNECTIONS))
    post = Post(stub)

    @app.task(queue="bench", name="bench")
    async def bench(text: str) -> None:
        await post(text)

    async with app.open_async():
        if role == "schema":
            await app.schema_manager.apply_schema_async()
        elif role == "producer":
            await produced(lambda: bench.defer_async(text=PAYLOAD), seconds)
        else:
            worker = asyncio.create_task(
                app.run_worker_async(queues=["bench"], concurrency=JOBS_AT_ONCE, install_signal_handlers=False)
            )

            async def stopped() -> None:
                worker.cancel()
                await asyncio.gather(worker, return_exceptions=True)

            await until_told(stopped)


# --- awa -------------------------------------------------------------------------------------------------------------


@dataclass
class Bench:
    """The arguments of a job of awa's."""

    text: str


async def awa(role: str, database: str, stub: str, seconds: float) -> None:
    """One of its processes. It claims jobs in batches from its own append-only storage."""
    import awa as library

    post = Post(stub)
    async with library.AsyncClient(database, max_connections=CONNECTIONS) as client:
        if role == "schema":
            await client.migrate()
        elif role == "producer":
            await produced(lambda: client.insert(Bench(PAYLOAD), queue="bench"), seconds)
        else:

            @client.task(Bench, queue="bench")
            async def bench(job: Any) -> None:
                await post(job.args.text)

            await client.start([("bench", JOBS_AT_ONCE)])
            await until_told(client.shutdown)


PEERS = {"procrastinate": procrastinate, "awa": awa}


def main() -> None:
    peer, role, database, stub, seconds = sys.argv[1:]
    asyncio.run(PEERS[peer](role, database, stub, float(seconds)))


if __name__ == "__main__":
    main()
