"""What a load-balancing policy is: for one pool and one tier, a chooser that is told of servers and picks one.

Choosers are lazy: a server that filled up or left is found out when it surfaces. They know servers and nothing else.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from taskyard.domain.server import Server


class Chooser(Protocol):
    """Picks among the servers it was told of that are open and in its tier."""

    def note(self, server: Server) -> None:
        """`server` is open and in this tier: it came (back), or its load changed. May be called again at any time."""

    def pick(self, task_type: str, avoid: str, rng: Random) -> Server | None:
        """A server for a task of this type, never the one whose id is `avoid`; `None` when there is none."""


class Policy(Protocol):
    """A named way of choosing; stateless but for the choosers it makes."""

    name: str
    summary: str

    def chooser(self, tier: int) -> Chooser:
        """A new chooser for one pool's servers of this tier."""


def usable(server: Server, tier: int) -> bool:
    """Whether a server that a chooser remembers may still be picked there."""
    return server.known_open and server.known_tier == tier
