"""Tasks that somebody watches, and which of them committed plans have touched. Costs nothing while nobody does."""

from __future__ import annotations

from collections.abc import Collection, Set

from taskyard.engine.plan import Plan


class Watched:
    """Ids of tasks; each as often as it is watched."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self._touched: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._ids)

    def add(self, task_id: str) -> None:
        """Watch a task from the next commit on. What is read after this call misses nothing."""
        self._ids[task_id] = self._ids.get(task_id, 0) + 1

    def drop(self, task_id: str) -> None:
        """Watch it once less."""
        left = self._ids[task_id] - 1
        if left:
            self._ids[task_id] = left
        else:
            del self._ids[task_id]
            self._touched.discard(task_id)

    def note(self, plan: Plan) -> None:
        """A plan is committed: whatever it wrote of a watched task can be read now."""
        ids, touched, writes = self._ids, self._touched, plan.writes
        for rows in (writes.runs, writes.queued):
            for row in rows:
                if row.task_id in ids:
                    touched.add(row.task_id)
        for ended in writes.ended:
            if ended.id in ids:
                touched.add(ended.id)
        for (task_id,) in writes.purged:
            if task_id in ids:
                touched.add(task_id)

    def ids(self) -> Collection[str]:
        """All that are watched."""
        return self._ids.keys()

    def touched(self) -> set[str]:
        """What was touched since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    def touch_all(self) -> None:
        """Have all read again: something may have been missed."""
        self._touched.update(self._ids)

    def touch(self, task_ids: Set[str]) -> None:
        """Have them read again."""
        self._touched |= task_ids & self._ids.keys()
