"""Which nodes have died, told from what they said when: no I/O, no clock of its own.

A node is gone when it has said nothing for `silence_ms` while this one looked all the time: by this process's monotonic
clock, so that neither clocks that differ nor a database that was away kill anybody. One that was never heard here is
gone sooner when the database says that it has been silent for so long already.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from taskyard.store.nodes import NodeRow

# A look after so long without one tells nothing of the time between.
GAP_MS: Final = 3_000
# Two beats, which one that lives would have sent.
FIRST_MS: Final = 2_500
# What two readings of one moment may differ by.
JITTER_MS: Final = 300


@dataclass(slots=True)
class _Heard:
    at: int  # by the database's clock
    since: int  # by ours
    moved: bool = False


class Watch:
    """Looks at what all nodes said. `died` tells of a node that it is known to be dead."""

    def __init__(self, me: str, silence_ms: int, died: Callable[[str], bool]) -> None:
        self._me = me
        self._silence_ms = silence_ms
        self._died = died
        self._heard: dict[str, _Heard] = {}
        self._looked_at: int | None = None
        self.gone: set[str] = set()

    def look(self, monotonic_ms: int, database_ms: int, rows: Iterable[NodeRow]) -> None:
        """See all nodes at a moment."""
        if self._looked_at is None or monotonic_ms - self._looked_at > GAP_MS:
            for heard in self._heard.values():
                heard.since = monotonic_ms
        self._looked_at = monotonic_ms
        known, self._heard, self.gone = self._heard, {}, set()
        for row in rows:
            if row.id == self._me:
                continue
            heard = self._heard[row.id] = known.get(row.id) or _Heard(database_ms - row.silent_ms, monotonic_ms)
            if database_ms - row.silent_ms > heard.at + JITTER_MS:
                heard.at, heard.since, heard.moved = database_ms - row.silent_ms, monotonic_ms, True
            if self._is_gone(row, heard, monotonic_ms - heard.since):
                self.gone.add(row.id)

    def _is_gone(self, row: NodeRow, heard: _Heard, silent_ms: int) -> bool:
        if silent_ms >= self._silence_ms or self._died(row.id):
            return True
        return not heard.moved and row.silent_ms >= self._silence_ms and silent_ms >= FIRST_MS
