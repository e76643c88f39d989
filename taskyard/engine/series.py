"""The yard's figures by time: what happened in each second, each 12 s and each 288 s. A turn writes one row of them.

The row of the present second is written by every turn that has something to tell; when that second is over it goes
into the row of its 12 s, and those into that of their 288 s. So the coarser rows can always be made anew from the finer
ones, and what was counted is exact after a crash. A time without a row had nothing to tell: with `since`, the time from
which the recording has been without a gap, a reader tells it from one when no node decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.domain.spread import Spread
from taskyard.engine.rows import SeriesRow

FINE, MIDDLE, COARSE = 1_000, 12_000, 288_000
STEPS = (FINE, MIDDLE, COARSE)


class Point:
    """What happened in a span of time that begins at `at`, and the counts at its end. Times in ms."""

    __slots__ = (
        "at",
        "cancelled",
        "completed",
        "failed",
        "running",
        "runs",
        "since",
        "submitted",
        "timed_out",
        "waiting",
        "waits",
    )

    def __init__(self, at: int, since: int) -> None:
        self.at = at
        self.since = since
        self.submitted = self.completed = self.failed = self.timed_out = self.cancelled = 0
        self.waits = Spread()
        self.runs = Spread()
        self.waiting = self.running = 0

    def merge(self, other: Point) -> None:
        """Take in a later span."""
        self.submitted += other.submitted
        self.completed += other.completed
        self.failed += other.failed
        self.timed_out += other.timed_out
        self.cancelled += other.cancelled
        self.waits.merge(other.waits)
        self.runs.merge(other.runs)
        self.waiting, self.running, self.since = other.waiting, other.running, other.since

    def row(self, step: int) -> SeriesRow:
        """As a row."""
        return SeriesRow(
            step,
            self.at,
            self.since,
            self.submitted,
            self.completed,
            self.failed,
            self.timed_out,
            self.cancelled,
            self.waits.text(),
            self.runs.text(),
            self.waiting,
            self.running,
        )

    @classmethod
    def of(cls, row: SeriesRow) -> Point:
        """What a row tells."""
        point = cls(row.at, row.since)
        point.submitted, point.completed, point.failed = row.submitted, row.completed, row.failed
        point.timed_out, point.cancelled = row.timed_out, row.cancelled
        point.waits, point.runs = Spread.of(row.waits), Spread.of(row.runs)
        point.waiting, point.running = row.waiting, row.running
        return point


class Series:
    """The spans that are not over yet. `since` is when this memory was made."""

    def __init__(self, since: int, rows: Sequence[SeriesRow] = ()) -> None:
        self.since = since
        self.last: Point | None = None  # the latest second that is over
        self._began = False  # whether there is a row since `since`
        by_step = {step: [Point.of(row) for row in rows if row.step == step] for step in STEPS}
        newest = max(by_step[FINE], key=lambda point: point.at, default=None)
        now = since if newest is None else newest.at
        self.fine = Point(now // FINE * FINE, since) if newest is None else newest
        self.middle = Point(now // MIDDLE * MIDDLE, since)
        self.coarse = Point(now // COARSE * COARSE, since)
        for point in sorted(by_step[FINE], key=lambda point: point.at):
            if self.middle.at <= point.at < self.fine.at:
                self.middle.merge(point)
        for point in sorted(by_step[MIDDLE], key=lambda point: point.at):
            if self.coarse.at <= point.at < self.middle.at:
                self.coarse.merge(point)

    def take(
        self,
        now: int,
        counted: Sequence[int],
        waits: Sequence[int],
        runs: Sequence[int],
        waiting: int,
        running: int,
    ) -> list[SeriesRow]:
        """Take in what a turn counted: the rows to write.

        `counted` are submissions and ends as COMPLETED, FAILED, TIMEOUT, CANCELLED; `waits` and `runs` the ms that
        tasks waited and completed attempts took; `waiting` and `running` how many tasks do now.
        """
        fine = self.fine
        still = (waiting, running) == (fine.waiting, fine.running)
        if self._began and still and not any(counted) and not waits and not runs:
            return []
        self._began = True
        rows = [] if now < fine.at + FINE else self._close(now)
        fine = self.fine
        submitted, completed, failed, timed_out, cancelled = counted
        fine.submitted += submitted
        fine.completed += completed
        fine.failed += failed
        fine.timed_out += timed_out
        fine.cancelled += cancelled
        fine.waits.add(waits)
        fine.runs.add(runs)
        fine.waiting, fine.running, fine.since = waiting, running, self.since
        rows.append(fine.row(FINE))
        return rows

    def _close(self, now: int) -> list[SeriesRow]:
        """The second is over: the rows of the spans that it was part of, as far as they changed."""
        self.middle.merge(self.fine)
        rows = [self.middle.row(MIDDLE)]
        self.last, self.fine = self.fine, Point(now // FINE * FINE, self.since)
        if now >= self.middle.at + MIDDLE:
            self.coarse.merge(self.middle)
            rows.append(self.coarse.row(COARSE))
            self.middle = Point(now // MIDDLE * MIDDLE, self.since)
            if now >= self.coarse.at + COARSE:
                self.coarse = Point(now // COARSE * COARSE, self.since)
        return rows

    def present(self, step: int) -> Point:
        """The span of this step that is not over, with all that was taken in so far."""
        if step == FINE:
            return self.fine
        point = Point(self.middle.at if step == MIDDLE else self.coarse.at, self.since)
        if step == COARSE:
            point.merge(self.coarse)
        point.merge(self.middle)
        point.merge(self.fine)
        return point

    def second(self, at: int) -> Point:
        """The second that begins at `at`, one of the latest two; one without a turn has counts alone."""
        for point in (self.fine, self.last):
            if point is not None and point.at == at:
                return point
        still = Point(at, self.since)
        still.waiting, still.running = self.fine.waiting, self.fine.running
        return still
