"""Random by weight: rejection sampling over the servers present, O(1) expected (weights are at most 10)."""

from __future__ import annotations

from random import Random

from taskyard.domain.policies.base import Chooser, usable
from taskyard.domain.server import Server

WEIGHT_MOST = 10


class RandomChooser:
    """An array of the servers present; one that is no longer usable is dropped when it is drawn."""

    def __init__(self, tier: int) -> None:
        self._tier = tier
        self._present: list[Server] = []
        self._index: dict[Server, int] = {}

    def note(self, server: Server) -> None:
        if server not in self._index:
            self._index[server] = len(self._present)
            self._present.append(server)

    def pick(self, task_type: str, avoid: str, rng: Random) -> Server | None:
        present = self._present
        avoided: Server | None = None
        chosen: Server | None = None
        while present:
            server = present[int(rng.random() * len(present))]
            if not usable(server, self._tier):
                self._drop(server)
            elif server.id == avoid:
                self._drop(server)
                avoided = server
            elif rng.random() * WEIGHT_MOST < max(1, server.weight):
                chosen = server
                break
        if avoided is not None:
            self.note(avoided)
        return chosen

    def _drop(self, server: Server) -> None:
        index = self._index.pop(server)
        last = self._present.pop()
        if last is not server:
            self._present[index] = last
            self._index[last] = index


class WeightedRandom:
    """A server at random, in proportion to weight."""

    name = "random"
    summary = "A server at random, in proportion to its weight."

    def chooser(self, tier: int) -> Chooser:
        return RandomChooser(tier)
