"""A pool: lanes that the same classes of servers can serve, the policy's choosers over these, and its retry budget."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import TYPE_CHECKING

from taskyard.domain.policies import Chooser
from taskyard.domain.server import TIERS, Server

if TYPE_CHECKING:
    from taskyard.domain.fleet import Fleet, Flow, Lane

_BUDGET_SECONDS = 10
_BUDGET_LEAST = 3


class RetryBudget:
    """Retries of a pool within the last 10 s, bounded by a share of its dispatches. One bucket a second.

    A retry that a server takes well is given back: where they succeed nothing holds them up, where they fail no flood
    of them can make it worse. The idea of a budget that grows with success is Finagle's.
    """

    __slots__ = ("_dispatches", "_retries", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._dispatches = [0] * _BUDGET_SECONDS
        self._retries = [0] * _BUDGET_SECONDS

    def copy(self) -> RetryBudget:
        """One that stands where this one stands."""
        twin = RetryBudget()
        twin._second = self._second
        twin._dispatches, twin._retries = self._dispatches.copy(), self._retries.copy()
        return twin

    def _advance(self, now: int) -> int:
        second = now // 1000
        for passed in range(max(self._second + 1, second - _BUDGET_SECONDS + 1), second + 1):
            self._dispatches[passed % _BUDGET_SECONDS] = 0
            self._retries[passed % _BUDGET_SECONDS] = 0
        self._second = max(self._second, second)
        return self._second % _BUDGET_SECONDS

    def allows(self, now: int, ratio: float) -> bool:
        """Whether one more retry may go out now."""
        self._advance(now)
        return sum(self._retries) < max(_BUDGET_LEAST, ratio * sum(self._dispatches))

    def spend(self, now: int, *, retry: bool) -> None:
        """Book a dispatch."""
        index = self._advance(now)
        self._dispatches[index] += 1
        if retry:
            self._retries[index] += 1

    def give_back(self, spent_at: int) -> None:
        """A retry that was booked at a time (int ms) went well: it counts no more."""
        second = spent_at // 1000
        if self._second - _BUDGET_SECONDS < second <= self._second and self._retries[second % _BUDGET_SECONDS]:
            self._retries[second % _BUDGET_SECONDS] -= 1


class Pool:
    """Lanes that the same classes (or one pinned server) can serve, and the choosers over those servers."""

    __slots__ = ("_choosers", "_cursor", "_shape", "budget", "heads", "lanes", "mask", "pin", "starved")

    def __init__(self, mask: int, pin: str) -> None:
        self.mask = mask
        self.pin = pin
        self.lanes: set[Lane] = set()
        self.heads: list[tuple[int, int, Flow]] = []  # heap of (head rank, serial, flow), checked when it surfaces
        self.budget = RetryBudget()
        self.starved = False
        self._choosers: list[Chooser] = []
        self._cursor = 0
        self._shape = -1

    def has(self, server: Server) -> bool:
        """Whether the server is one of the pool's."""
        cls = server.cls
        return cls is not None and bool(self.mask >> cls.bit & 1) and (not self.pin or self.pin == server.id)

    def members(self, fleet: Fleet) -> Iterator[Server]:
        """The pool's servers, whatever their state."""
        if self.pin:
            server = fleet.servers.get(self.pin)
            if server is not None and self.has(server):
                yield server
            return
        for cls in fleet.classes.values():
            if self.mask >> cls.bit & 1:
                yield from cls.servers.values()

    def pick(self, fleet: Fleet, task_type: str, avoid: str, rng: Random) -> Server | None:
        """An open server by the policy in force, the best tier first; `None` when none is free."""
        if self._shape != fleet.shape or self._cursor < fleet.log_base:
            self._rebuild(fleet)
        else:
            start = self._cursor - fleet.log_base
            for server in fleet.log[start:] if start else fleet.log:
                if server.known_open and self.has(server):
                    self._choosers[server.known_tier].note(server)
        self._cursor = fleet.log_base + len(fleet.log)
        for chooser in self._choosers:
            chosen = chooser.pick(task_type, avoid, rng)
            if chosen is not None:
                return chosen
        return None

    def _rebuild(self, fleet: Fleet) -> None:
        if self._shape != fleet.shape:
            self._choosers = [fleet.policy.chooser(tier) for tier in range(TIERS)]
            self._shape = fleet.shape
        for server in self.members(fleet):
            if server.known_open:
                self._choosers[server.known_tier].note(server)

    def avoided(self, fleet: Fleet, avoid: str) -> str:
        """The server that tasks which must avoid it are kept from; '' when there is none, or avoiding it is void."""
        return "" if not avoid or self.only(fleet, avoid) else avoid

    def rivals(self, fleet: Fleet, other: Pool) -> bool:
        """Whether a server may be picked by both pools, so that their tasks stand in one queue."""
        if not (self.pin or other.pin):
            return bool(self.mask & other.mask)
        pinned, another = (self, other) if self.pin else (other, self)
        return any(another.has(server) for server in pinned.members(fleet))

    def only(self, fleet: Fleet, server_id: str) -> bool:
        """Whether no other server of the pool than this one is serving: then avoiding it is void."""
        if self.pin:
            return not any(server.known_serving and server.id != server_id for server in self.members(fleet))
        mine = fleet.servers.get(server_id)
        besides = -(mine is not None and mine.known_serving and self.has(mine))
        for cls in fleet.classes.values():
            if self.mask >> cls.bit & 1:
                besides += cls.serving
                if besides > 0:
                    return False
        return True
