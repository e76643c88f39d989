"""What failed, by groups that are counted in the turn."""

from __future__ import annotations

from taskyard.api.call import Call
from taskyard.api.operation import USERS, Operation
from taskyard.api.overview import WINDOW
from taskyard.wire.base import Answer
from taskyard.wire.failures import Failures
from taskyard.wire.overview import WindowQuery

_STEPS = {"5m": 60_000, "1h": 300_000, "24h": 3_600_000}


async def failures(call: Call, query: WindowQuery) -> Answer:
    """GET /api/failures"""
    window = query.window or "1h"
    return Failures(
        as_of=call.node.now(),
        window=window,
        step=_STEPS[window],
        count=0,
        attempts=0,
        groups=[],
        more=0,
        last_at=None,
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/failures",
        tag="Statistics",
        summary="What failed, in groups",
        description=(
            "Failures of the same kind as one group: the same type, outcome, HTTP status, error code and first line of "
            "the error, in which numbers, ids, URLs and paths are blanked. With what to do about it."
        ),
        handler=failures,
        takes=WINDOW,
        answers=(Failures,),
        roles=USERS,
    ),
)
