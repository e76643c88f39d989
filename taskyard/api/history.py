"""How servers fared over time: one server, and the whole fleet in columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from taskyard.api.call import Call
from taskyard.api.operation import Operation
from taskyard.api.servers import server_id_of, view_of
from taskyard.api.strips import FleetStrips, Spans, strip_of
from taskyard.api.windows import POINTS, STEPS, WINDOW, begin_of, points_of
from taskyard.engine.rows import HealthRow, LoadRow, SeriesRow
from taskyard.engine.series import COARSE
from taskyard.host.port import ServerView
from taskyard.store.figures import LoadSum
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.history import (
    STRIP,
    Fleet,
    PickShare,
    ServerHistory,
    ServerSeries,
    StatusChange,
    TypeOutcomes,
)
from taskyard.wire.overview import WindowQuery

_CHANGES, _TYPES = 50, 20
_CHANGES_MOST = 20_000
_EACH = POINTS // STRIP
# A change that was decided so long ago is in the store, or will never be.
_SETTLED_MS = 60_000


def _watched(store: Store, counting: SeriesRow, begin: int, now: int) -> list[bool]:
    """Of each letter of a strip whether a node decided at any time in it; `counting` is the span that is not over."""
    points = points_of(store.figures.series(counting.step, begin, now + 1), counting, begin)
    return [any(point is not None for point in points[first : first + _EACH]) for first in range(0, POINTS, _EACH)]


def _sums(parts: Iterable[LoadSum]) -> dict[str, LoadSum]:
    """By server: the sums of all parts."""
    sums: dict[str, LoadSum] = {}
    for part in parts:
        server_id, picks, completed, failed, run_ms = part
        old = sums.get(server_id)
        if old is not None:
            part = LoadSum(server_id, old[1] + picks, old[2] + completed, old[3] + failed, old[4] + run_ms)
        sums[server_id] = part
    return sums


class _Shares:
    """Each server's share of the picks, and what its weight makes expected among those in service."""

    def __init__(self, views: Sequence[ServerView], sums: dict[str, LoadSum]) -> None:
        serving = [view for view in views if view.status in ("online", "degraded")]
        self._weights = {view.id: view.weight for view in serving}
        self._weight = sum(self._weights.values())
        self._sums = sums
        self.all_picks = sum(row.picks for row in sums.values())

    def picks(self, server_id: str) -> int:
        return self._sums[server_id].picks if server_id in self._sums else 0

    def share(self, server_id: str) -> float | None:
        return round(self.picks(server_id) / self.all_picks, 4) if self.all_picks else None

    def expected(self, server_id: str) -> float | None:
        return round(self._weights.get(server_id, 0) / self._weight, 4) if self._weight else None


async def history(call: Call, query: WindowQuery) -> Answer:
    """GET /api/servers/{id}/history"""
    node, window = call.node, query.window or "24h"
    view, step, now = view_of(call, server_id_of(call)), STEPS[query.window or "24h"], node.now()
    begin = begin_of(now, step)
    spans = begin // COARSE * COARSE
    counting, at, unfinished = node.figures.present(step), node.figures.loads_since(), node.figures.present_sums()
    mine = node.figures.load(view.id)

    def read(store: Store) -> tuple[list[HealthRow], list[bool], list[LoadRow], dict[str, LoadSum]]:
        loads = [row for row in store.figures.loads(view.id, spans) if row.at != at]
        changes = store.figures.health(begin, view.id, _CHANGES_MOST)
        sums = _sums([*node.figures.load_sums(store, spans, at), *unfinished])
        return changes, _watched(store, counting, begin, now), [*loads, *([] if mine is None else [mine])], sums

    changes, watched, loads, sums = await node.read(read)
    shares = _Shares([other for other in node.servers() if other.removing_until is None], sums)
    latest = node.figures.changes(view.id)
    return ServerHistory(
        server_id=view.id,
        as_of=now,
        window=window,
        status=view.status,
        since=latest[-1].at if latest else None,
        strip_step=step * _EACH,
        strip=strip_of(changes, watched, begin, step * _EACH),
        changes=[_change(call, change) for change in reversed(changes[-_CHANGES:])],
        series=_series(loads, spans, now),
        outcomes=_outcomes(loads),
        share=PickShare(
            picks=shares.picks(view.id),
            all_picks=shares.all_picks,
            share=shares.share(view.id),
            weight=view.weight,
            expected=shares.expected(view.id),
        ),
    )


def _change(call: Call, change: HealthRow) -> StatusChange:
    # What a check said may name the endpoint, which is not for users.
    told = call.who.roles != {"user"}
    return StatusChange(at=change.at, status=change.status, reason=change.reason if told else None)


def _series(loads: Sequence[LoadRow], begin: int, now: int) -> ServerSeries:
    starts = list(range(begin, now + 1, COARSE))
    by = {row.at: row for row in loads}
    rows = [by.get(at) for at in starts]
    return ServerSeries(
        step=COARSE,
        t=starts,
        load=[round(row.busy_ms / row.slot_ms, 4) if row is not None and row.slot_ms else None for row in rows],
        response_ms=[
            round(row.response_ms / row.responses) if row is not None and row.responses else None for row in rows
        ],
        run_ms=[round(row.run_ms / row.completed) if row is not None and row.completed else None for row in rows],
        picks=[None if row is None else row.picks for row in rows],
    )


def _outcomes(loads: Sequence[LoadRow]) -> list[TypeOutcomes]:
    by_type: dict[str, Counter[int]] = {}
    for row in loads:
        for task_type, counts in json.loads(row.outcomes).items():
            by_type.setdefault(task_type, Counter()).update(dict(enumerate(counts)))
    most = sorted(by_type.items(), key=lambda entry: (-entry[1].total(), entry[0]))[:_TYPES]
    return [
        TypeOutcomes(type=name, completed=counts[0], failed=counts[1], timeout=counts[2], other=counts[3])
        for name, counts in most
    ]


async def fleet(call: Call, query: WindowQuery) -> Answer:
    """GET /api/fleet"""
    node, window = call.node, query.window or "24h"
    step, now = STEPS[window], node.now()
    begin = begin_of(now, step)
    spans = begin // COARSE * COARSE
    counting, at, unfinished = node.figures.present(step), node.figures.loads_since(), node.figures.present_sums()
    views = [view for view in node.servers() if view.removing_until is None]

    def known(store: Store) -> tuple[int, FleetStrips]:
        changes = store.figures.health(begin, None, _CHANGES_MOST)
        return now - _SETTLED_MS, FleetStrips(Spans(begin, step * _EACH, STRIP), changes)

    def read(store: Store) -> tuple[dict[str, LoadSum], list[str]]:
        sums = _sums([*node.figures.load_sums(store, spans, at), *unfinished])
        settled, strips = node.figures.remember(("strips", window), begin, lambda: known(store))
        later = store.figures.changes(max(begin, settled), _CHANGES_MOST)
        return sums, strips.of([view.id for view in views], later, _watched(store, counting, begin, now))

    sums, strips = await node.read(read)
    shares = _Shares(views, sums)
    nothing = LoadSum("", 0, 0, 0, 0)
    loads = [sums.get(view.id, nothing) for view in views]
    since = [node.figures.changes(view.id) for view in views]
    shown = node.fleet()
    status = dict(zip(shown.ids, shown.status, strict=True))
    return Fleet(
        as_of=now,
        window=window,
        strip_step=step * _EACH,
        id=[view.id for view in views],
        name=[view.name for view in views],
        status=[status.get(view.id, view.status) for view in views],
        since=[changes[-1].at if changes else None for changes in since],
        active=[view.active for view in views],
        max_concurrent=[view.max_concurrent for view in views],
        weight=[view.weight for view in views],
        capabilities=[list(view.capabilities) for view in views],
        groups=[list(view.groups) for view in views],
        maintenance_reason=[view.maintenance_reason for view in views],
        strip=strips,
        completed=[load.completed for load in loads],
        failed=[load.failed for load in loads],
        average_run_ms=[round(load.run_ms / load.completed) if load.completed else None for load in loads],
        picks=[load.picks for load in loads],
        share=[shares.share(view.id) for view in views],
        expected=[shares.expected(view.id) for view in views],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/servers/{id}/history",
        tag="Servers",
        summary="How a server fared",
        description=(
            "Its health, load, response time and outcomes in the window (default 24h), and its share of the picks. "
            "Loads, picks and outcomes are counted in spans of 288 s, of which the window has those that touch it; a "
            "crash can cost what the last 12 s tell of these."
        ),
        handler=history,
        takes=WINDOW,
        answers=(ServerHistory,),
        errors={404: "There is no such server."},
    ),
    Operation(
        method="GET",
        path="/api/fleet",
        tag="Servers",
        summary="All servers in columns",
        description=(
            "For pages that show many: one entry a server in each column, with its health in the window (default 24h), "
            "its attempts, and its share of the picks beside what its weight makes expected."
        ),
        handler=fleet,
        takes=WINDOW,
        answers=(Fleet,),
    ),
)
