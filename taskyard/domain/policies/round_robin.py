"""Round robin, smooth and weighted or plain: each server's share of the picks follows its weight, evenly spread.

Source: earliest eligible virtual deadline first (Stoica and Abdel-Wahab, 1995; the rule of WF2Q, Bennett and Zhang,
1996). A server of weight w owes its k-th pick in the virtual interval [k/w, (k+1)/w); each pick moves virtual time by
1/W, W being the sum of the weights present. Among those whose interval has begun, the one whose interval ends first is
picked, in O(log n). From a fresh start each server's picks then differ from its exact share by less than 1 at every
moment, and by less than 2 over any stretch in which the set of open servers and their weights stay as they are (its two
ends may be off by less than 1 each; no order at all can promise 1 over every stretch, for weights 2, 4, 5 none does).
Plain earliest deadline (Envoy's) has no such bound: weight 50 beside fifty of weight 1 is picked 50 times in a row.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from random import Random

from taskyard.domain.policies.base import Chooser, usable
from taskyard.domain.server import Server

_REBASE_AT = 10_000.0
_TOLERANCE = 1e-9

# (key, serial, server, start, weight): the key is the start while it is early, the deadline once it is due.
_Entry = tuple[float, int, Server, float, int]


class RoundRobinChooser:
    """One virtual clock over the servers present; see the module for the rule."""

    def __init__(self, tier: int, weighted: bool) -> None:
        self._tier = tier
        self._weighted = weighted
        self._now = 0.0
        self._total = 0
        self._serial = 0
        self._weights: dict[Server, int] = {}
        self._starts: dict[Server, tuple[float, int]] = {}  # when its next pick may come, and the weight it had then
        self._early: list[_Entry] = []
        self._due: list[_Entry] = []

    def note(self, server: Server) -> None:
        weight = max(1, server.weight) if self._weighted else 1
        if self._weights.get(server) == weight:
            return
        if server in self._weights:
            self._forget(server)
            self._early = [entry for entry in self._early if entry[2] is not server]
            self._due = [entry for entry in self._due if entry[2] is not server]
            heapify(self._early)
            heapify(self._due)
        self._weights[server] = weight
        self._total += weight
        start, old = self._starts.get(server, (self._now, weight))
        # What it is ahead by stays the same in picks, so it is shorter in time for a greater weight.
        self._push(server, self._now + max(0.0, start - self._now) * old / weight, weight)

    def pick(self, task_type: str, avoid: str, rng: Random) -> Server | None:
        early, due = self._early, self._due
        aside: list[_Entry] = []
        chosen: Server | None = None
        while True:
            while early and early[0][0] <= self._now + _TOLERANCE:
                _, serial, server, start, weight = heappop(early)
                heappush(due, (start + 1 / weight, serial, server, start, weight))
            if not due:
                if not early:
                    break
                self._now = early[0][0]  # those that should come first have left: time jumps to the next
                continue
            entry = heappop(due)
            server = entry[2]
            if not usable(server, self._tier):
                self._forget(server)
            elif server.id == avoid:
                aside.append(entry)
            else:
                chosen = server
                self._push(server, entry[3] + 1 / entry[4], entry[4])
                self._now += 1 / self._total
                break
        for entry in aside:
            heappush(due, entry)
        if self._now > _REBASE_AT:
            self._rebase()
        return chosen

    def _push(self, server: Server, start: float, weight: int) -> None:
        self._serial += 1
        self._starts[server] = start, weight
        heappush(self._early, (start, self._serial, server, start, weight))

    def _forget(self, server: Server) -> None:
        self._total -= self._weights.pop(server)

    def _rebase(self) -> None:
        """Move virtual time back to 0, so that sums of fractions stay exact enough."""
        base = self._now
        self._now = 0.0
        self._starts = {server: (start - base, weight) for server, (start, weight) in self._starts.items()}
        self._early = [(key - base, n, server, start - base, w) for key, n, server, start, w in self._early]
        self._due = [(key - base, n, server, start - base, w) for key, n, server, start, w in self._due]


class WeightedRoundRobin:
    """Smooth weighted round robin; the weight is the server's `priority`."""

    name = "weighted-round-robin"
    summary = "Each server gets its share by weight, evenly spread."

    def chooser(self, tier: int) -> Chooser:
        return RoundRobinChooser(tier, weighted=True)


class RoundRobin:
    """Every server in turn, whatever its weight."""

    name = "round-robin"
    summary = "Each server in turn."

    def chooser(self, tier: int) -> Chooser:
        return RoundRobinChooser(tier, weighted=False)
