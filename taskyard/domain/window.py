"""The window: the exact prefix of a flow that memory holds, ordered by rank. The store holds the rest.

A rank is one integer made of priority and place: `(10 - priority) << 48 | place`; smaller is served first.
The window knows nothing of tasks beyond `rank`, and nothing of the store beyond `tail`, the first rank outside.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Generic, Protocol, TypeVar

PRIORITIES = 11
PLACE_BITS = 48
PLACE_LIMIT = 1 << PLACE_BITS


def rank_of(priority: int, place: int) -> int:
    """The rank of a task: priority 0-10 (higher first), then place (lower first)."""
    return (PRIORITIES - 1 - priority) << PLACE_BITS | place


class Ranked(Protocol):
    """What a window holds."""

    rank: int


T = TypeVar("T", bound=Ranked)


class Window(Generic[T]):
    """An ordered prefix with cheap arrivals at the end and departures at the front.

    One deque per priority, each in order of place. Invariant: every queued entry of the flow whose rank is below `tail`
    is here, and no other (`tail is None`: all of them are here).
    """

    __slots__ = ("_first", "_levels", "_size", "tail")

    def __init__(self, tail: int | None = None) -> None:
        self._levels: list[deque[T] | None] = [None] * PRIORITIES
        self._first: T | None = None
        self._size = 0
        self.tail = tail

    def __len__(self) -> int:
        return self._size

    def covers(self, rank: int) -> bool:
        """Whether an entry of this rank belongs to memory."""
        return self.tail is None or rank < self.tail

    def add(self, entry: T) -> None:
        """Insert an entry whose rank the window covers."""
        index = entry.rank >> PLACE_BITS
        level = self._levels[index]
        if level is None:
            level = self._levels[index] = deque()
        rank = entry.rank
        if not level or level[-1].rank < rank:
            level.append(entry)
        elif rank < level[0].rank:
            level.appendleft(entry)
        else:
            low, high = 0, len(level)
            while low < high:
                middle = (low + high) // 2
                if level[middle].rank < rank:
                    low = middle + 1
                else:
                    high = middle
            level.insert(low, entry)
        self._size += 1
        if self._first is None or rank < self._first.rank:
            self._first = entry

    def head(self) -> T | None:
        """The entry that is served next among those in memory."""
        return self._first

    def remove(self, entry: T) -> None:
        """Take out an entry that is in memory; the head costs O(1), another one O(n) of its priority."""
        level = self._levels[entry.rank >> PLACE_BITS]
        assert level is not None
        if level[0] is entry:
            level.popleft()
        else:
            level.remove(entry)
        self._size -= 1
        if entry is self._first:
            self._first = next((level[0] for level in self._levels if level), None)

    def evict(self) -> T:
        """Push the last entry out of memory: it becomes the first one outside."""
        for level in reversed(self._levels):
            if level:
                entry = level.pop()
                self._size -= 1
                if not self._size:
                    self._first = None
                self.tail = entry.rank
                return entry
        raise IndexError("evict from an empty window")

    def refill(self, entries: list[T], *, complete: bool) -> None:
        """Append what the store returned from `tail` on, in order; `complete` says that nothing is left outside."""
        for entry in entries:
            self.add(entry)
        if complete:
            self.tail = None
        elif entries:
            self.tail = entries[-1].rank + 1

    def before(self, rank: int) -> int:
        """How many entries in memory have a smaller rank."""
        index = rank >> PLACE_BITS
        count = sum(len(level) for level in self._levels[:index] if level)
        level = self._levels[index]
        return count + bisect_left(level, rank, key=lambda entry: entry.rank) if level else count

    def levels(self) -> list[deque[T]]:
        """The entries in memory by priority, the highest first, without the empty ones."""
        return [level for level in self._levels if level]
