"""Wakes: the exact prefix, by wake time, of the queued tasks that must be looked at whatever the slots do.

A back-off or `runAt` that comes due, a `ttl` or `queueTimeout` that passes. With a million of them waiting memory holds
only the first; `horizon` is the last pair (time, id) that memory covers, the store holds the rest.
"""

from __future__ import annotations

from collections.abc import Collection

from taskyard.domain.task import Task
from taskyard.domain.timers import Timers


class Wakes:
    """Timers of queued tasks up to `horizon` (`None`: all of them). `most` bounds how many memory holds."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._timers: Timers[Task] = Timers()
        self._members: set[Task] = set()
        self.horizon: tuple[int, str] | None = None

    def __len__(self) -> int:
        return len(self._members)

    def members(self) -> Collection[Task]:
        """The tasks in memory, in no order."""
        return self._members

    def covers(self, at: int, task_id: str) -> bool:
        """Whether a task that wakes then belongs to memory."""
        return self.horizon is None or (at, task_id) <= self.horizon

    def add(self, task: Task, at: int) -> None:
        """Take a covered task in, or move it."""
        self._timers.set(task, at)
        self._members.add(task)
        task.in_wakes = True

    def drop(self, task: Task) -> None:
        """Let a task go."""
        if task.in_wakes:
            self._timers.drop(task)
            self._members.discard(task)
            task.in_wakes = False

    def shrink(self) -> list[Task]:
        """When memory holds too many, keep the earlier half; returns those that went."""
        if len(self._members) <= self._most:
            return []
        keyed = sorted((self._timers.at(task) or 0, task.id, task) for task in self._members)
        kept = keyed[: self._most // 2]
        gone = [entry[2] for entry in keyed[len(kept) :]]
        for task in gone:
            self.drop(task)
        self.horizon = kept[-1][:2]
        return gone

    def wants_more(self) -> bool:
        """Whether the store should be asked for the next ones."""
        return self.horizon is not None and len(self._members) < self._most // 8

    def next_at(self) -> int | None:
        """The earliest wake; when memory holds none but the store does, the horizon, so that a turn asks for more."""
        at = self._timers.next_at()
        if at is None and self.horizon is not None:
            return self.horizon[0]
        return at

    def pop_due(self, now: int, most: int) -> list[Task]:
        """Remove and return tasks that are due, earliest first."""
        due = self._timers.pop_due(now, most)
        for task in due:
            self._members.discard(task)
            task.in_wakes = False
        return due
