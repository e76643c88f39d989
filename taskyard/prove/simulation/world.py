"""Virtual time: a heap of what happens when. Nothing here sleeps, and nothing knows what the events do."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

AT_ONCE_MOST = 50_000


class TimeStandsStill(Exception):
    """More events at one time than any run has cause for."""


class World:
    """The clock (int ms since the epoch) and its events; two at the same time happen in the order they were planned.

    `skew` is by how much the wall clock of the node's machine is off.
    """

    def __init__(self, start: int) -> None:
        self.start = self.now = start
        self.skew = 0
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

    def monotonic_ns(self) -> int:
        """The monotonic clock of the node's machine."""
        return self.now * 1_000_000

    def wall_ns(self) -> int:
        """The wall clock of the node's machine."""
        return (self.now + self.skew) * 1_000_000

    def run(self, until: Callable[[], bool], latest: int) -> bool:
        """Let events happen until `until` says so; `False` when it did not by `latest`, or when no event is left.

        Raises `TimeStandsStill` when events cause one another without end.
        """
        heap = self._heap
        at_once = 0
        while not until():
            if not heap or heap[0][0] > latest:
                return False
            at_once = at_once + 1 if heap[0][0] == self.now else 0
            if at_once > AT_ONCE_MOST:
                raise TimeStandsStill
            self.now, _, do, what = heappop(heap)
            do(*what)
        return True
