"""Statistics by day and hour, and the load balancer. All figures come from counters written with the facts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import UTC, date, datetime

from taskyard.api.call import Call
from taskyard.api.operation import ADMINS, NO_QUERY, Example, NoQuery, Operation, any_node
from taskyard.api.servers import average, no_server, rate, server_id_of
from taskyard.domain.health import State
from taskyard.domain.policies import POLICIES
from taskyard.engine import facts
from taskyard.engine.plan import AlgorithmDone
from taskyard.engine.rows import STAT_NAMES, StatRow
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.statistics import (
    Algorithm,
    AlgorithmSet,
    BalancerStatus,
    Day,
    DayHours,
    DayStats,
    Hour,
    HourTasks,
    ServerShare,
    ServerStats,
    TopServer,
    TypeStats,
)

DAY = Reader(Day)
ALGORITHM = Reader(Algorithm)
HOUR_MS = 3_600_000
_HOURS = 24
_TOP = 10
_TYPES = 50
_NONE = StatRow._make((0, "", "", *([0] * len(STAT_NAMES)), 0))


def _day(call: Call, text: str | None) -> tuple[str, int]:
    """The day's name and its first hour since the epoch."""
    if text is None:
        day = datetime.fromtimestamp(call.node.now() / 1000, UTC).date()
    else:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            raise Invalid(f"date: {text} is no day; write it as YYYY-MM-DD") from None
    return day.isoformat(), (day - date(1970, 1, 1)).days * _HOURS


def _sum(rows: Iterable[StatRow]) -> StatRow:
    rows = list(rows)
    if not rows:
        return _NONE
    counters = [sum(values) for values in zip(*(row[3:-1] for row in rows), strict=True)]
    return StatRow._make((rows[0].hour, rows[0].scope, rows[0].key, *counters, max(row.last_at for row in rows)))


async def day_stats(call: Call, query: Day) -> Answer:
    """GET /api/stats"""
    name, first = _day(call, query.date)

    def read(store: Store) -> tuple[list[StatRow], list[StatRow], list[StatRow]]:
        last = first + _HOURS
        return (
            store.stats(first, last, "yard", ""),
            store.stats(first, last, "server"),
            store.stats(first, last, "type"),
        )

    yard, by_server, by_type = await call.node.read(read)
    total = _sum(yard)
    created = {row.hour - first: row.created for row in yard}
    live, now = call.node.live(), call.node.now()
    servers = call.node.servers()
    return DayStats(
        date=name,
        total_tasks=total.created,
        pending_tasks=live.pending,
        processing_tasks=live.processing,
        successful_tasks=total.completed,
        failed_tasks=total.failed,
        cancelled_tasks=total.cancelled,
        timed_out_tasks=total.timed_out,
        retried_tasks=total.retried,
        average_processing_time=average(total.run_ms, total.attempts_ok),
        average_wait_time=average(total.wait_ms, total.waits),
        oldest_pending_age=0 if live.oldest_pending_at is None else max(0, now - live.oldest_pending_at),
        server_count=sum(view.removing_until is None for view in servers),
        top_servers=_top(by_server, {view.id: view.name for view in servers}),
        hourly_trend=[HourTasks(hour=hour, tasks=created.get(hour, 0)) for hour in range(_HOURS)],
        types=_types(by_type) if call.admin else [],
    )


def _by_key(rows: list[StatRow]) -> list[StatRow]:
    """The sums of each key's rows."""
    by_key: dict[str, list[StatRow]] = {}
    for row in rows:
        by_key.setdefault(row.key, []).append(row)
    return [_sum(some) for some in by_key.values()]


def _types(rows: list[StatRow]) -> list[TypeStats]:
    def ended(total: StatRow) -> int:
        return total.completed + total.failed + total.timed_out + total.cancelled

    totals = sorted(_by_key(rows), key=lambda total: (-max(total.created, ended(total)), total.key))
    return [
        TypeStats(
            type=total.key,
            created=total.created,
            completed=total.completed,
            failed=total.failed,
            timed_out=total.timed_out,
            cancelled=total.cancelled,
            success_rate=rate(total.completed, total.failed + total.timed_out),
            average_processing_time=average(total.run_ms, total.attempts_ok),
            average_wait_time=average(total.wait_ms, total.waits),
        )
        for total in totals[:_TYPES]
    ]


def _top(rows: list[StatRow], names: dict[str, str]) -> list[TopServer]:
    totals = [total for total in _by_key(rows) if total.attempts_ok + total.attempts_failed]
    totals.sort(key=lambda total: (-(total.attempts_ok + total.attempts_failed), total.key))
    return [
        TopServer(
            server_id=total.key,
            name=names.get(total.key, total.key),
            tasks_processed=total.attempts_ok + total.attempts_failed,
            success_rate=rate(total.attempts_ok, total.attempts_failed),
            average_processing_time=average(total.run_ms, total.attempts_ok),
        )
        for total in totals[:_TOP]
    ]


async def hourly(call: Call, query: Day) -> Answer:
    """GET /api/stats/hourly"""
    name, first = _day(call, query.date)
    rows = await call.node.read(lambda store: store.stats(first, first + _HOURS, "yard", ""))
    by_hour = {row.hour - first: row for row in rows}
    hours = []
    for hour in range(_HOURS):
        row = by_hour.get(hour, _NONE)
        hours.append(
            Hour(
                hour=hour,
                created=row.created,
                completed=row.completed,
                failed=row.failed,
                average_time=average(row.run_ms, row.attempts_ok),
                timed_out=row.timed_out,
                cancelled=row.cancelled,
            )
        )
    return DayHours(date=name, hours=hours, hourly_breakdown=hours)


async def server_stats(call: Call, query: Day) -> Answer:
    """GET /api/stats/servers/{id}"""
    server_id = server_id_of(call)
    node = call.node
    now = node.now()
    if query.date is None:
        total = await node.read(lambda store: store.stats_total("server", server_id))
        begin, end = 0, now
    else:
        _, first = _day(call, query.date)
        rows = await node.read(lambda store: store.stats(first, first + _HOURS, "server", server_id))
        total = _sum(rows)
        begin, end = first * HOUR_MS, min(now, (first + _HOURS) * HOUR_MS)
    view = node.server(server_id)
    if view is None and not total.last_at:
        raise no_server(server_id)
    if view is not None:
        begin = max(begin, view.registered_at)
    return ServerStats(
        server_id=server_id,
        tasks_processed=total.attempts_ok + total.attempts_failed,
        success_count=total.attempts_ok,
        failure_count=total.attempts_failed,
        success_rate=rate(total.attempts_ok, total.attempts_failed),
        average_processing_time=average(total.run_ms, total.attempts_ok),
        average_response_time=average(total.response_ms, total.responses),
        uptime=round(min(1.0, total.online_ms / (end - begin)), 4) if begin and end > begin else 0.0,
        last_active_time=total.last_at or None,
    )


async def balancer(call: Call, _: NoQuery) -> Answer:
    """GET /api/loadbalancer/status"""
    servers = [view for view in call.node.servers() if view.removing_until is None]
    loads = {view.id: round(view.load, 4) for view in servers}
    return BalancerStatus(
        algorithm=call.node.algorithm,
        healthy_servers=sum(view.status == State.ONLINE.value for view in servers),
        server_distribution={
            view.id: ServerShare(load=loads[view.id], active_tasks=view.active, weight=view.weight) for view in servers
        },
        server_loads=loads,
        total_active_tasks=sum(view.active for view in servers),
        average_load=round(sum(loads.values()) / len(loads), 4) if loads else 0.0,
    )


async def set_algorithm(call: Call, body: Algorithm) -> Answer:
    """PUT /api/loadbalancer/algorithm"""
    if body.algorithm not in POLICIES:
        shown = body.algorithm[:64]
        near = difflib.get_close_matches(shown.lower(), POLICIES, n=1)
        mean = f", did you mean {near[0]}?" if near else ""
        raise Invalid(f"algorithm {shown!r} is unknown{mean}: one of {', '.join(POLICIES)}")
    done = await call.ask(facts.AlgorithmSet(name=body.algorithm, who=call.who.sub), AlgorithmDone)
    return AlgorithmSet(success=True, message=f"Load balancing algorithm set to {done.name}", algorithm=done.name)


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/stats",
        aliases=("/api/stats/tasks",),
        tag="Statistics",
        summary="A day's figures",
        description="The whole yard's, without owners. Averages are ms; one without data is 0.",
        handler=day_stats,
        takes=DAY,
        answers=(DayStats,),
    ),
    Operation(
        method="GET",
        path="/api/stats/hourly",
        tag="Statistics",
        summary="A day by hours",
        description="24 hours, UTC.",
        handler=hourly,
        takes=DAY,
        answers=(DayHours,),
        anywhere=any_node,
    ),
    Operation(
        method="GET",
        path="/api/stats/servers/{id}",
        aliases=("/api/stats/server/{id}",),
        tag="Statistics",
        summary="A server's figures over time",
        description=(
            "Of the day `date`, or since its registration. `uptime` is the share of that time it was online. Each "
            "attempt counts once, when it ends or is given up; a result that comes after that changes no figure."
        ),
        handler=server_stats,
        takes=DAY,
        answers=(ServerStats,),
        errors={404: "There is and was no such server."},
    ),
    Operation(
        method="GET",
        path="/api/loadbalancer/status",
        aliases=("/api/stats/load-balancer",),
        tag="Load Balancer",
        summary="The load balancer now",
        description="Loads are slots in use as a share of all, 0-1. `weight` is the server's `priority`.",
        handler=balancer,
        takes=NO_QUERY,
        answers=(BalancerStatus,),
    ),
    Operation(
        method="PUT",
        path="/api/loadbalancer/algorithm",
        tag="Load Balancer",
        summary="Switch the algorithm",
        description=(
            "Holds from the next pick on and outlives a restart. At saturation whichever slot frees decides; weights "
            "act while slots are idle.\n\n"
            + "\n".join(f"- `{name}`: {policy.summary}" for name, policy in POLICIES.items())
        ),
        handler=set_algorithm,
        takes=ALGORITHM,
        answers=(AlgorithmSet,),
        roles=ADMINS,
        examples=(Example("Least connections", {"algorithm": "least-connections"}),),
    ),
    Operation(
        method="POST",
        path="/api/stats/load-balancer/algorithm",
        tag="Load Balancer",
        summary="Switch the algorithm",
        description="The same as PUT /api/loadbalancer/algorithm.",
        handler=set_algorithm,
        takes=ALGORITHM,
        answers=(AlgorithmSet,),
        roles=ADMINS,
        examples=(Example("Least connections", {"algorithm": "least-connections"}),),
    ),
)
