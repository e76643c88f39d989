"""Which nodes are dead or have left, told to the engine: each behind all that it had stored, for an end that is told
counts. Knows nothing of how a death is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import structlog

from taskyard.engine.facts import Fact, NodeGone
from taskyard.host.nodes.lines import Lines

log = structlog.get_logger()


class Deaths:
    """For the node that decides. `lines` are what nodes have stored; `put` takes the facts."""

    def __init__(self, lines: Lines, put: Callable[[Fact], None]) -> None:
        self._lines = lines
        self._put = put
        self._there: set[str] = set()  # at the last look
        self._told: set[str] = set()
        self._dying: dict[str, int] = {}  # nodes found gone, by the last read of lines that had begun by then

    def begin(self, there: Collection[str], gone: Collection[str]) -> None:
        """A recovery has judged the attempts of all nodes by these: those that are there, and those that died."""
        self._there, self._told = set(there), set(gone)
        self._dying.clear()

    def forget(self) -> None:
        """Another node decides: it finds out by itself."""
        self._dying.clear()

    def look(self, known: Collection[str], gone: Collection[str]) -> None:
        """See which of the other nodes are known, and which of these are dead; those that left are known no more."""
        known, gone = set(known), set(gone)
        for node in sorted(gone - self._told):
            log.warning("node_gone", node=node)
            self._dying.setdefault(node, self._lines.reads)
        # One that has left ended what it sent before; but what was given to it while it left, nobody sends.
        for node in sorted(self._there - known - self._told):
            self._dying.setdefault(node, self._lines.reads)
        self._there = known
        for node in self._dying.keys() & self._told & known - gone:
            del self._dying[node]  # it speaks again, and was not given up: it goes on with what it sends
        self._lines.know(self._dying)
        for node in [node for node, read in self._dying.items() if self._lines.all_of(node) > read]:
            del self._dying[node]
            self._put(NodeGone(node=node))
        self._told = gone
