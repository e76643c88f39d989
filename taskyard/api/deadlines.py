"""What a connection waits for and since when, and what is overdue. Knows times and sizes, no sockets.

| while | limit (from the settings) |
|---|---|
| a request's head comes | `head_timeout` for the whole |
| its body comes | `body_timeout` and 1 s for each 64 KiB so far; `idle_timeout` without one byte |
| its body still comes when it is answered | `rest_timeout`, `rest_max_bytes` |
| the client takes the answer | `write_timeout` since it last had taken all there was, and 1 s for each 64 KiB it took |
| nothing is asked | `keep_alive` |
"""

from __future__ import annotations

from enum import Enum

from taskyard.api.limits import Limits

STEP = 65_536  # each so many bytes, of a body or of what is taken of an answer, give one more second
SWEEP_S = 1.0


class Phase(Enum):
    """What is expected of the client; `REST` is what an answered request still sends, `NOTHING` is up to it."""

    HEAD = "head"
    BODY = "body"
    REST = "rest"
    NOTHING = "nothing"


class Overdue(Enum):
    """How a connection ends that says nothing more."""

    CLOSE = "close"  # what was written still goes out
    ABORT = "abort"


class Deadlines:
    """Of one connection. Times are the loop's, in seconds; `heard` is when the last byte came."""

    __slots__ = ("_began", "_body_bytes", "_limits", "_stuck", "_taken", "_unsent", "heard", "phase")

    def __init__(self, limits: Limits, now: float) -> None:
        self._limits = limits
        self._began = now
        self._stuck: float | None = None
        self._unsent = self._taken = 0
        self._body_bytes = 0
        self.heard = now
        self.phase = Phase.HEAD

    def begin(self, phase: Phase, now: float) -> None:
        """From now on this is waited for."""
        self.phase, self._began, self._body_bytes = phase, now, 0

    def body(self, size: int) -> bool:
        """Some of a body came; false when it is the rest of one, and too much of it."""
        self._body_bytes += size
        return self.phase is not Phase.REST or self._body_bytes <= self._limits.rest_bytes

    def taken(self) -> None:
        """The client has taken all that was written."""
        self._stuck = None

    def forgive(self, span: float) -> None:
        """For so long (s) it was us who stood still: what came meanwhile is still to be read."""
        self._began += span
        self.heard += span
        if self._stuck is not None:
            self._stuck += span

    def overdue(self, now: float, *, unsent: int, paused: bool, serving: bool) -> Overdue | str | None:
        """What to do about what is overdue: to end, or to say this; asked once in `SWEEP_S`.

        `unsent`: bytes written that the client has not taken. `paused`: we do not read. `serving`: a request is
        being answered.
        """
        limits, phase = self._limits, self.phase
        if not unsent:
            self._stuck = None
        elif self._stuck is None:
            self._stuck, self._taken = now, 0
        else:
            self._taken += max(0, self._unsent - unsent)
            if now - self._stuck >= limits.write_s + self._taken / STEP:
                return Overdue.ABORT
        self._unsent = unsent
        waited = now - self._began
        if phase is Phase.NOTHING:
            return Overdue.CLOSE if not serving and waited >= limits.keep_s else None
        if phase is Phase.REST:
            return Overdue.CLOSE if waited >= limits.rest_s else None
        if paused:  # nothing can come: it is we who are slow
            self.heard = now
            self._began += SWEEP_S
            return None
        if phase is Phase.HEAD:
            if waited >= limits.head_s:
                return f"the request's head did not come within {limits.head_s:g} s"
        elif now - self.heard >= limits.idle_s:
            return f"nothing of the request's body came for {limits.idle_s:g} s"
        elif waited >= limits.body_s + self._body_bytes / STEP:
            return f"the request's body did not come within {limits.body_s:g} s and 1 s per 64 KiB"
        return None
