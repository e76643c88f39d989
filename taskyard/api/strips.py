"""Strips of health: a letter for each span of a window, the worst status in it. Times are int ms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from taskyard.engine.rows import HealthRow

# The letters, the worst status first.
LETTERS = {
    "offline": "x",
    "degraded": "d",
    "maintenance": "m",
    "draining": "r",
    "online": "o",
    "initializing": "i",
}
NOBODY = "-"
_RANKS = {status: rank for rank, status in enumerate(LETTERS)}
_SHOWN = [*LETTERS.values(), NOBODY]
_NONE = len(_RANKS)


@dataclass(frozen=True, slots=True)
class Spans:
    """So many spans of `step` ms, the first from `begin` on."""

    begin: int
    step: int
    count: int

    @property
    def nothing(self) -> list[int]:
        """The ranks of a server of which nothing is known."""
        return [_NONE] * self.count

    def covered(self, worst: list[int], changes: Sequence[HealthRow]) -> None:
        """Take a server's changes into the rank of its worst status in each span.

        `changes` by age, and none is left out after the first: what was there of the spans after that one's goes.
        """
        begin, step = self.begin, self.step
        end = begin + self.count * step
        if changes:
            kept = min(self.count, max(0, (changes[0].at - begin) // step + 1))
            worst[kept:] = [_NONE] * (self.count - kept)
        for place, change in enumerate(changes):
            until = end if place + 1 == len(changes) else min(end, changes[place + 1].at)
            if until <= begin or change.at >= until:
                continue
            rank = _RANKS[change.status]
            first, last = max(0, (change.at - begin) // step), (until - 1 - begin) // step
            worst[first] = min(worst[first], rank)  # the only one that an earlier change may be in
            if last > first:
                worst[first + 1 : last + 1] = [rank] * (last - first)


def letters(worst: Iterable[int], watched: Sequence[bool]) -> str:
    """The strip of these ranks; `watched` says of each span whether a node decided."""
    return "".join([_SHOWN[rank] if seen else NOBODY for rank, seen in zip(worst, watched, strict=True)])


def strip_of(changes: Sequence[HealthRow], watched: Sequence[bool], begin: int, step: int) -> str:
    """One server's strip; `changes` by age, those before the window too."""
    spans = Spans(begin, step, len(watched))
    worst = spans.nothing
    spans.covered(worst, changes)
    return letters(worst, watched)


def by_server(changes: Iterable[HealthRow]) -> dict[str, list[HealthRow]]:
    """Changes of many servers by server, in the order in which they come."""
    found: dict[str, list[HealthRow]] = {}
    for change in changes:
        found.setdefault(change.server_id, []).append(change)
    return found


class FleetStrips:
    """The strips of all servers as they were at a time, and as they are once later changes are known."""

    def __init__(self, spans: Spans, changes: Iterable[HealthRow]) -> None:
        self._spans = spans
        self._worst: dict[str, list[int]] = {}
        for server_id, its in by_server(changes).items():
            spans.covered(self._worst.setdefault(server_id, spans.nothing), its)

    def of(self, server_ids: Iterable[str], later: Iterable[HealthRow], watched: Sequence[bool]) -> list[str]:
        """A strip for each of these servers; `later` are all changes from some time on, those known already too."""
        news, spans = by_server(later), self._spans
        strips = []
        for server_id in server_ids:
            worst = self._worst.get(server_id) or spans.nothing
            if server_id in news:
                worst = worst.copy()
                spans.covered(worst, news[server_id])
            strips.append(letters(worst, watched))
        return strips
