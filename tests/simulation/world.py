"""Virtual time: a heap of what happens when. Nothing here sleeps, and nothing knows what the events do."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any


class World:
    """The clock (int ms since the epoch) and its events; two at the same time happen in the order they were planned."""

    def __init__(self, start: int) -> None:
        self.start = self.now = start
        self._heap: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, when: int, do: Callable[..., None], *what: Any) -> None:
        """Let `do(*what)` happen at a time, now at the earliest."""
        self._serial += 1
        heappush(self._heap, (max(when, self.now), self._serial, do, what))

    def after(self, delay: int, do: Callable[..., None], *what: Any) -> None:
        """Let `do(*what)` happen after `delay` ms."""
        self._serial += 1
        heappush(self._heap, (self.now + delay, self._serial, do, what))

    def run(self, until: Callable[[], bool], latest: int) -> bool:
        """Let events happen until `until` says so; `False` when it did not by `latest`, or when no event is left."""
        heap = self._heap
        while not until():
            if not heap or heap[0][0] > latest:
                return False
            self.now, _, do, what = heappop(heap)
            do(*what)
        return True
