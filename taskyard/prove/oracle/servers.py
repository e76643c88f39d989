"""The oracle's ledger of servers, kept from the facts and effects of committed turns alone.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Any

from taskyard.prove.oracle.box import PROBE_MS, Attempt, Box, Lane
from taskyard.prove.oracle.violation import Violation


class Boxes:
    """All registered servers, kept up to date from the facts of each turn."""

    def __init__(self, linger: int, reached: Counter[str]) -> None:
        self.linger = linger
        self._reached = reached
        self.by_id: dict[str, Box] = {}
        self.attempts: dict[Attempt, Box] = {}  # those that hold a slot
        self.ceilings: dict[Attempt, int] = {}  # how many slots the server had when the attempt was dispatched
        self.draining = False
        self._lingering: deque[tuple[int, Attempt]] = deque()
        self._registered_anew = False
        self._vanished: set[Attempt] = set()  # with their server, in the turn under way

    # --- facts -------------------------------------------------------------------------------------------------------

    def take(self, now: int, facts: list[Any], answers: dict[int, Any], removals: set[int]) -> None:
        """Take in what the facts of a turn say of servers.

        `answers` are those of the turn, by ref; `removals` the refs of facts that removed a server at once.
        """
        self._vanished.clear()
        gone: set[Attempt] = set()  # attempts whose slot an earlier fact of this turn freed
        for fact in facts:
            kind, ref = fact[0], fact[1]
            if kind == "ended":
                self._ended(now, fact, gone)
            elif kind == "called_back":
                self._called_back(now, fact, gone)
            elif kind == "checked":
                self._checked(now, fact)
            elif kind == "drain":
                self.draining = True
            elif kind in ("registered", "unregistered", "beat", "maintenance"):
                answer = answers.get(ref)
                if answer is not None and answer[2] == "server":
                    self._changed(now, kind, fact, self.by_id.get(answer[3]) or Box(answer[3]))
                    if ref in removals:
                        self.removed(answer[3])

    def _ended(self, now: int, fact: Any, gone: set[Attempt]) -> None:
        _, _, task, number, outcome, http_status, pause, effect, *_ = fact
        box = self.attempts.get((task, number))
        if box is None or (task, number) in gone:
            return
        if outcome != "accepted" and (http_status is not None or box.slots[task, number] is None):
            gone.add((task, number))
        if outcome == "unreached":
            if not box.held:
                box.held = True
                if box.unreached:
                    box.pause(now, None)
                box.unreached = True
                box.failed()
        elif effect == "set_aside":
            box.misconfigured = True
            box.probe_at = now + PROBE_MS
        elif http_status is not None:
            box.misconfigured = box.unreached = False
            if effect == "pause":
                box.pause(now, pause)

    def _called_back(self, now: int, fact: Any, gone: set[Attempt]) -> None:
        _, _, task, number, word, _ = fact
        box = self.attempts.get((task, number))
        if box is None or (task, number) in gone:
            return
        box.heard_at = now
        if word != "PROCESSING":
            gone.add((task, number))
            if word in ("CANCELLED", "PENDING") and box.slots[task, number] is None:
                box.pause(now, None)

    def _checked(self, now: int, fact: Any) -> None:
        _, _, server, passed, capabilities = fact
        box = self.by_id.get(server)
        if box is None:
            return
        if passed:
            box.passed()
            box.heard_at = now
            if box.learns and capabilities is not None:
                box.capabilities = frozenset(capabilities)
        else:
            box.failed()

    def _changed(self, now: int, kind: str, fact: Any, box: Box) -> None:
        if None in box.slots.values():
            what = {"maintenance": "maintenance", "unregistered": "removed", "registered": "registered anew"}.get(kind)
            if what is not None and fact[2] is not True:
                self._reached[f"{what} in mid-flight"] += 1
        if kind == "maintenance":
            box.maintenance = fact[3]
        elif kind == "unregistered":
            box.removing = True
        elif kind == "beat":
            box.heard_at = now
            if fact[3] == "healthy":
                box.draining = False
                box.passed()
            elif fact[3] == "unhealthy":
                box.failed()
            elif fact[3] == "draining":
                box.draining = True
        else:
            self._registered(now, fact, box)

    def _registered(self, now: int, fact: Any, box: Box) -> None:
        self._registered_anew = True
        _, _, patch, capabilities, groups, most, weight = fact
        if box.id not in self.by_id:
            self.by_id[box.id] = box
            box.learns = capabilities is None
        elif not patch and box.state == "offline":
            box.state, box.passes, box.fails, box.unsure = "initializing", 0, 0, False
        elif not patch:
            box.passes, box.fails, box.unsure = 0, 0, True
        if capabilities is not None:
            box.capabilities, box.learns = frozenset(capabilities), False
        if groups is not None:
            box.groups = frozenset(groups)
        if most is not None:
            box.most = most
        if weight is not None:
            box.weight = weight
        if not patch:
            box.removing = box.draining = False
            box.heard_at = now

    # --- slots -------------------------------------------------------------------------------------------------------

    def dispatched(self, now: int, attempt: Attempt, server: str, lane: Lane) -> None:
        """A turn gave an attempt to a server: it must have been right for it and had a slot."""
        box = self.by_id.get(server)
        if box is None:
            raise Violation("qualifies", f"{attempt} went to {server}, which is not registered")
        if not box.has(lane):
            raise Violation("qualifies", f"{attempt} of lane {lane} went to {box}")
        if why := ("the node drains" if self.draining else box.closed(now)):
            raise Violation("qualifies", f"{attempt} went to {server}, which is {why}: {box}")
        if box.taken(now, self.linger) >= box.most:
            raise Violation("slots", f"{attempt} is one too many on {server}: {box.most} slots, taken {box.slots}")
        if box.misconfigured:
            box.probe_at = now + PROBE_MS
        box.slots[attempt] = None
        self.attempts[attempt] = box
        self.ceilings[attempt] = box.most

    def over(self, now: int, attempt: Attempt, *, given_up: bool) -> None:
        """An attempt ended; given up, it keeps its slot for the linger."""
        box = self.attempts.get(attempt)
        if attempt in self._vanished:
            return
        if box is None:
            raise Violation("slots", f"{attempt} ended and held no slot")
        if given_up:
            box.slots[attempt] = now
            self._lingering.append((now, attempt))
        else:
            self.free(attempt)

    def free(self, attempt: Attempt) -> None:
        """An attempt gives its slot back, if it has one."""
        box = self.attempts.pop(attempt, None)
        if box is not None:
            box.slots.pop(attempt, None)

    def removed(self, server: str) -> None:
        """A server is gone."""
        box = self.by_id.pop(server, None)
        if box is not None:
            self._vanished.update(box.slots)
            for attempt in list(box.slots):
                self.free(attempt)

    def expire(self, now: int) -> None:
        """Lingers that ended by this turn free their slots."""
        while self._lingering and self._lingering[0][0] + self.linger <= now:
            given_up, attempt = self._lingering.popleft()
            box = self.attempts.get(attempt)
            if box is not None and box.slots[attempt] == given_up:
                self.free(attempt)

    def believe(self) -> None:
        """The turn is over: see `Box.believe`."""
        if self._registered_anew:
            for box in self.by_id.values():
                box.believe()
            self._registered_anew = any(box.unsure for box in self.by_id.values())

    def recovered(self, now: int, *, draining: bool) -> None:
        """The node's memory was built anew."""
        self.draining = draining
        for box in self.by_id.values():
            box.forget_what_was_not_stored(now)
