"""The oracle's rules of the queue: who may go before whom, where to, and by when.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from taskyard.prove.oracle.box import Box
from taskyard.prove.oracle.servers import Boxes
from taskyard.prove.oracle.tasks import Known, Tasks
from taskyard.prove.oracle.violation import Violation

SLACK_MS = 5_000
BUDGET_MS = 10_000  # the retry budget lets some out in any such time


class Queue:
    """Judges what a turn left in the queue and what it took from it."""

    def __init__(self, tasks: Tasks, boxes: Boxes, elsewhere_ms: int) -> None:
        self._tasks = tasks
        self._boxes = boxes
        self._elsewhere_ms = elsewhere_ms  # for how long a retry waits for another server
        self._held_since: int | None = None  # a retry waits beside a free server, and none went out

    def row(self, now: int, task_id: str, avoid: str, due_at: int | None) -> None:
        """A row that a turn wrote: a back-off may be waited for, and nothing else. Raises `Violation`."""
        self._tasks.queued(now, task_id, avoid, due_at)
        if due_at is None:
            return
        task = self._tasks.by_id[task_id]
        latest = now
        if task.last_outcome in ("failed", "timeout"):
            latest += min(task.spec["backoff_cap"], task.spec["backoff_base"] << (task.failures - 1))
        elif task.last_outcome == "lost":
            latest += SLACK_MS
        latest = max(latest, task.spec["run_at"] or 0)
        if due_at > latest:
            raise Violation("back-off", f"{task_id} is due at {due_at}, at {latest} at the latest: {task}")

    def order(self, dispatched: list[Known]) -> None:
        """No task overtakes one of its lane that was ready in this turn or before, nor takes a slot of such a one."""
        worst: dict[Any, Known] = {}
        for task in dispatched:
            if task.lane not in worst or task.key > worst[task.lane].key:
                worst[task.lane] = task
        for lane, task in worst.items():
            left = self._tasks.first_ready(lane)
            if left is not None and left.key < task.key:
                raise Violation("order", f"{task.id} {task.key} overtook {left.id} {left.key} of {lane}")
        lanes = self._tasks.waiting_lanes() if dispatched else []
        for task in dispatched:
            box = self._box_of(task)
            for lane in lanes:
                left = self._tasks.first_ready(lane)
                if left is not None and left.key < task.key and box.has(lane):
                    raise Violation("order", f"{task} took a slot of {box.id} that {left} could have had")

    def tiers(self, now: int, dispatched: list[Known]) -> None:
        """A degraded server or a standby gets nothing while a better one is free."""
        for task in dispatched:
            box = self._box_of(task)
            for other in self._boxes.by_id.values():
                better = other.id != task.avoid and other.tier() < box.tier()
                if better and other.has(task.lane) and other.idle(now):
                    raise Violation("tiers", f"{task} went to {box}, and {other} was free")

    def _box_of(self, task: Known) -> Box:
        assert task.trial is not None
        return self._boxes.by_id[task.trial.server]

    def conservation(self, now: int) -> None:
        """No task waits while a server that qualifies for it is free."""
        for lane in self._tasks.waiting_lanes():
            for box in self._boxes.by_id.values():
                if box.has(lane) and box.idle(now):
                    raise Violation("nothing stuck", f"{self._tasks.first_ready(lane)} waits beside {box}")

    def held(self, now: int, *, begun: bool) -> None:
        """Not all retries wait for long where a server is free for one. `begun`: one has just begun, or may have."""
        held = None if begun else next(self._held(now), None)
        if held is None:
            self._held_since = None
        elif self._held_since is None:
            self._held_since = now
        elif now - self._held_since > BUDGET_MS + SLACK_MS:
            raise Violation("nothing stuck", f"{held} and all other retries wait since {self._held_since}")

    def _held(self, now: int) -> Iterator[Known]:
        # One waits for those before it too, which may have come later and be patient for longer.
        first: dict[tuple[Any, str], Known] = {}
        for task in self._tasks.retries():
            other = first.setdefault((task.lane, task.avoid), task)
            if task.key < other.key:
                first[task.lane, task.avoid] = task
        for task in first.values():
            patient = now < task.waits_since + self._elsewhere_ms
            for box in self._boxes.by_id.values():
                if box.has(task.lane) and box.idle(now) and not (patient and box.id == task.avoid):
                    yield task

    def overdue(self, now: int, start: int) -> None:
        """No live task is past a limit by more than a turn may take, since `start`. Raises `Violation`."""
        for task in self._tasks.live.values():
            for limit in (task.deadline, task.queue_deadline):
                if limit is not None and max(limit, start) + SLACK_MS < now:
                    raise Violation("limits", f"{task} should have ended at {limit}, it is {now}")
            trial = task.trial
            if trial is not None:
                limit = trial.limit_at
                beat = task.spec["heartbeat_timeout"]
                if beat is not None and trial.accepted:
                    limit = min(limit, trial.beat_at + beat)
                if max(limit, start) + SLACK_MS < now:
                    raise Violation("limits", f"{task} should have timed out at {limit}, it is {now}")

    def unfinished(self) -> list[Known]:
        """Live tasks that a server could take or has; call it at the end of a run."""
        live = self._tasks.live.values()
        boxes = self._boxes.by_id.values()
        servable = {lane for lane in {task.lane for task in live} if any(box.has(lane) for box in boxes)}
        return [task for task in live if task.trial is not None or task.lane in servable]
