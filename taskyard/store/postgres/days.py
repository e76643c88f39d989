"""The days that have partitions. Knows how an id begins with its time, and which days are still to be made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from taskyard.engine.plan import Writes
from taskyard.store.port import BadData

DAY_MS: Final = 86_400_000
# Ids are `task_` and the hex of a UUIDv7, whose first 48 bits are the time in ms; without the last 16 a minute.
_MINUTE: Final = slice(5, 13)
_MINUTE_MS: Final = 1 << 16


def day_of(ms: int) -> int:
    """The first ms of a day."""
    return ms - ms % DAY_MS


class Days:
    """The first ms of each day that is known to have partitions."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._minutes: set[str] = set()  # the beginnings of ids whose days are known

    def reset(self, known: Iterable[int]) -> None:
        """Know these days and no others."""
        self._known = set(known)
        self._minutes = set()

    def missing(self, writes: Writes) -> set[int]:
        """The days that a plan needs and that are not known yet. Raises `BadData` for an id that holds no time."""
        try:
            minutes = {task.id[_MINUTE] for task in writes.tasks}
            minutes.update(task_id[_MINUTE] for rows in (writes.payloads, writes.results) for task_id, *_ in rows)
            minutes.update(entry.task_id[_MINUTE] for entry in writes.attempts)
            minutes.update(task_id[_MINUTE] for _, task_id in writes.tags)
            return self._days(minutes - self._minutes) if minutes - self._minutes else set()
        except (TypeError, ValueError) as error:
            raise BadData("the store refuses the id of a task", type(error).__name__) from error

    def _days(self, minutes: set[str]) -> set[int]:
        first = [int(minute, 16) * _MINUTE_MS for minute in minutes]
        days = {day_of(ms) for start in first for ms in (start, start + _MINUTE_MS - 1)}
        if days <= self._known:
            self._minutes |= minutes
        return days - self._known

    def made(self, days: Iterable[int]) -> None:
        """These days have partitions now."""
        self._known.update(days)

    def unknown(self, days: Iterable[int]) -> set[int]:
        """Those of these days that are not known to have partitions."""
        return set(days) - self._known

    def forget(self, day: int) -> None:
        """Perhaps it has partitions no longer."""
        self._known.discard(day)
        self._minutes = set()
