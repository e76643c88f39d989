"""Response time: the server that is expected to end a task of this type soonest, by its decaying average.

A server with no average of the type yet counts as the fastest, so that it is measured. So that a recovered server is
used again, one that was free and unpicked for long gets a pick of its own: at least 1 in 200 while up to 150 servers
are free (with more, exploring is bounded to 1 pick in 4). One lazy heap per task type, O(log n) amortised.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from random import Random

from taskyard.domain.policies.base import Chooser, usable
from taskyard.domain.server import Server

EXPLORE_EVERY = 200
EXPLORE_AT_MOST_ONE_IN = 4
_TYPES_KEPT = 256

# (average in ms, load, serial, slots in use when pushed, server)
_Entry = tuple[float, float, int, int, Server]


class _ByType:
    """The servers ordered for one task type, and when each was last picked for it."""

    def __init__(self, task_type: str, tier: int) -> None:
        self._type = task_type
        self._tier = tier
        self._heap: list[_Entry] = []
        self._newest: dict[Server, int] = {}
        self._waiting: dict[Server, int] = {}  # server -> number of the pick it waits since; oldest first
        self._serial = 0
        self._picks = 0
        self._explored = 0

    def note(self, server: Server) -> None:
        self._serial += 1
        self._newest[server] = self._serial
        self._waiting.setdefault(server, self._picks)
        average = server.averages.get(self._type, 0.0)
        heappush(self._heap, (average, server.load, self._serial, len(server.runs), server))
        if len(self._heap) > 64 + 4 * len(self._newest):
            self._heap = [entry for entry in self._heap if self._newest[entry[4]] == entry[2]]
            heapify(self._heap)

    def pick(self, avoid: str) -> Server | None:
        server = self._overdue(avoid) or self._fastest(avoid)
        if server is not None:
            self._picks += 1
            self._waiting.pop(server, None)
            self._waiting[server] = self._picks
        return server

    def _overdue(self, avoid: str) -> Server | None:
        """The server that was free and unpicked for too many picks, if any."""
        while self._waiting:
            server = next(iter(self._waiting))
            if usable(server, self._tier):
                break
            del self._waiting[server]
        else:
            return None
        patience = max(EXPLORE_EVERY - len(self._waiting), 1)
        if self._picks - self._waiting[server] < patience or server.id == avoid:
            return None
        if self._picks - self._explored < EXPLORE_AT_MOST_ONE_IN:
            return None
        self._explored = self._picks
        return server

    def _fastest(self, avoid: str) -> Server | None:
        aside: list[_Entry] = []
        chosen: Server | None = None
        while self._heap:
            entry = heappop(self._heap)
            server = entry[4]
            if self._newest[server] != entry[2] or not usable(server, self._tier):
                continue
            aside.append(entry)
            if server.id != avoid:
                chosen = server
                break
        for entry in aside:
            heappush(self._heap, entry)
        return chosen


class ResponseTimeChooser:
    """A `_ByType` for each task type that was asked for; see the module."""

    def __init__(self, tier: int) -> None:
        self._tier = tier
        self._known: dict[Server, None] = {}
        self._types: dict[str, _ByType] = {}

    def note(self, server: Server) -> None:
        self._known[server] = None
        for by_type in self._types.values():
            by_type.note(server)

    def pick(self, task_type: str, avoid: str, rng: Random) -> Server | None:
        by_type = self._types.get(task_type)
        if by_type is None:
            if len(self._types) >= _TYPES_KEPT:
                self._types.pop(next(iter(self._types)))
            by_type = self._types[task_type] = _ByType(task_type, self._tier)
            for server in self._known:
                if usable(server, self._tier):
                    by_type.note(server)
        return by_type.pick(avoid)


class ResponseTime:
    """The server with the smallest expected completion time for the task's type."""

    name = "response-time"
    summary = "The server that is expected to end a task of this type soonest."

    def chooser(self, tier: int) -> Chooser:
        return ResponseTimeChooser(tier)
