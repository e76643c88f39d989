"""Start times that were foretold, and how they were kept: what tells whether an estimate can be believed.

A task's first estimate counts. Knows nothing of how it was made.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from taskyard.domain.outcomes import Status
from taskyard.engine.forecast import Estimate

PROMISES_MOST = 10_000


class Promises:
    """`by_p50`, `by_p90` and `late` count the tasks that started within these spans of what was foretold, or later.

    `now` is the node's clock.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._open: OrderedDict[str, tuple[int, Estimate]] = OrderedDict()
        self.by_p50 = self.by_p90 = self.late = 0

    def __bool__(self) -> bool:
        return bool(self._open)

    def note(self, task_id: str, at: int, told: Estimate) -> None:
        """At a time (int ms) it was foretold when a task will start."""
        if task_id not in self._open:
            self._open[task_id] = at, told
            if len(self._open) > PROMISES_MOST:
                self._open.popitem(last=False)

    def changed(self, task_id: str, status: Status) -> None:
        """A task has another status."""
        if status is Status.PENDING:
            return
        at, told = self._open.pop(task_id, (0, None))
        if told is None or status is not Status.PROCESSING:
            return
        now = self._now()
        if now <= at + told.p50:
            self.by_p50 += 1
        elif now <= at + told.p90:
            self.by_p90 += 1
        else:
            self.late += 1
