"""The funnel: how many servers are left for a lane's tasks after each thing that a match asks of them, and which not.

It asks the very predicates by which the fleet makes pools and opens servers (`ServerClass`, `Pool.members`,
`Server.gate`), so it cannot know better or worse than the match. Made when somebody wants to know, never in a turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, islice

from taskyard.domain.fleet import Fleet, Lane, ServerClass
from taskyard.domain.pool import Pool
from taskyard.domain.server import Gate, Server

SHOWN_MOST = 20


class Step(StrEnum):
    """What is asked of a server, in this order."""

    REGISTERED = "registered"
    ABLE = "able"  # has the capabilities
    IN_GROUP = "in_group"
    PINNED = "pinned"
    IN_SERVICE = "in_service"  # neither draining nor in maintenance
    ALIVE = "alive"
    TRUSTED = "trusted"  # takes our key
    WILLING = "willing"  # has not asked us to wait
    REACHED = "reached"
    FREE = "free"
    NOT_AVOIDED = "not_avoided"


GATES: dict[Step, tuple[Gate, ...]] = {
    Step.IN_SERVICE: (Gate.REMOVED, Gate.DRAINING, Gate.MAINTENANCE),
    Step.ALIVE: (Gate.INITIALIZING, Gate.OFFLINE),
    Step.TRUSTED: (Gate.MISCONFIGURED,),
    Step.WILLING: (Gate.DECLINED,),
    Step.REACHED: (Gate.UNREACHED,),
    Step.FREE: (Gate.FULL,),
}


@dataclass(slots=True)
class Left:
    """How many servers are left after a step. `out`: those that it left out, as (id, why), at most `SHOWN_MOST`."""

    step: Step
    count: int
    out: list[tuple[str, str]]


@dataclass(slots=True)
class Kept:
    """A pool's servers that the same thing keeps from taking a task, with their slots, `used` of them in use."""

    servers: list[Server] = field(default_factory=list)
    used: int = 0
    slots: int = 0


Gates = dict[Gate | None, Kept]


@dataclass(slots=True)
class Funnel:
    """The steps that concern a lane, and its pool's servers by what keeps each (`None`: open)."""

    steps: list[Left]
    gates: Gates

    @property
    def dry(self) -> Step | None:
        """The first step after which no server is left, or `None`."""
        return next((left.step for left in self.steps if not left.count), None)


@dataclass(slots=True)
class Survey:
    """The fleet at one moment, asked for any number of lanes; `now` is int ms."""

    fleet: Fleet
    now: int
    _gates: dict[tuple[int, str], Gates] = field(default_factory=dict)

    def funnel(self, lane: Lane, avoid: str) -> Funnel:
        """The funnel of a lane's tasks; `avoid` is the server that they are kept from, '' for none."""
        classes = self.fleet.classes.values()
        gates = self.gates(lane.pool)
        count = len(self.fleet.servers)
        steps = [Left(Step.REGISTERED, count, [])]

        def ask(step: Step, out: Iterator[tuple[str, str]], left: int) -> None:
            steps.append(Left(step, left, list(islice(out, SHOWN_MOST))))

        able = [cls for cls in classes if cls.able(lane)]
        ask(Step.ABLE, _each((cls for cls in classes if not cls.able(lane)), "unable"), _size(able))
        if lane.group:
            serving = [cls for cls in able if cls.serves(lane)]
            ask(Step.IN_GROUP, _each((cls for cls in able if not cls.serves(lane)), "elsewhere"), _size(serving))
        count = sum(len(kept.servers) for kept in gates.values())
        if lane.pin:
            others = (cls for cls in able if cls.serves(lane))
            ask(Step.PINNED, (pair for pair in _each(others, "not_asked_for") if pair[0] != lane.pin), count)
        for step, kept_by in GATES.items():
            here = [(gate, gates[gate].servers) for gate in kept_by if gate in gates]
            count -= sum(len(servers) for _, servers in here)
            ask(step, ((server.id, gate.value) for gate, servers in here for server in servers), count)
        if avoid:
            still = [server.id for server in gates[None].servers if server.id == avoid] if None in gates else []
            ask(Step.NOT_AVOIDED, ((server_id, "avoided") for server_id in still), count - len(still))
        return Funnel(steps, gates)

    def gates(self, pool: Pool) -> Gates:
        """A pool's servers by what keeps each from taking a task."""
        key = pool.mask, pool.pin
        found = self._gates.get(key)
        if found is None:
            found = self._gates[key] = {}
            for server in pool.members(self.fleet):
                gate = server.gate(self.now)
                kept = found.get(gate)
                if kept is None:
                    kept = found[gate] = Kept()
                kept.servers.append(server)
                kept.used += server.active
                kept.slots += server.max_concurrent
        return found


def _size(classes: Iterable[ServerClass]) -> int:
    return sum(len(cls.servers) for cls in classes)


def _each(classes: Iterable[ServerClass], why: str) -> Iterator[tuple[str, str]]:
    return ((server_id, why) for server_id in chain.from_iterable(cls.servers for cls in classes))
