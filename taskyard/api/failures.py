"""What failed, by groups that are counted in the turn."""

from __future__ import annotations

from collections.abc import Iterable
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
# What is counted goes into the present hour; of the one before the last commit may be under way.
_FRESH_HOURS = 1
# The task itself is wrong.
_WRONG = (400, 413, 422)
# So much of a group on one server is that server's trouble; so near to the limit is too near.
_ONE_SERVER = 0.8
_NEAR_LIMIT = 0.8


_minutes = msgspec.json.Decoder(dict[str, tuple[int, int]]).decode
_by_server = msgspec.json.Decoder(dict[str, int]).decode
_ids = msgspec.json.Decoder(list[str]).decode


class Group:
    """A group over the hours and owners of a window."""

    __slots__ = ("_before", "_counts", "_texts", "first_at", "latest", "samples", "tasks", "trend")

    def __init__(self, latest: FailureRow, trend: list[int], before: Group | None = None) -> None:
        self.latest = latest
        self.first_at = latest.first_at
        self.trend = trend
        self.tasks = 0
        # Lists of ids as JSON texts, those of the latest hours.
        self.samples: list[str] = []
        self._texts: list[str] = []
        self._counts: dict[str, int] | None = None
        self._before = before

    def after(self) -> Group:
        """A group that has all of this one, and will have more; this one stays."""
        group = Group(self.latest, self.trend.copy(), self)
        group.first_at, group.tasks, group.samples = self.first_at, self.tasks, self.samples.copy()
        return group

    def add(self, row: FailureRow, tasks: int, trend: dict[int, int]) -> None:
        """Take in a row, of which so many tasks and failures are in the window."""
        if row.last_at >= self.latest.last_at:
            self.latest = row
        self.first_at = min(self.first_at, row.first_at)
        for place, failures in trend.items():
            self.trend[place] += failures
        self.tasks += tasks
        self.samples.append(row.samples)
        del self.samples[:-_SAMPLES]
        self._texts.append(row.servers)

    @property
    def failures(self) -> int:
        return sum(self.trend)

    @property
    def counts(self) -> dict[str, int]:
        """Its attempts by server, counted when they are asked for first; nothing is added after that."""
        if self._counts is None:
            counts = {} if self._before is None else self._before.counts.copy()
            for text in self._texts:
                for name, count in _by_server(text).items():
                    counts[name] = counts.get(name, 0) + count
            self._counts = counts
        return self._counts

    def servers(self) -> list[tuple[str, int]]:
        """Its attempts by server, the most first; '' stands for those that were not counted each."""
        return sorted(self.counts.items(), key=lambda entry: (-entry[1], entry[0]))

    def latest_tasks(self) -> list[str]:
        """Some of its tasks."""
        found = {task_id for text in self.samples for task_id in _ids(text)}
        return sorted(found, reverse=True)[:_SAMPLES]


Groups = dict[str, Group]


def grouped(rows: Iterable[FailureRow], begin: int, points: int, step: int, before: Groups | None = None) -> Groups:
    """The groups with something in the window, which begins at `begin`, by id.

    `before` are those of hours before the rows' own, which stay as they are.
    """
    groups = {} if before is None else {name: group.after() for name, group in before.items()}
    for row in rows:
        tasks, trend = _within(row, begin, points, step)
        if not trend:
            continue
        group = groups.get(row.id)
        if group is None:
            group = groups[row.id] = Group(row, [0] * points)
        group.add(row, tasks, trend)
    return groups


def ranked(groups: Groups) -> list[Group]:
    """Those with most tasks first."""
    return sorted(groups.values(), key=lambda group: (-group.tasks, -group.failures, group.latest.id))


def _within(row: FailureRow, begin: int, points: int, step: int) -> tuple[int, dict[int, int]]:
    """Of one row: the tasks that ended in the window, and the failures by point of the trend."""
    minutes = _minutes(row.minutes)
    if step >= _HOUR_MS:  # an hour is of one point
        place = (row.hour * _HOUR_MS - begin) // step
        inside = 0 <= place < points
        return (row.tasks, {place: sum([failures for _, failures in minutes.values()])}) if inside else (0, {})
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

    first, fresh = begin // _HOUR_MS, now // _HOUR_MS - _FRESH_HOURS

    def over(store: Store) -> Groups:
        rows = store.figures.failures(owner, first)
        return grouped((row for row in rows if row.hour < fresh), begin, points, step)

    def read(store: Store) -> Failures:
        before: Groups = {}
        if first < fresh:
            before = node.figures.remember(("failures", owner), begin, lambda: over(store))
        rows = store.figures.failures(owner, max(first, fresh))
        groups = ranked(grouped(rows, begin, points, step, before))
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


def _shown(group: Group, registered: int) -> FailureGroup:
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
        samples=group.latest_tasks(),
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
