"""Least connections: the server with the smallest share of its slots in use; ties by weight, then by longest unpicked.

A lazy heap: each change of a server's load pushes a new entry, an entry whose load is no longer true is dropped when it
surfaces. O(log n) amortised.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from random import Random

from taskyard.domain.policies.base import Chooser, usable
from taskyard.domain.server import Server

# (load, -weight, last pick, serial, slots in use when pushed, maxConcurrent when pushed, server)
_Entry = tuple[float, int, int, int, int, int, Server]


class LeastConnectionsChooser:
    """A heap by load; see the module."""

    def __init__(self, tier: int) -> None:
        self._tier = tier
        self._heap: list[_Entry] = []
        self._last_pick: dict[Server, int] = {}
        self._serial = 0

    def note(self, server: Server) -> None:
        self._serial += 1
        last = self._last_pick.setdefault(server, 0)
        active, most = len(server.runs), server.max_concurrent
        heappush(self._heap, (active / most, -server.weight, last, self._serial, active, most, server))
        if len(self._heap) > 64 + 4 * len(self._last_pick):
            self._compact()

    def pick(self, task_type: str, avoid: str, rng: Random) -> Server | None:
        heap = self._heap
        aside: list[_Entry] = []
        chosen: Server | None = None
        while heap:
            entry = heappop(heap)
            server = entry[6]
            if not self._true(entry):
                continue
            if server.id == avoid:
                aside.append(entry)
                continue
            chosen = server
            self._serial += 1
            self._last_pick[server] = self._serial
            break
        for entry in aside:
            heappush(heap, entry)
        return chosen

    def _true(self, entry: _Entry) -> bool:
        server = entry[6]
        return (
            usable(server, self._tier)
            and entry[4] == len(server.runs)
            and entry[5] == server.max_concurrent
            and entry[1] == -server.weight
            and entry[2] == self._last_pick[server]
        )

    def _compact(self) -> None:
        newest: dict[Server, _Entry] = {entry[6]: entry for entry in self._heap if self._true(entry)}
        self._heap = list(newest.values())
        heapify(self._heap)


class LeastConnections:
    """The least loaded server, by active tasks over `maxConcurrent`."""

    name = "least-connections"
    summary = "The server with the smallest share of its slots in use."

    def chooser(self, tier: int) -> Chooser:
        return LeastConnectionsChooser(tier)
