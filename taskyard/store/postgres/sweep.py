"""The sweep of what is kept no longer, and the upkeep: days made and dropped, counters rolled up, tables repacked."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from taskyard.store.postgres.days import DAY_MS, Days, day_of
from taskyard.store.postgres.queries import QUERIES, Call

_KEEP_UP_EVERY_S: Final = 50.0
_START_OVER_S: Final = 3600.0
_TASK_STATEMENTS: Final = (
    "count_removed", "count_kept", "failed_delete",
    "tags_delete", "task_delete", "task_reopen", "payload_delete", "result_delete", "attempts_delete"
)  # fmt: skip
# Carries out calls in one transaction that proves the epoch: the rows of each.
Exchange = Callable[[Sequence[Call]], list[list[Any]]]


class Sweep:
    """Sweeps in small bites, each from where the last one ended.

    While an old snapshot holds what was removed, a walk from the beginning would pass all of it again and again. Once
    an hour it starts over, for what came late.
    """

    def __init__(self, days: Days) -> None:
        self._days = days
        self.start_over()

    def start_over(self) -> None:
        """Sweep from the beginning next time, and do all of the upkeep."""
        self._ended_from = 0
        self._keys_from = 0
        self._began = time.monotonic()
        self._kept_up: float | None = None

    def sweep(self, exchange: Exchange, ended_before: int, keys_before: int, most: int) -> int:
        """Remove at most so many tasks and keys; returns the larger count."""
        if time.monotonic() - self._began > _START_OVER_S:
            self.start_over()
        tasks, keys, ((now,),) = exchange(
            [
                QUERIES["ended_between"].with_values((self._ended_from, ended_before, most)),
                QUERIES["keys_before"].with_values((self._keys_from, keys_before, most)),
                QUERIES["day_now"].with_values(()),
            ]
        )
        self._keep_up(exchange, now)
        calls: list[Call] = []
        if tasks:
            ids = [(task_id,) for task_id, _ in tasks]
            calls += [QUERIES[name].of(ids) for name in _TASK_STATEMENTS]
        if keys:
            calls.append(QUERIES["key_delete"].of([row[:2] for row in keys]))
        if calls:
            exchange(calls)
        if tasks:
            self._ended_from = tasks[-1][1]
        if keys:
            self._keys_from = keys[-1][2]
        return max(len(tasks), len(keys))

    def _keep_up(self, exchange: Exchange, now: int) -> None:
        today = day_of(now)
        ahead = self._days.unknown((today, today + DAY_MS))
        if ahead:
            exchange([QUERIES["make_day"].with_values((day,)) for day in sorted(ahead)])
            self._days.made(ahead)
        if self._kept_up is None or time.monotonic() - self._kept_up > _KEEP_UP_EVERY_S:
            self._kept_up = time.monotonic()
            exchange([QUERIES["roll_up"].with_values(())])
            exchange([QUERIES["repack"].with_values(())])
            for (day,) in exchange([QUERIES["day_empty"].with_values((today,))])[0]:
                exchange([QUERIES["drop_day"].with_values((day,))])
                self._days.forget(day)
