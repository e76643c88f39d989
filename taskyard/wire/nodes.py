"""The nodes of a yard, as the API shows them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from taskyard.wire.base import Answer


class NodeShown(msgspec.Struct, rename="camel", kw_only=True, frozen=True):
    """One node: a process that runs, or died a moment ago."""

    id: Annotated[str, msgspec.Meta(description="Of this process alone: one that starts anew has another.")]
    name: str
    url: Annotated[str, msgspec.Meta(description="Where other nodes reach it.")]
    is_self: Annotated[bool, msgspec.Meta(description="The node that answers.")] = msgspec.field(name="self")
    role: Annotated[
        Literal["decider", "member", "gone"],
        msgspec.Meta(description="`decider` takes the turns, `member` does all else, `gone` is taken for dead."),
    ]
    epoch: Annotated[int, msgspec.Meta(description="The decider's that it has seen last.")]
    version: str
    started_at: int
    draining: Annotated[bool, msgspec.Meta(description="It is about to stop.")]
    load: Annotated[int, msgspec.Meta(description="Attempts that it is sending.")]
    lag: Annotated[int, msgspec.Meta(description="ms since it was last heard, by the database's clock.")]


class NodeList(Answer):
    """All nodes, by name."""

    nodes: list[NodeShown]
