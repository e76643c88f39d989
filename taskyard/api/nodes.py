"""The nodes of this yard."""

from __future__ import annotations

from taskyard.api.call import Call
from taskyard.api.operation import ADMINS, NO_QUERY, NoQuery, Operation, any_node
from taskyard.wire.base import Answer
from taskyard.wire.nodes import NodeList, NodeShown


async def nodes(call: Call, _: NoQuery) -> Answer:
    """GET /api/nodes"""
    return NodeList(
        nodes=[
            NodeShown(
                id=view.id,
                name=view.name,
                url=view.url,
                is_self=view.is_self,
                role=view.role,
                epoch=view.epoch,
                version=view.version,
                started_at=view.started_at,
                draining=view.draining,
                load=view.load,
                lag=view.lag,
            )
            for view in sorted(call.node.nodes(), key=lambda view: view.name)
        ]
    )


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/nodes",
        tag="Node",
        summary="List the nodes",
        description="All that share the database, as this one saw them a second ago.",
        handler=nodes,
        takes=NO_QUERY,
        answers=(NodeList,),
        roles=ADMINS,
        anywhere=any_node,
    ),
)
