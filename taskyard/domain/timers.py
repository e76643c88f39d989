"""Timers: which of many keys is due next. Knows neither the clock nor what its keys mean."""

from __future__ import annotations

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """At most one due time (int ms) per key. Setting and dropping cost O(log n) amortised.

    Dropped entries stay in the heap until they surface or outnumber the live ones; then the heap is rebuilt.
    """

    __slots__ = ("_at", "_heap", "_serial")

    def __init__(self) -> None:
        self._at: dict[K, tuple[int, int]] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: K) -> bool:
        return key in self._at

    def at(self, key: K) -> int | None:
        """When `key` is due, or `None`."""
        entry = self._at.get(key)
        return entry[0] if entry else None

    def set(self, key: K, at: int | None) -> None:
        """Make `key` due at `at`; `None` drops it."""
        if at is None:
            self._at.pop(key, None)
            return
        entry = self._at.get(key)
        if entry is not None and entry[0] == at:
            return
        self._serial += 1
        self._at[key] = (at, self._serial)
        heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > 64 + 2 * len(self._at):
            self._heap = [(when, serial, k) for k, (when, serial) in self._at.items()]
            heapify(self._heap)

    def drop(self, key: K) -> None:
        """Forget `key`; unknown keys are ignored."""
        self._at.pop(key, None)

    def next_at(self) -> int | None:
        """The earliest due time, or `None` when no key is set."""
        heap = self._heap
        while heap:
            at, serial, key = heap[0]
            if self._at.get(key) == (at, serial):
                return at
            heappop(heap)
        return None

    def pop_due(self, now: int, most: int) -> list[K]:
        """Remove and return at most `most` keys that are due at `now`, earliest first."""
        due: list[K] = []
        while len(due) < most:
            at = self.next_at()
            if at is None or at > now:
                break
            key = heappop(self._heap)[2]
            del self._at[key]
            due.append(key)
        return due
