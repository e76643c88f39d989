"""A registered backend: what it can do, what it does, and whether it may be given more.

Knows nothing of lanes, policies or HTTP; `tier`, `fit` and `has_room` are what the fleet asks. What keeps a server from
taking a task is a `Gate`: those three say no by the very tests that `gate` names.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from taskyard.domain.health import Health, State

if TYPE_CHECKING:
    from taskyard.domain.fleet import ServerClass
    from taskyard.domain.task import Run

PAUSE_FIRST_MS = 1_000
PAUSE_CAP_MS = 30_000
PAUSE_BELIEVED_MS = 300_000
PROBE_INTERVAL_MS = 60_000
TIERS = 4
AWAY = -1


class Gate(StrEnum):
    """What keeps a server from taking a task, in the order in which it is asked."""

    REMOVED = "removed"
    DRAINING = "draining"
    MAINTENANCE = "maintenance"
    INITIALIZING = "initializing"
    OFFLINE = "offline"
    MISCONFIGURED = "misconfigured"
    DECLINED = "declined"
    UNREACHED = "unreached"
    FULL = "full"


@dataclass(eq=False, slots=True)
class Server:
    """A server with its slots. Times in int ms; `api_key` is opaque here (the host encrypts it).

    `maintenance`, `draining` (by its own heartbeat) and `removing_until` are wishes; `paused_until` stands while it
    asked us to wait, `held` after an `unreached` dispatch until a check passes, `misconfigured` while it refuses our
    key (then `probe_at` is the next single try).
    """

    id: str
    name: str
    predict: str
    health_url: str
    registered_at: int
    owner: str = ""
    metrics_url: str | None = None
    cancel_url: str | None = None
    api_key: str | None = None
    capabilities: tuple[str, ...] = ()
    learns_capabilities: bool = False
    groups: tuple[str, ...] = ()
    max_concurrent: int = 10
    weight: int = 1
    is_async: bool = False
    maintenance: bool = False
    maintenance_reason: str | None = None
    draining: bool = False
    removing_until: int | None = None
    last_heartbeat: int = 0
    reported_active: int | None = None
    reported_metrics: str | None = None
    heard_at: int = 0
    health: Health = field(default_factory=Health)
    paused_until: int | None = None
    pause_step_ms: int = 0
    held: bool = False
    was_unreached: bool = False  # since its last answer to a dispatch
    misconfigured: bool = False
    probe_at: int | None = None
    checking: bool = False
    runs: set[Run] = field(default_factory=set)
    cls: ServerClass | None = None
    # Decaying averages of completed attempts by task type, in ms, for the response-time policy.
    averages: dict[str, float] = field(default_factory=dict)
    # What the fleet last knew of it: to see what changed.
    known_tier: int = AWAY
    known_open: bool = False
    known_serving: bool = False
    dirty: bool = False
    online_booked_at: int = 0
    was_online: bool = False

    @property
    def active(self) -> int:
        """Slots in use, those of given-up attempts that linger included."""
        return len(self.runs)

    @property
    def load(self) -> float:
        """Share of the slots in use, 0-1."""
        return min(1.0, len(self.runs) / self.max_concurrent)

    @property
    def status(self) -> str:
        """The status shown: the operator's wishes before what the checks say."""
        if self.draining or self.removing_until is not None:
            return "draining"
        if self.maintenance:
            return "maintenance"
        return self.health.state.value

    @property
    def tier(self) -> int:
        """Which turn it has among those that qualify: 0 online, 1 standby (weight 0), 2 degraded, 3 both; -1 away."""
        if self._away() is not None:
            return AWAY
        tier = 0 if self.health.state is State.ONLINE else 2
        return tier if self.weight else tier + 1

    def _away(self) -> Gate | None:
        """Why it gets nothing whatever its slots and pauses, or `None`."""
        if self.removing_until is not None:
            return Gate.REMOVED
        if self.draining:
            return Gate.DRAINING
        if self.maintenance:
            return Gate.MAINTENANCE
        state = self.health.state
        if state is State.ONLINE or state is State.DEGRADED:
            return None
        return Gate.INITIALIZING if state is State.INITIALIZING else Gate.OFFLINE

    @property
    def fit(self) -> bool:
        """Whether it can be reached and takes our key, as far as is known."""
        return not (self.misconfigured or self.held)

    def has_room(self, now: int) -> bool:
        """Whether a slot is free and nothing but its status forbids to use it."""
        return self._shut(now) is None

    def _shut(self, now: int) -> Gate | None:
        """Why no slot may be used now whatever its status, or `None`."""
        if self.misconfigured and (self.probe_at is None or now < self.probe_at):
            return Gate.MISCONFIGURED
        if self.paused_until is not None and now < self.paused_until:
            return Gate.DECLINED
        if self.held:
            return Gate.UNREACHED
        return Gate.FULL if len(self.runs) >= self.max_concurrent else None

    def gate(self, now: int) -> Gate | None:
        """The first thing that keeps it from taking a task now; `None`: it is open."""
        return self._away() or self._shut(now)

    def pause(self, now: int, asked_ms: int | None) -> None:
        """It declined: nothing until the time it asked for, or 1 s doubling to 30 s when it named none (or no wait)."""
        if not asked_ms:
            if self.paused_until is not None and now < self.paused_until:
                return  # sent before it asked to wait: tells nothing new
            self.pause_step_ms = min(PAUSE_CAP_MS, self.pause_step_ms * 2) if self.pause_step_ms else PAUSE_FIRST_MS
            asked_ms = self.pause_step_ms
        until = now + min(asked_ms, PAUSE_BELIEVED_MS)
        self.paused_until = max(self.paused_until or 0, until)
        self.dirty = True

    def worked(self) -> None:
        """It ended an attempt otherwise than by declining it: the next pause is a short one again."""
        if self.pause_step_ms:
            self.pause_step_ms = 0
            self.dirty = True

    def let_go(self) -> None:
        """It can be reached again, as a passed check says."""
        if self.held:
            self.held = False
            self.dirty = True

    def learn(self, task_type: str, took_ms: int) -> None:
        """Fold the run time of a completed attempt into the decaying average of its type (weight 1/8, RFC 6298's)."""
        average = self.averages.get(task_type)
        if average is None:
            if len(self.averages) >= 256:
                self.averages.pop(next(iter(self.averages)))
            self.averages[task_type] = float(took_ms)
        else:
            self.averages[task_type] = average + (took_ms - average) / 8

    def wake_at(self, now: int, check_limit_ms: int, offline_grace_ms: int) -> int:
        """When this server must be looked at next; `check_limit_ms` bounds a check that is under way."""
        times = [self.health.next_check + (check_limit_ms if self.checking else 0)]
        if self.paused_until is not None:
            times.append(self.paused_until)
        if self.probe_at is not None and self.probe_at > now:  # a probe that is due waits for a task
            times.append(self.probe_at)
        if self.removing_until is not None:
            times.append(self.removing_until)
        if self.health.state is State.OFFLINE and any(run.task is not None for run in self.runs):
            times.append(self.heard_at + offline_grace_ms)
        return min(times)
