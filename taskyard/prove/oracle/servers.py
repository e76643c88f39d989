"""The oracle's ledger of servers: what each declared, whether it may be given a task, and which slots are taken.

Kept from the facts and effects of committed turns alone. Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

PAUSE_LEAST_MS = 1_000
PAUSE_MOST_MS = 30_000
PAUSE_BELIEVED_MS = 300_000
PROBE_MS = 60_000
IN_A_ROW = 3

Attempt = tuple[str, int]
Lane = tuple[frozenset[str], str, str]


class Violation(Exception):
    """A promise was broken. `rule` is the promise's short name."""

    def __init__(self, rule: str, details: str) -> None:
        super().__init__(rule, details)  # as pickle wants it
        self.rule = rule

    def __str__(self) -> str:
        return ": ".join(self.args)


@dataclass
class Box:
    """A registered server. `slots` maps an attempt to when it was given up, `None` while it was not.

    `unsure` stands from a registration anew, which may or may not have begun its health again, to the next news of it.
    """

    id: str
    capabilities: frozenset[str] = frozenset()
    learns: bool = False
    groups: frozenset[str] = frozenset()
    most: int = 10
    weight: int = 1
    maintenance: bool = False
    draining: bool = False
    removing: bool = False
    state: str = "initializing"  # or "up" (online, degraded), "offline"
    shown: str = ""
    unsure: bool = False
    heard_at: int = 0
    passes: int = 0
    fails: int = 0
    pause_least: int = 0
    pause_most: int = 0
    held: bool = False
    unreached: bool = False  # since its last answer to a dispatch
    misconfigured: bool = False
    probe_at: int = 0
    slots: dict[Attempt, int | None] = field(default_factory=dict)

    def passed(self) -> None:
        """A passed check, or a heartbeat `healthy`."""
        self.fails = 0
        self.passes += 1
        self.held = False
        if self.state == "initializing" or (self.state == "offline" and self.passes >= IN_A_ROW):
            self.state = "up"

    def failed(self) -> None:
        """A failed check, a heartbeat `unhealthy`, or the first of some unreached dispatches."""
        self.passes = 0
        self.fails += 1
        if self.state == "initializing" or self.fails >= IN_A_ROW:
            self.state = "offline"

    def pause(self, now: int, asked: int | None) -> None:
        """It declined; without a wait, for 1 s doubling to 30 s, unless it is known to pause already."""
        if asked:
            least = most = min(asked, PAUSE_BELIEVED_MS)
        else:
            least, most = 0 if now < self.pause_most else PAUSE_LEAST_MS, PAUSE_MOST_MS
        self.pause_least = max(self.pause_least, now + least)
        self.pause_most = max(self.pause_most, now + most)

    def forget_what_was_not_stored(self, now: int) -> None:
        """The node started anew: rows of checks stood in memory only."""
        self.passes = self.fails = 0
        self.unreached = False
        self.probe_at = now + PROBE_MS
        self.heard_at = now

    def has(self, lane: Lane) -> bool:
        """Whether it has what a lane requires."""
        capabilities, group, pin = lane
        return capabilities <= self.capabilities and (not group or group in self.groups) and pin in ("", self.id)

    def away(self) -> str:
        """Why it takes nothing whatever its slots do; '' when it does."""
        if self.draining or self.removing:
            return "draining"
        if self.maintenance:
            return "in maintenance"
        return "" if self.state == "up" else self.state

    def serving(self) -> bool:
        """Alive and willing, whether or not a slot is free."""
        return not (self.away() or self.held or self.misconfigured)

    def closed(self, now: int) -> str:
        """Why it must not be given a task now; '' when it may."""
        if self.away():
            return self.away()
        if self.held:
            return "held since it could not be reached"
        if now < self.pause_least:
            return "paused"
        return "set aside" if self.misconfigured and now < self.probe_at else ""

    def taken(self, now: int, linger: int) -> int:
        """Slots in use: attempts that run, and those given up that still linger."""
        return sum(1 for given_up in self.slots.values() if given_up is None or now - given_up < linger)

    def tier(self) -> int:
        """The smaller, the sooner it is used: online, online standby (weight 0), degraded, degraded standby."""
        return 2 * (self.shown == "degraded") + (self.weight == 0)

    def idle(self, now: int) -> bool:
        """Whether it surely could take a task now."""
        return self.serving() and not self.unsure and now >= self.pause_most and len(self.slots) < self.most

    def believe(self) -> None:
        """After a registration anew: what is shown at the end of the turn tells, unless a wish hides it."""
        if self.unsure and self.shown in ("online", "degraded", "initializing", "offline"):
            self.state = "up" if self.shown in ("online", "degraded") else self.shown
            self.unsure = False

    def show(self, status: str) -> None:
        """Taskyard says so of its status: it must be what the checks say."""
        self.shown = status
        self.believe()
        state = "up" if status in ("online", "degraded") else status
        wanted = "maintenance" if self.maintenance else self.state
        wanted = "draining" if self.draining or self.removing else wanted
        if state != wanted and not self.unsure:
            raise Violation("health", f"{self.id} is shown as {status} and should be {wanted}: {self}")


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
