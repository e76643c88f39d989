"""Calls of one node to another of its yard, by a client of their own and a token that only nodes have."""

from __future__ import annotations

from taskyard.host.errors import Unavailable
from taskyard.host.keys import Keys
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.client import Client
from taskyard.host.transport.port import Bounds, TransportError

# An answer's bytes at most.
ANSWER_MOST = 64 << 20


class Calls:
    """At most `connections` calls at once in each lane; others wait for their turn. Made within a running loop."""

    def __init__(self, keys: Keys, *, connections: int, connect_ms: int) -> None:
        self._keys = keys
        self._connections = connections
        self._connect_ms = connect_ms
        self._client = Client(AddressPolicy((), ()))

    async def call(self, url: str, body: bytes, limit_ms: int, lane: str = "node") -> bytes:
        """What the node at a URL says. Raises `Unavailable`."""
        bounds = Bounds(total_ms=limit_ms, body_max=ANSWER_MOST, connect_ms=self._connect_ms, silence_ms=limit_ms)
        try:
            reply = await self._client.post(
                url,
                [(b"Authorization", b"Bearer " + self._keys.internal.encode())],
                body,
                bounds,
                pool_key=lane,
                max_connections=self._connections,
            )
        except TransportError as error:
            raise Unavailable("the node that decides does not answer") from error
        if reply.status != 200:
            raise Unavailable("no node decides now")
        return reply.body

    async def close(self) -> None:
        """End everything."""
        await self._client.close()
