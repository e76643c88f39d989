"""What filters can be set to: values from counters and from memory, never from tasks."""

from __future__ import annotations

from collections.abc import Iterable

from taskyard.api.call import Call
from taskyard.api.operation import USERS, Operation
from taskyard.wire.base import Answer
from taskyard.wire.facets import FacetQuery, Facets
from taskyard.wire.reader import Reader
from taskyard.wire.tasks import STATUSES

FACETS = Reader(FacetQuery)
_MOST = 20
# What the turn notes as it sees it.
_STORED = ("type", "tag", "owner")


async def facets(call: Call, query: FacetQuery) -> Answer:
    """GET /api/facets"""
    field, prefix, most = query.field, query.prefix or "", query.limit or _MOST
    owner = call.owner
    if field == "owner" and owner is not None:
        found = [owner] if owner.startswith(prefix) else []
    elif field in _STORED:
        found = await call.node.read(lambda store: store.figures.facets(field, owner or "", prefix, most + 1))
    else:
        found = sorted({value for value in _values(call, field) if value.startswith(prefix)})
    return Facets(field=field, values=found[:most], more=len(found) > most)


def _values(call: Call, field: str) -> Iterable[str]:
    """What memory knows."""
    servers = [view for view in call.node.servers() if view.removing_until is None]
    match field:
        case "status":
            return STATUSES
        case "server":
            return [view.id for view in servers]
        case "capability":
            return [word for view in servers for word in view.capabilities]
        case "group":
            return [word for view in servers for word in view.groups]
        case _:
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
