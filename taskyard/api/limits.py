"""What connections may take of a node, how many there may be, and how many each address has."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskyard.api.descriptors import connections_within, descriptors
from taskyard.api.peer import Proxies
from taskyard.settings import Settings


@dataclass(slots=True)
class Limits:
    """What connections may take, in seconds, lines and bytes, and how many there may be, and from one address."""

    head_s: float
    body_s: float
    idle_s: float
    write_s: float
    keep_s: float
    rest_s: float
    rest_bytes: int
    held_bytes: int
    head_lines: int
    head_bytes: int
    connections: int
    per_peer: int
    proxies: Proxies
    peers: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a node's settings."""
        return cls(
            settings.head_timeout / 1000,
            settings.body_timeout / 1000,
            settings.idle_timeout / 1000,
            settings.write_timeout / 1000,
            settings.keep_alive / 1000,
            settings.rest_timeout / 1000,
            settings.rest_max_bytes,
            settings.held_bytes,
            settings.head_lines,
            settings.head_max_bytes,
            connections_within(descriptors()) if settings.connections is None else settings.connections,
            settings.connections_per_peer,
            Proxies(settings.trusted_proxies),
        )

    def admit(self, peer: str) -> str | None:
        """Count a connection of an address, to be given back by `left`; or why there may be no more of them."""
        if self.peers[peer] >= self.per_peer:
            return f"more than {self.per_peer} connections from one address; use fewer"
        self.peers[peer] += 1
        return None

    def left(self, peer: str) -> None:
        """A counted connection of an address is gone."""
        self.peers[peer] -= 1
        if not self.peers[peer]:
            del self.peers[peer]
