"""Windows of time up to now, and the points of a series in them. Times are int ms."""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.engine.rows import SeriesRow
from taskyard.wire.overview import WindowQuery
from taskyard.wire.reader import Reader

WINDOW = Reader(WindowQuery)
POINTS = 300
STEPS = {"5m": 1_000, "1h": 12_000, "24h": 288_000}


def begin_of(now: int, step: int) -> int:
    """When the first of a window's points begins; the last is the one that is not over."""
    return (now // step - POINTS + 1) * step


def points_of(rows: Sequence[SeriesRow], present: SeriesRow, begin: int) -> list[SeriesRow | None]:
    """A window's points; `None` where nobody counted.

    `rows` are those that the store has, by age, with the last one before the window; `present` is what memory has of
    the span that is not over, with the time since which its node has been counting. A time without a row in which a
    node counted had nothing to tell: nothing happened, and the counts stayed.
    """
    step = present.step
    known = {row.at: row for row in rows} | {present.at: present}
    last = max((row for row in known.values() if row.at < begin), default=None, key=lambda row: row.at)
    # From behind: since when the node has been counting that is met next.
    since, sinces = present.since, []
    starts = range(begin, begin + POINTS * step, step)
    for at in reversed(starts):
        row = known.get(at)
        if row is not None:
            since = row.since
        sinces.append(since)
    found: list[SeriesRow | None] = []
    for at, counting in zip(starts, reversed(sinces), strict=True):
        row = known.get(at)
        if row is not None:
            last = row
            found.append(row)
        elif counting <= at:
            waiting, running = (present.waiting, present.running) if last is None else (last.waiting, last.running)
            found.append(SeriesRow(step, at, counting, 0, 0, 0, 0, 0, "", "", waiting, running))
        else:
            found.append(None)
    return found
