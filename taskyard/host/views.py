"""Views of what only the engine's memory knows, as plain data for the API and the metrics."""

from __future__ import annotations

from collections.abc import Iterable

from taskyard.domain.fleet import Lane
from taskyard.domain.server import Server
from taskyard.engine.memory import Memory
from taskyard.host.port import FleetColumns, LiveCounts, ServerView


def server_view(server: Server) -> ServerView:
    """One server as it is now."""
    health = server.health
    return ServerView(
        id=server.id,
        name=server.name,
        owner=server.owner,
        status=server.status,
        registered_at=server.registered_at,
        last_heartbeat=server.last_heartbeat,
        online_since=health.online_since,
        groups=server.groups,
        capabilities=server.capabilities,
        weight=server.weight,
        max_concurrent=server.max_concurrent,
        active=server.active,
        reported_active=server.reported_active,
        predict=server.predict,
        health_url=server.health_url,
        metrics_url=server.metrics_url,
        cancel_url=server.cancel_url,
        is_async=server.is_async,
        maintenance_reason=server.maintenance_reason,
        misconfigured=server.misconfigured,
        paused_until=server.paused_until,
        removing_until=server.removing_until,
        last_passed=health.last_passed,
        last_check=health.last_check,
        check_error=health.last_error,
        consecutive_failures=health.fails,
        score=round(health.score, 1),
        load=server.load,
    )


def fleet_columns(memory: Memory) -> FleetColumns:
    """All servers but those being removed, in columns; one that refuses our key is that first."""
    servers = [server for server in memory.fleet.servers.values() if server.removing_until is None]
    return FleetColumns(
        [server.id for server in servers],
        [_shown_status(server) for server in servers],
        [server.active for server in servers],
        [server.max_concurrent for server in servers],
        [_average(server.averages) for server in servers],
    )


def _shown_status(server: Server) -> str:
    return "misconfigured" if server.misconfigured and server.status in ("online", "degraded") else server.status


def _average(by_type: dict[str, float]) -> int | None:
    return round(sum(by_type.values()) / len(by_type)) if by_type else None


def live_counts(memory: Memory) -> LiveCounts:
    """What is queued and running; the oldest among the flows' heads, which is exact within one priority."""
    return LiveCounts(memory.queued, memory.processing, _oldest(memory.fleet.lanes.values()))


def _oldest(lanes: Iterable[Lane]) -> int | None:
    oldest: int | None = None
    for lane in lanes:
        at = oldest_in(lane)
        if at is not None and (oldest is None or at < oldest):
            oldest = at
    return oldest


def oldest_in(lane: Lane) -> int | None:
    """When the oldest task at the head of one of the lane's priorities was submitted (int ms)."""
    found = [level[0].spec.created_at for flow in lane.flows.values() for level in flow.window.levels()]
    return min(found) if found else None
