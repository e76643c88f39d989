"""How long completed attempts took, by type of task: what limits are judged and starts are foretold by.

In memory only, since the last start; the latest ones weigh most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from taskyard.domain.spread import Spread

# Below so many samples nothing is said.
LEAST = 20
# Past so many the older ones weigh half.
MOST = 2_000
TYPES = 1_000
LATEST = 200


class RunTimes:
    """Run times in ms by type."""

    def __init__(self) -> None:
        self._types: dict[str, tuple[Spread, int]] = {}
        self._latest: dict[str, deque[int]] = {}

    def learn(self, task_type: str, took: Sequence[int]) -> None:
        """Completed attempts of a type took so long."""
        spread, total = self._types.pop(task_type) if task_type in self._types else (Spread(), 0)
        spread.add(took)
        latest = self._latest.get(task_type)
        if latest is None:
            latest = self._latest[task_type] = deque(maxlen=LATEST)
        latest.extend(took)
        total += len(took)
        if total > MOST:
            spread.halve()
            total = spread.total
        self._types[task_type] = spread, total
        if len(self._types) > TYPES:
            oldest = next(iter(self._types))
            del self._types[oldest], self._latest[oldest]

    def latest(self, task_type: str) -> list[int] | None:
        """The latest run times of a type, `LATEST` at most; `None` when too few are known."""
        latest = self._latest.get(task_type, ())
        return None if len(latest) < LEAST else list(latest)

    def p95(self, task_type: str) -> int | None:
        """What 19 of 20 took at most; `None` when too few are known."""
        spread, total = self._types.get(task_type, (None, 0))
        return None if spread is None or total < LEAST else spread.quantile(0.95)
