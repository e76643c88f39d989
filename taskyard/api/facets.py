"""What filters can be set to: values from counters and from memory, never from tasks."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from taskyard.api.call import Call
from taskyard.api.operation import USERS, Operation
from taskyard.wire.base import Answer
from taskyard.wire.facets import FacetQuery, Facets
from taskyard.wire.reader import Reader
from taskyard.wire.tasks import STATUSES

FACETS = Reader(FacetQuery)
_MOST = 20


async def facets(call: Call, query: FacetQuery) -> Answer:
    """GET /api/facets"""
    prefix, most = query.prefix or "", query.limit or _MOST
    found = sorted({value for value in await _values(call, query.field) if value.startswith(prefix)})
    return Facets(field=query.field, values=list(islice(found, most)), more=len(found) > most)


async def _values(call: Call, field: str) -> Iterable[str]:
    servers = call.node.servers()
    match field:
        case "status":
            return STATUSES
        case "server":
            return [view.id for view in servers]
        case "capability":
            return [word for view in servers for word in view.capabilities]
        case "group":
            return [word for view in servers for word in view.groups]
        case "type":
            now = call.node.now() // 3_600_000
            rows = await call.node.read(lambda store: store.stats(now - 24, now + 1, "type"))
            return [row.key for row in rows]
    return []


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/facets",
        tag="Statistics",
        summary="What a filter can be set to",
        description=(
            "The known values of a field that begin with `prefix`. Users get the types and tags of their own tasks, "
            "admins all; `owner` is for admins."
        ),
        handler=facets,
        takes=FACETS,
        answers=(Facets,),
        roles=USERS,
    ),
)
