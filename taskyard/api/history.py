"""How servers fared over time: one server, and the whole fleet in columns."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence

from taskyard.api.call import Call
from taskyard.api.operation import Operation
from taskyard.api.servers import server_id_of, view_of
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
# The letters of a strip, the worst status first.
_LETTERS = {
    "offline": "x",
    "degraded": "d",
    "maintenance": "m",
    "draining": "r",
    "online": "o",
    "initializing": "i",
}
_RANKS = {status: rank for rank, status in enumerate(_LETTERS)}
_NOBODY = "-"
_SHOWN = [*_LETTERS.values(), _NOBODY]


def strip_of(changes: Sequence[HealthRow], watched: Sequence[bool], begin: int, step: int) -> str:
    """A letter for each span of `step` ms: the worst status in it, or that nobody watched.

    `changes` of one server by age, those before the window too; `watched` says of each span whether a node decided.
    """
    worst = [len(_RANKS)] * len(watched)
    for place, change in enumerate(changes):
        until = begin + len(watched) * step if place + 1 == len(changes) else changes[place + 1].at
        if until <= begin:
            continue
        rank = _RANKS[change.status]
        for number in range(max(0, (change.at - begin) // step), min(len(watched), (until - 1 - begin) // step + 1)):
            worst[number] = min(worst[number], rank)
    return "".join([_SHOWN[rank] if seen else _NOBODY for rank, seen in zip(worst, watched, strict=True)])


def _watched(store: Store, counting: SeriesRow, begin: int, now: int) -> list[bool]:
    """Of each letter of a strip whether a node decided at any time in it; `counting` is the span that is not over."""
    points = points_of(store.figures.series(counting.step, begin, now + 1), counting, begin)
    return [any(point is not None for point in points[first : first + _EACH]) for first in range(0, POINTS, _EACH)]


def _sums(stored: Iterable[LoadSum], present: Iterable[LoadRow]) -> dict[str, LoadSum]:
    """By server: the sums of the spans that are over, and of those that are not."""
    sums = {row.server_id: row for row in stored}
    for row in present:
        old = sums.get(row.server_id, LoadSum(row.server_id, 0, 0, 0, 0))
        sums[row.server_id] = LoadSum(
            row.server_id,
            old.picks + row.picks,
            old.completed + row.completed,
            old.failed + row.failed,
            old.run_ms + row.run_ms,
        )
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
    counting, (at, present) = node.figures.present(step), node.figures.loads()
    mine = [row for row in present if row.server_id == view.id]

    def read(store: Store) -> tuple[list[HealthRow], list[bool], list[LoadRow], dict[str, LoadSum]]:
        loads = [row for row in store.figures.loads(view.id, spans) if row.at != at]
        changes = store.figures.health(begin, view.id, _CHANGES_MOST)
        sums = _sums(node.figures.load_sums(store, spans, at), present)
        return changes, _watched(store, counting, begin, now), [*loads, *mine], sums

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
    counting, (at, present) = node.figures.present(step), node.figures.loads()
    views = [view for view in node.servers() if view.removing_until is None]

    def read(store: Store) -> tuple[dict[str, LoadSum], dict[str, str]]:
        sums = _sums(node.figures.load_sums(store, spans, at), present)
        watched = _watched(store, counting, begin, now)
        changes: dict[str, list[HealthRow]] = {}
        for change in store.figures.health(begin, None, _CHANGES_MOST):
            changes.setdefault(change.server_id, []).append(change)
        return sums, {view.id: strip_of(changes.get(view.id, ()), watched, begin, step * _EACH) for view in views}

    sums, strips = await node.read(read)
    shares = _Shares(views, sums)
    nothing = LoadSum("", 0, 0, 0, 0)
    loads = [sums.get(view.id, nothing) for view in views]
    since = [node.figures.changes(view.id) for view in views]
    return Fleet(
        as_of=now,
        window=window,
        strip_step=step * _EACH,
        id=[view.id for view in views],
        name=[view.name for view in views],
        status=[view.status for view in views],
        since=[changes[-1].at if changes else None for changes in since],
        active=[view.active for view in views],
        max_concurrent=[view.max_concurrent for view in views],
        weight=[view.weight for view in views],
        strip=[strips[view.id] for view in views],
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
