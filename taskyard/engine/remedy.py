"""What would start a waiting task at once: the smallest change that does, found by trying it on a copy.

Candidates in this order, the smallest first: one to eight slots more on one server, one capability more on one server,
one to ten steps of priority, one server back from maintenance. Only one that the match itself confirms is named; where
memory holds too little to be sure, none is. Knows no words and no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random

from taskyard.domain.server import AWAY, Server
from taskyard.domain.task import Task
from taskyard.domain.window import PLACE_LIMIT, rank_of
from taskyard.engine.trial import Picture, Trial

SLOTS_MOST = 8
PRIORITY_MOST = 10
TASKS_MOST = 5_000  # beyond these nothing is tried: a trial copies all of them
TRIALS_MOST = 64


class Kind(StrEnum):
    """What is changed."""

    SLOTS = "more_slots"
    CAPABILITY = "more_capability"
    PRIORITY = "higher_priority"
    MAINTENANCE = "end_maintenance"


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change: `more` slots, or steps of priority; the server, and the capability that it is given."""

    kind: Kind
    server_id: str = ""
    more: int = 0
    capability: str = ""


def remedy(picture: Picture, rng: Random) -> Remedy | None:
    """The first candidate that starts the task in the next turn; `None`: there is none, or no telling.

    `rng` is for policies that pick at random.
    """
    room = max((server.max_concurrent - server.active for server in picture.servers), default=0)
    seen = picture.shallow(max(0, room) + SLOTS_MOST + 1)
    if not seen.whole or seen.size > TASKS_MOST:
        return None
    tried = _Tried(seen, rng)
    return next((found for found in tried.candidates() if tried.helps(found)), None)


def candidates(servers: list[Server], task: Task) -> Iterator[Remedy]:
    """All changes in order, those that cannot help included."""
    for more in range(1, SLOTS_MOST + 1):
        yield from (Remedy(Kind.SLOTS, server.id, more) for server in servers)
    for server in servers:
        for word in task.spec.capabilities:
            if word not in server.capabilities:
                yield Remedy(Kind.CAPABILITY, server.id, capability=word)
    for more in range(1, min(PRIORITY_MOST, 10 - task.spec.priority) + 1):
        yield Remedy(Kind.PRIORITY, more=more)
    yield from (Remedy(Kind.MAINTENANCE, server.id) for server in servers if server.maintenance)


class _Tried:
    """Trials of one picture. Servers that nothing tells apart are tried once."""

    def __init__(self, seen: Picture, rng: Random) -> None:
        self._seen = seen
        self._rng = rng
        self._servers = {server.id: server for server in seen.servers}
        self._known: dict[Hashable, bool] = {}
        self._trials = 0
        self._avoids = {flow.avoid for flow in seen.flows}
        lane = seen.task.lane
        self._requires, self._group, self._pin = lane.capabilities, lane.group, lane.pin
        self._pins = {flow.lane.pin for flow in seen.flows}

    def candidates(self) -> Iterator[Remedy]:
        """Those that may help: what each leaves undone would keep the task all the same."""
        for found in candidates(self._seen.servers, self._seen.task):
            server = self._servers.get(found.server_id)
            if server is None or self._may(found, server):
                yield found

    def _may(self, found: Remedy, server: Server) -> bool:
        if self._pin not in ("", server.id) or (self._group and self._group not in server.groups):
            return False
        lacks = self._requires - set(server.capabilities)
        if lacks - {found.capability}:
            return False
        slots = server.max_concurrent + (found.more if found.kind is Kind.SLOTS else 0)
        if server.active >= slots:
            return False
        return found.kind is Kind.MAINTENANCE or server.tier != AWAY

    def helps(self, found: Remedy) -> bool:
        """Try it, unless its like was tried before. Says no when too much was tried."""
        like = self._like(found)
        if like not in self._known:
            self._trials += 1
            self._known[like] = self._trials <= TRIALS_MOST and self._try(found)
        return self._known[like]

    def _like(self, found: Remedy) -> Hashable:
        """What decides: servers alike in it would end alike."""
        server = self._servers.get(found.server_id)
        if server is None:
            return found
        alone = server.id if server.id in self._avoids or server.id in self._pins else ""
        free = server.max_concurrent - server.active
        gates = server.tier, server.has_room(self._seen.now), server.misconfigured, server.held, server.paused_until
        return (
            found.kind,
            found.more,
            found.capability,
            alone,
            frozenset(server.capabilities),
            frozenset(server.groups),
            free,
            gates,
        )

    def _try(self, found: Remedy) -> bool:
        if found.kind is Kind.PRIORITY:
            return self._starts(Trial(self._seen, _raised(self._seen.task, found.more)))
        trial = Trial(self._seen)
        server = trial.fleet.servers[found.server_id]
        _CHANGES[found.kind](server, found)
        trial.change(server)
        return self._starts(trial)

    def _starts(self, trial: Trial) -> bool:
        trial.match(self._rng)
        return trial.started


def _raised(task: Task, more: int) -> int:
    return rank_of(task.spec.priority + more, task.rank % PLACE_LIMIT)


def _more_slots(server: Server, found: Remedy) -> None:
    server.max_concurrent += found.more


def _more_capability(server: Server, found: Remedy) -> None:
    server.capabilities = (*server.capabilities, found.capability)


def _end_maintenance(server: Server, found: Remedy) -> None:
    server.maintenance = False


_CHANGES: dict[Kind, Callable[[Server, Remedy], None]] = {
    Kind.SLOTS: _more_slots,
    Kind.CAPABILITY: _more_capability,
    Kind.MAINTENANCE: _end_maintenance,
}
