"""The oracle's idea of one registered server: what it declared, whether it may be given a task, which slots are taken.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from taskyard.prove.oracle.violation import Violation

PAUSE_LEAST_MS = 1_000
PAUSE_MOST_MS = 30_000
PAUSE_BELIEVED_MS = 300_000
PROBE_MS = 60_000
IN_A_ROW = 3

Attempt = tuple[str, int]
Lane = tuple[frozenset[str], str, str]


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
