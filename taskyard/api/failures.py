"""What failed, by groups that are counted in the turn."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from taskyard.api.call import Call
from taskyard.api.operation import USERS, Operation
from taskyard.api.windows import WINDOW
from taskyard.domain.outcomes import Outcome
from taskyard.engine.rows import FailureRow
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.failures import Advice, FailureGroup, Failures, ServerCount
from taskyard.wire.overview import WindowQuery

# How many points a trend has, and the ms from one to the next.
TRENDS = {"5m": (5, 60_000), "1h": (12, 300_000), "24h": (24, 3_600_000)}
_HOUR_MS, _MINUTE_MS = 3_600_000, 60_000
_MOST, _SERVERS, _SAMPLES = 100, 20, 5
# The task itself is wrong.
_WRONG = (400, 413, 422)
# So much of a group on one server is that server's trouble; so near to the limit is too near.
_ONE_SERVER = 0.8
_NEAR_LIMIT = 0.8


_minutes = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode
_by_server = msgspec.json.Decoder(dict[str, int]).decode
_ids = msgspec.json.Decoder(list[str]).decode


@dataclass(slots=True)
class _Group:
    """A group over the hours and owners of a window."""

    latest: FailureRow
    first_at: int
    trend: list[int]
    tasks: int = 0
    rows: list[FailureRow] = field(default_factory=list)

    @property
    def failures(self) -> int:
        return sum(self.trend)

    def servers(self) -> list[tuple[str, int]]:
        """Its attempts by server, the most first; '' stands for those that were not counted each."""
        counts: dict[str, int] = {}
        for row in self.rows:
            for name, count in _by_server(row.servers).items():
                counts[name] = counts.get(name, 0) + count
        return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))

    def samples(self) -> list[str]:
        """Its latest tasks."""
        found = {task_id for row in self.rows[-_SAMPLES:] for task_id in _ids(row.samples)}
        return sorted(found, reverse=True)[:_SAMPLES]


def grouped(rows: Iterable[FailureRow], begin: int, points: int, step: int) -> list[_Group]:
    """The groups with something in the window, which begins at `begin`; those with most tasks first."""
    groups: dict[str, _Group] = {}
    for row in rows:
        tasks, trend = _within(row, begin, points, step)
        if not trend:
            continue
        group = groups.get(row.id)
        if group is None:
            group = groups[row.id] = _Group(row, row.first_at, [0] * points)
        if row.last_at >= group.latest.last_at:
            group.latest = row
        group.first_at = min(group.first_at, row.first_at)
        for place, failures in trend.items():
            group.trend[place] += failures
        group.tasks += tasks
        group.rows.append(row)
    return sorted(groups.values(), key=lambda group: (-group.tasks, -group.failures, group.latest.id))


def _within(row: FailureRow, begin: int, points: int, step: int) -> tuple[int, dict[int, int]]:
    """Of one row: the tasks that ended in the window, and the failures by point of the trend."""
    minutes = _minutes(row.minutes)
    first = (row.hour * _HOUR_MS - begin) // step
    if step >= _HOUR_MS:  # an hour is of one point
        return (
            (row.tasks, {first: sum([failures for _, failures in minutes.values()])})
            if 0 <= first < points
            else (0, {})
        )
    tasks, trend = 0, dict[int, int]()
    for minute, (ended, failures) in minutes.items():
        place = (row.hour * _HOUR_MS + int(minute) * _MINUTE_MS - begin) // step
        if 0 <= place < points:
            trend[place] = trend.get(place, 0) + failures
            tasks += ended
    return tasks, trend


async def failures(call: Call, query: WindowQuery) -> Answer:
    """GET /api/failures"""
    node, owner, window = call.node, call.owner, query.window or "1h"
    points, step = TRENDS[window]
    now = node.now()
    begin = (now // step - points + 1) * step
    registered = sum(view.removing_until is None for view in node.servers())

    def read(store: Store) -> Failures:
        rows = store.figures.failures(owner, begin // _HOUR_MS)
        groups = grouped(rows, begin, points, step)
        return Failures(
            as_of=now,
            window=window,
            step=step,
            count=sum(group.tasks for group in groups),
            attempts=sum(group.failures for group in groups),
            groups=[_shown(group, registered) for group in groups[:_MOST]],
            more=max(0, len(groups) - _MOST),
            last_at=store.figures.last_failure(owner),
        )

    return await node.read(read)


def _shown(group: _Group, registered: int) -> FailureGroup:
    latest, servers = group.latest, group.servers()
    named = [(name, count) for name, count in servers if name]
    return FailureGroup(
        id=latest.id,
        type=latest.type,
        outcome=latest.outcome,
        http_status=latest.http_status,
        error_code=latest.error_code,
        error=latest.error,
        count=group.tasks,
        attempts=group.failures,
        trend=group.trend,
        servers=[ServerCount(id=name, count=count) for name, count in named[:_SERVERS]],
        server_count=len(servers),
        first_at=group.first_at,
        last_at=latest.last_at,
        samples=group.samples(),
        advice=_advice(latest, named, sum(count for _, count in servers), registered),
    )


def _advice(latest: FailureRow, servers: list[tuple[str, int]], attempts: int, registered: int) -> Advice:
    """The first rule that holds."""
    server, most = servers[0] if servers else ("", 0)
    params: dict[str, Any] = {}
    if latest.outcome == Outcome.MISCONFIGURED.value:
        code, params = "fix_key", {"servers": [name for name, _ in servers[:_SERVERS]]}
    elif latest.outcome == Outcome.LOST.value:
        code = "lost"
    elif latest.http_status in _WRONG:
        code, params = "fix_task", {"status": latest.http_status}
    elif registered > 1 and most > 1 and most >= _ONE_SERVER * attempts:
        code, params = "one_server", {"server": server, "count": most, "of": attempts}
    elif (
        latest.outcome == Outcome.TIMEOUT.value
        and latest.timeout is not None
        and latest.run_p95 is not None
        and latest.run_p95 >= _NEAR_LIMIT * latest.timeout
    ):
        code, params = "raise_timeout", {"type": latest.type, "runP95": latest.run_p95, "timeout": latest.timeout}
    else:
        code = "open_one"
    return Advice(code=code, params=params)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/failures",
        tag="Statistics",
        summary="What failed, in groups",
        description=(
            "Failures of the same kind as one group: the same type, outcome, HTTP status, error code and first line of "
            "the error, in which numbers, ids, URLs and paths are blanked. With what to do about it. Users get the "
            "groups of their own tasks."
        ),
        handler=failures,
        takes=WINDOW,
        answers=(Failures,),
        roles=USERS,
    ),
)
