"""The health machine of one server: checks and heartbeats in, a state and the time of the next check out.

The rules, in one place (times in int ms):

| in state     | a check passes                | a check fails                         |
|--------------|-------------------------------|---------------------------------------|
| initializing | online                        | offline                               |
| online       | online                        | degraded; offline after three in a row|
| degraded     | online after three in a row   | offline after three in a row          |
| offline      | online after three in a row   | offline                               |

A heartbeat `healthy` is a passed check, `unhealthy` a failed one. This module knows neither HTTP nor slots.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

FIRST_INTERVAL_MS = 10_000
FAILING_INTERVAL_MS = 5_000
STABLE_INTERVAL_MS = 60_000
STABLE_GROWTH = 1.5
JITTER = 0.1
IN_A_ROW = 3
SCORE_FULL = 100.0
# A suspicious answer takes a tenth of the score, a good one gives back a tenth of what is missing.
SCORE_STEP = 0.1
# Below this score an online server counts as degraded; it takes about eleven bad answers in a row.
SCORE_FLOOR = 30.0


class State(StrEnum):
    """What the checks say of a server; the operator's wishes (maintenance, draining) stand beside it."""

    INITIALIZING = "initializing"
    ONLINE = "online"
    DEGRADED = "degraded"
    OFFLINE = "offline"


@dataclass(eq=False, slots=True)
class Health:
    """A server's health. `passes` and `fails` count the present row; `last_passed` is the last check's outcome."""

    state: State = State.INITIALIZING
    fails: int = 0
    passes: int = 0
    last_passed: bool = False
    last_check: int | None = None
    last_error: str | None = None
    check_ms: int | None = None
    score: float = SCORE_FULL
    interval: float = FIRST_INTERVAL_MS
    next_check: int = 0
    trusted_until: int = 0  # suspicion orders no other check before
    online_since: int | None = None

    def passed(self, now: int, chance: float, *, checked: bool = True) -> bool:
        """Take a passed check, or a heartbeat (`checked` false). Returns whether the state changed."""
        before = self.state
        self.fails = 0
        self.passes += 1
        self.last_passed = True
        self.last_error = None
        if before is State.INITIALIZING or (before is not State.ONLINE and self.passes >= IN_A_ROW):
            self.state = State.ONLINE
            self.online_since = now
            self.interval = FIRST_INTERVAL_MS
            self.score = max(self.score, 2 * SCORE_FLOOR)
        elif before is State.ONLINE:
            self.interval = min(STABLE_INTERVAL_MS, self.interval * STABLE_GROWTH) if checked else self.interval
        else:
            self.interval = FAILING_INTERVAL_MS
        self._schedule(now, chance, checked)
        return self.state is not before

    def failed(self, now: int, chance: float, error: str, *, checked: bool = True) -> bool:
        """Take a failed check (or what counts as one). Returns whether the state changed."""
        before = self.state
        self.passes = 0
        self.fails += 1
        self.last_passed = False
        self.last_error = error
        if before is State.INITIALIZING or self.fails >= IN_A_ROW:
            self.state = State.OFFLINE
        elif before is State.ONLINE:
            self.state = State.DEGRADED
        if self.state is not State.ONLINE:
            self.online_since = None
        self.interval = FAILING_INTERVAL_MS
        self._schedule(now, chance, checked)
        return self.state is not before

    def suspect(self, now: int) -> bool:
        """A 5xx, 3xx or unlisted 4xx: lowers the score, orders one check at once, makes degraded at most.

        Many of them order one check in `FAILING_INTERVAL_MS`, so that a server in trouble is not also checked to death.
        """
        before = self.state
        self.score *= 1 - SCORE_STEP
        if now >= self.trusted_until:
            self.trusted_until = now + FAILING_INTERVAL_MS
            self.next_check = min(self.next_check, now)
        if before is State.ONLINE and self.score < SCORE_FLOOR:
            self.state = State.DEGRADED
            self.passes = 0
            self.online_since = None
        return self.state is not before

    def good(self) -> None:
        """A usable answer: the score recovers."""
        self.score += (SCORE_FULL - self.score) * SCORE_STEP

    def stale(self) -> bool:
        """Neither checked nor heard from for too long. Returns whether the state changed."""
        before = self.state
        self.state = State.OFFLINE
        self.online_since = None
        self.passes = 0
        self.last_error = "neither checked nor heard from for too long"
        return before is not State.OFFLINE

    def _schedule(self, now: int, chance: float, checked: bool) -> None:
        if not checked:
            return  # a heartbeat does not put off the next look from our side
        self.last_check = now
        self.next_check = now + int(self.interval * (1 + JITTER * (2 * chance - 1)))
