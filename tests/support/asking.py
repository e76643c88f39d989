"""What the transport's tests share: a client for the length of a block, and bounds that only a failure reaches."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from taskyard.host.budget import Budget
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds, Reply
from tests.support.aio import run

BOUNDS = Bounds(total_ms=30_000, body_max=150_000, silence_ms=30_000, connect_ms=15_000)


class Asker:
    """A client with one server in mind."""

    def __init__(self, client: Client, base: str) -> None:
        self.client = client
        self.base = base

    async def post(
        self, path: str, body: bytes | Sequence[bytes] = b"{}", bounds: Bounds = BOUNDS, connections: int = 4
    ) -> Reply:
        headers = ((b"Idempotency-Key", b"task_1"),)
        return await self.client.post(
            self.base + path, headers, body, bounds, pool_key="server", max_connections=connections
        )

    async def get(self, path: str, bounds: Bounds = BOUNDS) -> Reply:
        return await self.client.get(self.base + path, (), bounds, pool_key="server", max_connections=4)


@asynccontextmanager
async def asking(base: str, policy: AddressPolicy | None = None, budget: Budget | None = None) -> AsyncIterator[Asker]:
    client = Client(policy or AddressPolicy(), budget=budget)
    try:
        yield Asker(client, base)
    finally:
        await client.close()


def post_once(loop: str, base: str, path: str, body: bytes = b"{}", bounds: Bounds = BOUNDS) -> Reply:
    """One POST with a client of its own. Raises what the exchange raises."""

    async def main() -> Reply:
        async with asking(base) as ask:
            return await ask.post(path, body, bounds)

    return run(main(), loop)
