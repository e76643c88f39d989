"""The whole yard at a glance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from taskyard.api.attention import Trouble, attention, trouble
from taskyard.api.call import Call
from taskyard.api.operation import Operation
from taskyard.api.windows import POINTS, STEPS, WINDOW, begin_of, points_of
from taskyard.domain.spread import Spread
from taskyard.engine.rows import SeriesRow, StatRow
from taskyard.store.port import Store
from taskyard.wire import overview as wire
from taskyard.wire.base import Answer

# Spans of 12 s tell of the last 5 minutes what attention needs.
MIDDLE = STEPS["1h"]
_LATELY_MS = 300_000


async def overview(call: Call, query: wire.WindowQuery) -> Answer:
    """GET /api/overview"""
    node, window = call.node, query.window or "1h"
    step, now, owner, settings = STEPS[window], node.now(), call.owner, node.settings
    begin = begin_of(now, step)
    present, lately = node.figures.present(step), node.figures.present(MIDDLE)

    def read(store: Store) -> tuple[wire.Series, wire.WindowTotals, wire.Spread, wire.Spread, list[StatRow], Trouble]:
        points = points_of(store.figures.series(step, begin, now + 1), present, begin)
        recent = recent_spans(store, lately, now)
        kept = store.stats(0, 1, "kept", owner or "")
        known = [point for point in points if point is not None]
        waits, runs = ([Spread.of(getattr(point, name)) for point in known] for name in ("waits", "runs"))
        series = _series(points, begin, step, waits, runs)
        return series, _totals(known), _spread(waits), _spread(runs), kept, trouble(store, settings, recent)

    series, totals, wait, run, kept, troubles = await node.read(read)
    live, views = node.live(), [view for view in node.servers() if view.removing_until is None]
    used, total = node.figures.slots()
    shown, more = attention(call, now, troubles, views)
    ended = totals.completed + totals.failed + totals.timeout
    return wire.Overview(
        as_of=now,
        window=window,
        step=step,
        counts=counts_of(kept, (live.pending, live.processing) if owner is None else node.figures.live_of(owner)),
        slots=wire.Slots(used=used, total=total),
        servers=dict(Counter(node.fleet().status)),
        totals=totals,
        success=round(totals.completed / ended, 4) if ended else None,
        wait=wait,
        run=run,
        oldest=live.oldest_pending_at,
        attention=shown,
        more=more,
        series=series,
    )


def counts_of(kept: Sequence[StatRow], live: tuple[int, int]) -> wire.TaskCounts:
    """Tasks by status: what is kept of those that ended, and how many wait and run."""
    created, completed, failed, timed_out, cancelled = (
        sum(getattr(row, name) for row in kept) for name in ("created", "completed", "failed", "timed_out", "cancelled")
    )
    return wire.TaskCounts(
        total=created,
        pending=live[0],
        processing=live[1],
        completed=completed,
        failed=failed,
        timeout=timed_out,
        cancelled=cancelled,
    )


def recent_spans(store: Store, present: SeriesRow, now: int) -> list[SeriesRow]:
    """The spans of `MIDDLE` that began in the last 5 minutes, by age: what attention looks at. Idle yards have none."""
    begin = now - _LATELY_MS
    rows = [row for row in store.figures.series(MIDDLE, begin, present.at) if begin <= row.at < present.at]
    return [*rows, present] if present.at >= begin else rows


def _totals(points: Sequence[SeriesRow]) -> wire.WindowTotals:
    return wire.WindowTotals(
        submitted=sum(point.submitted for point in points),
        completed=sum(point.completed for point in points),
        failed=sum(point.failed for point in points),
        timeout=sum(point.timed_out for point in points),
        cancelled=sum(point.cancelled for point in points),
    )


def _spread(spreads: Sequence[Spread]) -> wire.Spread:
    whole = Spread()
    for spread in spreads:
        whole.merge(spread)
    return wire.Spread(count=whole.total, p50=whole.quantile(0.5), p95=whole.quantile(0.95))


def _series(
    points: Sequence[SeriesRow | None], begin: int, step: int, waits: Sequence[Spread], runs: Sequence[Spread]
) -> wire.Series:
    p95 = iter([(wait.quantile(0.95), run.quantile(0.95)) for wait, run in zip(waits, runs, strict=True)])
    slow = [(None, None) if point is None else next(p95) for point in points]
    return wire.Series(
        t=[begin + number * step for number in range(POINTS)],
        submitted=[None if point is None else point.submitted for point in points],
        completed=[None if point is None else point.completed for point in points],
        failed=[None if point is None else point.failed + point.timed_out for point in points],
        waiting=[None if point is None else point.waiting for point in points],
        running=[None if point is None else point.running for point in points],
        wait_p95=[wait for wait, _ in slow],
        run_p95=[run for _, run in slow],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/overview",
        tag="Statistics",
        summary="The whole yard at a glance",
        description=(
            "Now, and in the window: 300 points of 1 s (5m), 12 s (1h) or 288 s (24h). Whole-yard figures without "
            "owners; `counts` are of the caller's own tasks, an admin's of all. All from counters kept in the turn."
        ),
        handler=overview,
        takes=WINDOW,
        answers=(wire.Overview,),
    ),
)
