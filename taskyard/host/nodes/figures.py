"""What a node says of itself to the others and to people: the decider's figures, and a row as the API shows it."""

from __future__ import annotations

import msgspec

from taskyard.engine.memory import Memory
from taskyard.host.nodes.membership import Membership
from taskyard.host.port import NodeView
from taskyard.store.nodes import NodeRow, Seen

# From this share of a limit on, submissions are for the decider, which knows how many there are.
CAREFUL = 0.9
# More owners are not named: then submissions of all of them are for the decider.
OWNERS_MOST = 1000


class Figures(msgspec.Struct, frozen=True):
    """What the decider tells the others: whether a limit of all is near (`careful`), the owners that are near one of
    theirs, and up to which line it has read each node's (`drained`).
    """

    careful: bool = False
    owners: frozenset[str] = frozenset()
    drained: dict[str, int] = {}


_decode = msgspec.json.Decoder(Figures).decode


def figures(memory: Memory, drained: dict[str, int]) -> str:
    """The decider's figures as JSON text."""
    owners = memory.owners_near_full(CAREFUL)
    if len(owners) > OWNERS_MOST or memory.is_near_full(CAREFUL):
        found = Figures(True, frozenset(), drained)
    else:
        found = Figures(False, frozenset(owners), drained)
    return msgspec.json.encode(found).decode()


def decider_figures(seen: Seen) -> Figures:
    """The decider's figures as they were last heard; without a decider none."""
    return next((_decode(row.figures) for row in seen.nodes if row.id == seen.decider), Figures())


def view(row: NodeRow, me: str, members: Membership) -> NodeView:
    """A node as people see it."""
    return NodeView(
        row.id,
        row.name,
        row.url,
        row.id == me,
        "gone" if row.id in members.gone else "decider" if row.id == members.seen.decider else "member",
        row.epoch,
        row.version,
        row.started_at,
        bool(row.draining),
        row.load,
        max(0, row.silent_ms),
    )
