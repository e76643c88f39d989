"""Backend servers that are registered: heartbeats, maintenance, checks, removal, and how they are shown."""

from __future__ import annotations

import re

from taskyard.api import views
from taskyard.api.call import Call, Problem
from taskyard.api.operation import NO_BODY, NO_QUERY, SERVICES, Example, NoBody, NoQuery, Operation
from taskyard.api.problems import SERVER_NOT_FOUND
from taskyard.engine import facts
from taskyard.engine.plan import ServerDone
from taskyard.engine.rows import StatRow
from taskyard.host.port import ServerView
from taskyard.wire.base import METADATA_BYTES, SERVER_ID, Answer, present
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.servers import (
    SERVER_STATUSES,
    CheckAnswer,
    Figures,
    Heartbeat,
    Maintenance,
    Server,
    ServerChanged,
    ServerFilter,
    ServerList,
    ServerMetrics,
    ServerRemoved,
)
from taskyard.wire.texts import kept_object

FILTER = Reader(ServerFilter)
BEAT = Reader(Heartbeat)
MAINTENANCE = Reader(Maintenance)
_ID = re.compile(SERVER_ID)


def server_id_of(call: Call) -> str:
    """The server id in the path. Raises `Problem` for what cannot be one."""
    server_id = call.args[0]
    if not _ID.fullmatch(server_id):
        raise no_server(server_id)
    return server_id


def no_server(server_id: str) -> Problem:
    """404."""
    return Problem(SERVER_NOT_FOUND, f"Server {server_id[:128]!r} not found: it is not registered, or was removed.")


def view_of(call: Call, server_id: str) -> ServerView:
    """The server as it is now. Raises `Problem` when there is none."""
    view = call.node.server(server_id)
    if view is None:
        raise no_server(server_id)
    return view


def shown(call: Call, view: ServerView) -> Server:
    """A server as the caller may see it."""
    return views.server(view, call.node.now(), with_endpoints=call.who.roles != {"user"})


async def list_servers(call: Call, query: ServerFilter) -> Answer:
    """GET /api/servers"""
    if query.status is not None and query.status not in SERVER_STATUSES:
        raise Invalid(f"status must be one of {', '.join(SERVER_STATUSES)}")
    found = [
        shown(call, view)
        for view in call.node.servers()
        if (query.status == view.status if query.status is not None else view.removing_until is None)
        and (query.group is None or query.group in view.groups)
        and (query.capability is None or query.capability in view.capabilities)
    ]
    return ServerList(servers=found)


async def show(call: Call, _: NoQuery) -> Answer:
    """GET /api/servers/{id}"""
    return shown(call, view_of(call, server_id_of(call)))


async def unregister(call: Call, _: NoQuery) -> Answer:
    """DELETE /api/servers/{id}"""
    fact = facts.Unregistered(server_id=server_id_of(call), who=call.who.sub, admin=call.admin)
    return ServerRemoved(server_id=(await call.ask(fact, ServerDone)).server_id)


async def heartbeat(call: Call, body: Heartbeat) -> Answer:
    """POST /api/servers/{id}/heartbeat"""
    given = present(body.metrics)
    try:
        metrics = None if given is None else kept_object(given, METADATA_BYTES)
    except ValueError as error:
        raise Invalid(f"metrics {error}") from None
    fact = facts.Beat(
        server_id=server_id_of(call),
        who=call.who.sub,
        admin=call.admin,
        status=None if body.status is None else body.status.lower(),
        active=body.active_tasks,
        metrics=metrics,
    )
    await call.ask(fact, ServerDone)
    return ServerChanged(success=True, message="Heartbeat updated successfully")


async def set_maintenance(call: Call, body: Maintenance) -> Answer:
    """POST, PUT /api/servers/{id}/maintenance"""
    on = body.enabled if body.maintenance is None else body.maintenance
    if on is None or (body.maintenance is not None and body.enabled is not None):
        raise Invalid("send maintenance (or enabled): true or false" + ("" if on is None else ", not both"))
    fact = facts.MaintenanceSet(
        server_id=server_id_of(call), who=call.who.sub, admin=call.admin, on=on, reason=body.reason
    )
    done = await call.ask(fact, ServerDone)
    word = "enabled" if on else "disabled"
    return ServerChanged(success=True, message=f"Maintenance mode {word} for server {done.server_id}")


async def check(call: Call, _: NoBody) -> Answer:
    """POST /api/servers/{id}/check"""
    server_id = server_id_of(call)
    await call.ask(facts.CheckAsked(server_id=server_id, who=call.who.sub, admin=call.admin), ServerDone)
    view = view_of(call, server_id)
    return CheckAnswer(
        server_id=server_id,
        status=view.status,
        passed=view.last_passed,
        error=None if view.last_passed else view.check_error,
        health=views.server_health(view),
    )


def rate(part: int, rest: int) -> float:
    """The share of `part` in both, 0 when there is nothing."""
    return round(part / (part + rest), 4) if part + rest else 0.0


def average(total_ms: int, count: int) -> int:
    """Whole ms a piece, 0 when there is none."""
    return round(total_ms / count) if count else 0


def _figures(view: ServerView, total: StatRow, now: int) -> dict[str, float]:
    return {
        "uptime": views.uptime(view, now),
        "tasks_processed": total.attempts_ok + total.attempts_failed,
        "success_count": total.attempts_ok,
        "failure_count": total.attempts_failed,
        "success_rate": rate(total.attempts_ok, total.attempts_failed),
        "average_processing_time": average(total.run_ms, total.attempts_ok),
        "average_response_time": average(total.response_ms, total.responses),
        "current_load": round(view.load, 4),
        "active_tasks": view.active,
        "health_score": round(view.score, 1),
        "max_capacity": view.max_concurrent,
    }


async def metrics(call: Call, _: NoQuery) -> Answer:
    """GET /api/servers/{id}/metrics"""
    server_id = server_id_of(call)
    view_of(call, server_id)
    total = await call.node.read(lambda store: store.stats_total("server", server_id))
    view = view_of(call, server_id)
    figures = _figures(view, total, call.node.now())
    return ServerMetrics(
        server_id=server_id,
        metrics=Figures(**figures),  # type: ignore[arg-type]
        status=view.status,
        healthy=view.last_passed,
        **figures,  # type: ignore[arg-type]
    )


UNKNOWN = {404: "There is no such server."}
OTHERS = {**UNKNOWN, 403: "Your role may not, or another registered the server."}
OPERATIONS = (
    Operation(
        method="GET",
        path="/api/servers",
        tag="Servers",
        summary="List servers",
        description="Never an apiKey; for the role `user` no endpoints. Removed ones only with `status=draining`.",
        handler=list_servers,
        takes=FILTER,
        answers=(ServerList,),
    ),
    Operation(
        method="GET",
        path="/api/servers/{id}",
        tag="Servers",
        summary="Show a server",
        description="As in the list.",
        handler=show,
        takes=NO_QUERY,
        answers=(Server,),
        errors=UNKNOWN,
    ),
    Operation(
        method="DELETE",
        path="/api/servers/{id}",
        tag="Servers",
        summary="Unregister a server",
        description="It gets nothing new. What runs there may end for 30 s, the rest is queued again.",
        handler=unregister,
        takes=NO_QUERY,
        answers=(ServerRemoved,),
        roles=SERVICES,
        errors=OTHERS,
    ),
    Operation(
        method="POST",
        path="/api/servers/{id}/heartbeat",
        tag="Servers",
        summary="Send a sign of life",
        description="`healthy` counts as a passed check, `unhealthy` as a failed one; `draining` takes nothing new.",
        handler=heartbeat,
        takes=BEAT,
        answers=(ServerChanged,),
        roles=SERVICES,
        errors=OTHERS,
        examples=(Example("Well", {"status": "healthy", "activeTasks": 2}),),
    ),
    Operation(
        method="POST",
        also=("PUT",),
        path="/api/servers/{id}/maintenance",
        tag="Servers",
        summary="Enter or leave maintenance",
        description="In maintenance a server gets nothing new; what runs ends. After it the checks decide again.",
        handler=set_maintenance,
        takes=MAINTENANCE,
        answers=(ServerChanged,),
        roles=SERVICES,
        errors=OTHERS,
        examples=(Example("Into it", {"maintenance": True, "reason": "new disks"}), Example("Out", {"enabled": False})),
    ),
    Operation(
        method="POST",
        path="/api/servers/{id}/check",
        tag="Servers",
        summary="Check a server now",
        description="Answers with how the health check went.",
        handler=check,
        takes=NO_BODY,
        answers=(CheckAnswer,),
        roles=SERVICES,
        errors=OTHERS,
    ),
    Operation(
        method="GET",
        path="/api/servers/{id}/metrics",
        tag="Servers",
        summary="A server's figures",
        description="Since its registration; also at the top level.",
        handler=metrics,
        takes=NO_QUERY,
        answers=(ServerMetrics,),
        errors=UNKNOWN,
    ),
)
