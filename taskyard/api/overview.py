"""The whole yard at a glance."""

from __future__ import annotations

from taskyard.api.attention import attention
from taskyard.api.call import Call
from taskyard.api.operation import Operation
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.overview import Overview, Series, Slots, Spread, TaskCounts, WindowQuery, WindowTotals
from taskyard.wire.reader import Reader

WINDOW = Reader(WindowQuery)
POINTS = 300
STEPS = {"5m": 1_000, "1h": 12_000, "24h": 288_000}
_HOUR_MS = 3_600_000


async def overview(call: Call, query: WindowQuery) -> Answer:
    """GET /api/overview"""
    node, window = call.node, query.window or "1h"
    step, now = STEPS[window], node.now()

    def read(store: Store) -> tuple[list[int], list[int]]:
        total = store.stats_total("yard", "")
        hours = store.stats((now - step * POINTS) // _HOUR_MS, now // _HOUR_MS + 1, "yard", "")
        names = ("created", "completed", "failed", "timed_out", "cancelled")
        return [getattr(total, n) for n in names], [sum(getattr(row, n) for row in hours) for n in names]

    kept, within = await node.read(read)
    live, servers = node.live(), [view for view in node.servers() if view.removing_until is None]
    by_status: dict[str, int] = {}
    for view in servers:
        by_status[view.status] = by_status.get(view.status, 0) + 1
    useful = [view for view in servers if view.status in ("online", "degraded")]
    shown, more = attention(call, now)
    ended = within[1] + within[2] + within[3]
    starts = [(now // step - POINTS + 1 + number) * step for number in range(POINTS)]
    nothing: list[int | None] = [None] * POINTS
    return Overview(
        as_of=now,
        window=window,
        step=step,
        counts=TaskCounts(
            total=kept[0],
            pending=live.pending,
            processing=live.processing,
            completed=kept[1],
            failed=kept[2],
            timeout=kept[3],
            cancelled=kept[4],
        ),
        slots=Slots(used=sum(view.active for view in useful), total=sum(view.max_concurrent for view in useful)),
        servers=by_status,
        totals=WindowTotals(
            submitted=within[0], completed=within[1], failed=within[2], timeout=within[3], cancelled=within[4]
        ),
        success=within[1] / ended if ended else None,
        wait=Spread(count=0, p50=None, p95=None),
        run=Spread(count=0, p50=None, p95=None),
        oldest=live.oldest_pending_at,
        attention=shown,
        more=more,
        series=Series(
            t=starts,
            submitted=nothing,
            completed=nothing,
            failed=nothing,
            waiting=[*nothing[1:], live.pending],
            running=[*nothing[1:], live.processing],
            wait_p95=nothing,
            run_p95=nothing,
        ),
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
        answers=(Overview,),
    ),
)
