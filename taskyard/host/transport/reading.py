"""Which answers are read while the budget of bodies in flight is tight.

A connection that holds a part of an answer books it. When the budget becomes tight, connections that may bring a large
answer are no longer read. Most of what uses the budget goes by itself (results into the store, requests to their end);
what does not are the parts of answers themselves. While these alone keep the budget tight, the oldest of them is read
on, so that one answer after the other becomes whole: the budget is passed by one answer and one read a connection at
most, and nothing waits for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from taskyard.host.budget import Budget

if TYPE_CHECKING:
    from taskyard.host.transport.connection import Connection

SMALL = 65_536  # bytes; an answer that cannot be larger (a health check's) is always read


class Reading:
    """`connections` are all those of the client."""

    def __init__(self, budget: Budget, connections: Callable[[], Iterable[Connection]]) -> None:
        self._budget = budget
        self._connections = connections
        self._holding: dict[Connection, int] = {}  # bytes held, the oldest part first
        self._held = 0
        self._first: Connection | None = None  # the one that is read on
        budget.listen(self._changed)

    def grew(self, connection: Connection, more: int) -> None:
        """An answer that is not whole yet has `more` bytes than before."""
        self._holding[connection] = self._holding.get(connection, 0) + more
        self._held += more
        self._budget.add(more)
        if self._budget.tight and connection is not self._first:
            connection.pause()

    def ended(self, connection: Connection) -> None:
        """The answer is whole, or has failed: it holds nothing here any more."""
        held = self._holding.pop(connection, 0)
        self._held -= held
        self._budget.release(held)
        if self._budget.tight:
            self._choose()

    def _changed(self) -> None:
        if self._budget.tight:
            for connection in self._connections():
                if connection.body_max > SMALL:
                    connection.pause()
            self._choose()
        else:
            self._first = None
            for connection in self._connections():
                connection.resume()

    def _choose(self) -> None:
        before = self._first
        self._first = next(iter(self._holding), None) if self._held >= self._budget.low else None
        if self._first is not None:
            self._first.resume()
        elif before is not None and before in self._holding:
            before.pause()
