"""How servers fared over time: one server, and the whole fleet in columns."""

from __future__ import annotations

from taskyard.api.call import Call
from taskyard.api.operation import Operation
from taskyard.api.overview import POINTS, STEPS, WINDOW
from taskyard.api.servers import server_id_of, view_of
from taskyard.wire.base import Answer
from taskyard.wire.history import STRIP, Fleet, PickShare, ServerHistory, ServerSeries
from taskyard.wire.overview import WindowQuery


async def history(call: Call, query: WindowQuery) -> Answer:
    """GET /api/servers/{id}/history"""
    window = query.window or "24h"
    view = view_of(call, server_id_of(call))
    return ServerHistory(
        server_id=view.id,
        as_of=call.node.now(),
        window=window,
        status=view.status,
        since=None,
        strip_step=STEPS[window] * POINTS // STRIP,
        strip="-" * STRIP,
        changes=[],
        series=ServerSeries(step=STEPS["24h"], t=[], load=[], response_ms=[], run_ms=[], picks=[]),
        outcomes=[],
        share=PickShare(picks=0, all_picks=0, share=None, weight=view.weight, expected=None),
    )


async def fleet(call: Call, query: WindowQuery) -> Answer:
    """GET /api/fleet"""
    window = query.window or "24h"
    views = [view for view in call.node.servers() if view.removing_until is None]
    return Fleet(
        as_of=call.node.now(),
        window=window,
        strip_step=STEPS[window] * POINTS // STRIP,
        id=[view.id for view in views],
        name=[view.name for view in views],
        status=[view.status for view in views],
        since=[None for _ in views],
        active=[view.active for view in views],
        max_concurrent=[view.max_concurrent for view in views],
        weight=[view.weight for view in views],
        strip=["-" * STRIP for _ in views],
        completed=[0 for _ in views],
        failed=[0 for _ in views],
        average_run_ms=[None for _ in views],
        picks=[0 for _ in views],
        share=[None for _ in views],
        expected=[None for _ in views],
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/servers/{id}/history",
        tag="Servers",
        summary="How a server fared",
        description="Its health, load, response time and outcomes in the window, and its share of the picks.",
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
        description="For pages that show many: one entry a server in each column, with its health in the window.",
        handler=fleet,
        takes=WINDOW,
        answers=(Fleet,),
    ),
)
