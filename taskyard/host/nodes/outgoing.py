"""The attempts that this node sends, for whoever decides: none while it may have been taken for dead.

Knows the servers as the letters told of them, and no turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import structlog

from taskyard.domain.server import Server
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Abort, Dispatch

log = structlog.get_logger()
SERVERS_MOST = 20_000


class Hands(NamedTuple):
    """What the node does for its parts: send, give up, say what it sends, name itself."""

    dispatch: Callable[[Dispatch], None]
    abort: Callable[[Abort], None]
    sending: Callable[[], set[tuple[str, int]]]
    memory: Callable[[], Memory]
    url: Callable[[], str]


class Outgoing:
    """`fresh` says whether nobody can have taken this node for dead, `deciding` whether it decides."""

    def __init__(self, me: str, hands: Hands, *, fresh: Callable[[], bool], deciding: Callable[[], bool]) -> None:
        self._me = me
        self._hands = hands
        self._fresh = fresh
        self._deciding = deciding
        self._servers: dict[str, Server] = {}
        self._held: list[Dispatch] = []  # until this node is known to be alive

    def server(self, server_id: str) -> Server | None:
        """A server as the last letter about it said."""
        return self._servers.get(server_id)

    def dispatch(self, effect: Dispatch, server: Server) -> None:
        """Send an attempt that another node has decided."""
        if len(self._servers) > SERVERS_MOST:
            self._servers.clear()
        self._servers[server.id] = server
        self._hands.dispatch(effect)

    def give_up(self, effect: Abort) -> None:
        """An attempt that another node has given up."""
        self._held = [held for held in self._held if (held.task_id, held.attempt) != (effect.task_id, effect.attempt)]
        self._hands.abort(effect)

    def hold_back(self, effect: Dispatch) -> bool:
        """Whether an attempt has to wait: this node may have been taken for dead, and the attempt for lost."""
        if self._fresh():
            return False
        self._held.append(effect)
        return True

    def alive(self, *, anew: bool) -> None:
        """This node has said that it lives. `anew`: it had been taken for dead, and what it sends for lost."""
        held, self._held = self._held, []
        if anew:
            self._abandon()
            return
        for effect in held:
            if self._is_wanted(effect):
                self._hands.dispatch(effect)

    def _is_wanted(self, effect: Dispatch) -> bool:
        """Whether an attempt that was held back was not given up meanwhile."""
        if not self._deciding():
            return True
        run = self._hands.memory().runs.get((effect.task_id, effect.attempt))
        return run is not None and run.task is not None

    def _abandon(self) -> None:
        for task_id, attempt in sorted(self._hands.sending()):
            log.warning("attempt_abandoned", task=task_id, attempt=attempt)
            self._hands.abort(Abort(task_id, attempt, "", self._me, None, None))
