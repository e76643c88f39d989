"""What a store that several nodes share must do beside the turn: who runs, what they took in, what the decider has for
them. One Protocol, kept by PostgreSQL; a store that one node has for itself has nothing of it.

Everything here may be called from any thread, each method from one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from taskyard.engine.plan import Writes
from taskyard.engine.rows import EndedTask, KeyRow, Record
from taskyard.store.port import StoreError


class KeyTaken(StoreError):
    """Another node has just used one of the idempotency keys; nothing was stored."""


class NodeRow(NamedTuple):
    """A node as it last said of itself: `load` is how many attempts it sends, `figures` JSON text, times int ms.

    `epoch` is the decider's it has seen, `silent_ms` for how long it has said nothing, by the database's clock.
    """

    id: str
    name: str
    url: str
    version: str
    started_at: int
    epoch: int
    draining: int
    load: int
    figures: str
    silent_ms: int


class Seen(NamedTuple):
    """What a beat has found: whether this node was unknown, the time, who decides ('': nobody) by which epoch, all."""

    anew: bool
    now: int
    decider: str
    epoch: int
    nodes: list[NodeRow]


class Line(NamedTuple):
    """Something that a node took in for the decider, numbered from 1 by that node; `body` is JSON text."""

    node: str
    seq: int
    kind: str
    task_id: str
    attempt: int
    body: str


class Lines(NamedTuple):
    """Lines that were read, those of each node in its order, and the nodes that may have more of them."""

    lines: list[Line]
    more: set[str]


class Letter(NamedTuple):
    """Something that the decider has for a node; `body` is JSON text."""

    id: int
    kind: str
    task_id: str
    body: str


class Standing(NamedTuple):
    """How a task stands: 0 it waits, 1 it runs, else the number of its end; since `since` (int ms)."""

    task_id: str
    status: int
    since: int


class NodeStore(Protocol):
    """See the module. Every method raises `StoreError`.

    What is read in bulk has `most_bytes` of bodies at most, but one body at least whatever its size.
    """

    id: str

    def beat(self, row: NodeRow) -> Seen:
        """Say that this node lives, and see who else does."""

    def now(self) -> int:
        """The database's time in ms."""

    def died(self, node: str) -> bool:
        """Whether a node was a process of this machine that is no longer there; false where that cannot be known."""

    def leave(self) -> None:
        """This node is gone: its row and its letters are removed."""

    def keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KeyRow]:
        """Idempotency keys by owner and key."""

    def take_in(self, writes: Writes, lines: Sequence[Line]) -> None:
        """Store tasks with what is theirs, and lines, in one durable transaction. Raises `KeyTaken`, `BadData`."""

    def lines(self, after: Mapping[str, int], most: int, most_bytes: int) -> Lines:
        """The next lines of some nodes after a number, at most so many, node by node in the order of `after`."""

    def writers(self) -> list[str]:
        """The nodes that have lines."""

    def ends_reported(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs whose end is among the lines."""

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Tasks by id."""

    def letters(self, after: int, most: int, most_bytes: int) -> list[Letter]:
        """This node's next letters after a number, at most so many; those up to it are removed."""

    def payloads(self, ids: Sequence[str], most_bytes: int) -> dict[str, str | None]:
        """Tasks' payloads by id, of the first ones in this order; `None` for one that has none any more."""

    def standings(self, ids: Sequence[str]) -> list[Standing]:
        """How tasks stand."""

    def ends(self, ids: Sequence[str], most_bytes: int) -> list[tuple[EndedTask, str | None]]:
        """How tasks ended and their results, of some of those that have."""


@runtime_checkable
class Shared(Protocol):
    """A store that several nodes share."""

    @property
    def nodes(self) -> NodeStore:
        """What nodes tell each other."""

    @property
    def epoch(self) -> int:
        """The number of the right to decide that this process had last."""

    def hand_over(self) -> None:
        """Stop to decide, so that another node can at once; on the writer's thread, between two turns."""
