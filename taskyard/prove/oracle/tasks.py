"""The oracle's ledger of tasks: what each is by the log of committed turns, and the counters that follow from it.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Any

from taskyard.prove.oracle.box import Lane
from taskyard.prove.oracle.violation import Violation

HOUR_MS = 3_600_000
ENDS = {"COMPLETED": "completed", "FAILED": "failed", "TIMEOUT": "timed_out", "CANCELLED": "cancelled"}


@dataclass(eq=False)
class Trial:
    """The attempt under way. `limit_at` is when it must have ended; `beat_at` the last word of its backend, `node`
    who sends it."""

    number: int
    server: str
    started_at: int
    limit_at: int
    node: str
    responded_at: int | None = None
    accepted: bool = False
    beat_at: int = 0

    def accept(self, now: int, accepted: bool) -> None:
        """Its backend says that it is at work, or nothing of the kind."""
        if accepted:
            self.accepted = True
            self.beat_at = now


@dataclass(eq=False)
class Known:
    """A task as its client submitted it, and as the log has it now. `key` is its place in the order of its lane."""

    spec: dict[str, Any]
    lane: Lane
    status: str = "PENDING"
    key: tuple[int, int] = (0, 0)
    ready: bool = False
    due_at: int | None = None
    not_before: int = 0  # its `runAt`, while nobody hurried it
    avoid: str = ""
    waits_since: int = 0  # when it was queued, or is due
    attempts: int = 0
    failures: int = 0
    lost: int = 0
    queued_at: int = 0
    deadline: int | None = None
    queue_deadline: int | None = None
    trial: Trial | None = None
    history: dict[str, int] = field(default_factory=dict)  # ended attempts by outcome, but for those that completed
    last_outcome: str = ""
    ended_by: int | None = None
    ended_at: int = 0
    purged: bool = False
    retried: bool = False
    hearsay: bool = False  # a word about it came without a proof

    def __repr__(self) -> str:
        names = ("status", "key", "ready", "due_at", "avoid", "attempts", "failures", "lost", "trial", "last_outcome")
        told = {name: value for name, value in self.spec.items() if value and name not in ("id", "payload", "hash")}
        return f"<{self.id} {' '.join(f'{name}={getattr(self, name)}' for name in names)} {told}>"

    @property
    def id(self) -> str:
        return str(self.spec["id"])

    @property
    def ended(self) -> bool:
        return self.status in ENDS


class Counters:
    """An independent recount of the hourly counters: (scope, key, name) -> sum; and of the yard by second."""

    def __init__(self) -> None:
        self.sums: Counter[tuple[str, str, str]] = Counter()
        self.by_hour: Counter[tuple[int, str]] = Counter()
        self.by_second: Counter[tuple[int, str]] = Counter()

    def add(self, task: Known, name: str, amount: int = 1) -> None:
        """Count for the yard and the task's type."""
        self.sums["yard", "", name] += amount
        self.sums["type", task.spec["type"], name] += amount

    def add_time(self, now: int, name: str) -> None:
        """Count for the yard in this hour and this second."""
        self.by_hour[now // HOUR_MS, name] += 1
        self.by_second[now - now % 1000, name] += 1

    def keep(self, task: Known, name: str, amount: int = 1) -> None:
        """Count for the tasks that there are, of this owner and of all."""
        for owner in ("", task.spec["owner"]):
            self.sums["kept", owner, name] += amount

    def attempt(self, now: int, task: Known, trial: Trial, outcome: str) -> None:
        """Count an attempt that ended."""
        if outcome == "completed":
            self.add(task, "attempts_ok")
            self.add(task, "run_ms", now - trial.started_at)
            self.sums["server", trial.server, "attempts_ok"] += 1
            self.sums["server", trial.server, "run_ms"] += now - trial.started_at
        elif outcome in ("failed", "timeout"):
            self.add(task, "attempts_failed")
            self.sums["server", trial.server, "attempts_failed"] += 1
        if trial.responded_at is not None:
            took = trial.responded_at - trial.started_at
            for scope, key in (("yard", ""), ("type", task.spec["type"]), ("server", trial.server)):
                self.sums[scope, key, "responses"] += 1
                self.sums[scope, key, "response_ms"] += took


class Tasks:
    """All admitted tasks, and the ready ones of each lane in their order."""

    def __init__(self) -> None:
        self.by_id: dict[str, Known] = {}
        self.live: dict[str, Known] = {}
        self.swept: set[str] = set()
        self.to_go = 0  # so many of those that ended before `ended_before` are gone, nobody knows which
        self.counters = Counters()
        self.admitted = 0
        self.attempts = 0
        self.outcomes: Counter[str] = Counter()  # of attempts that did not complete
        self._ended_before = 0
        self._place = 0
        self._ready: defaultdict[Lane, list[tuple[tuple[int, int], str]]] = defaultdict(list)
        self._retries: dict[str, Known] = {}

    def admit(self, now: int, spec: dict[str, Any]) -> Known:
        """A turn took a submission."""
        if spec["id"] in self.by_id:
            raise Violation("admitted once", f"{spec['id']} was admitted twice")
        task = Known(spec, (frozenset(spec["capabilities"]), spec["group"], spec["pin"]))
        start = max(spec["created_at"], spec["run_at"] or 0)
        task.queued_at = start
        task.not_before = spec["run_at"] or 0
        self._set_limits(task, start)
        self.move_back(task)
        self.by_id[task.id] = self.live[task.id] = task
        self.admitted += 1
        self.counters.add(task, "created")
        self.counters.add_time(now, "created")
        self.counters.keep(task, "created")
        return task

    def _set_limits(self, task: Known, start: int) -> None:
        ttl, queue_timeout = task.spec["ttl"], task.spec["queue_timeout"]
        task.deadline = None if ttl is None else start + ttl
        task.queue_deadline = None if queue_timeout is None else start + queue_timeout

    def move_back(self, task: Known) -> None:
        """The task queues anew, behind all others of its priority."""
        self._place += 1
        task.key = (-task.spec["priority"], self._place)

    def reopen(self, now: int, task: Known) -> None:
        """An ended task was retried by hand."""
        self.counters.keep(task, ENDS[task.status], -1)
        task.status = "PENDING"
        task.not_before = 0
        task.failures = task.lost = 0
        task.avoid = task.last_outcome = ""
        task.ended_by = None
        self._set_limits(task, now)
        self.move_back(task)
        self.live[task.id] = task

    def end(self, now: int, task: Known, status: str) -> None:
        """A task ended."""
        if task.ended:
            raise Violation("ends once", f"{task.id} was {task.status} and ended again as {status}")
        if task.trial is not None:
            raise Violation("ends once", f"{task.id} ended as {status} while attempt {task.trial.number} was under way")
        task.status, task.ready, task.due_at, task.ended_at = status, False, None, now
        del self.live[task.id]
        self.counters.add(task, ENDS[status])
        self.counters.add_time(now, ENDS[status])
        self.counters.keep(task, ENDS[status])

    # --- the sweep ---------------------------------------------------------------------------------------------------

    def may_be_gone(self, task_id: str) -> bool:
        """Whether a sweep may have removed a task."""
        task = self.by_id[task_id]
        return task.ended and task.ended_at < self._ended_before

    def sweep(self, ended_before: int, most: int) -> int:
        """At most so many of the tasks that ended before a time were removed; returns how many it must have been."""
        self._ended_before = ended_before
        old = sum(1 for task_id in self.by_id if self.may_be_gone(task_id))
        gone = min(most, old - self.to_go)
        self.to_go += gone
        return gone

    def forget(self, missing: set[str]) -> None:
        """These are stored no longer: they must be what sweeps removed. Raises `Violation`."""
        wrong = [self.by_id[task_id] for task_id in missing if not self.may_be_gone(task_id)]
        if wrong or len(missing) != self.to_go:
            told = f"{len(missing)} tasks are gone, {self.to_go} should be; not to be swept were {wrong[:2]}"
            raise Violation("nothing lost", told)
        self.to_go = 0
        for task_id in missing:
            task = self.by_id.pop(task_id)
            for name in ("created", ENDS[task.status]):
                self.counters.sums["removed", task.spec["type"], name] += 1
                self.counters.keep(task, name, -1)
        self.swept |= missing

    # --- the order ---------------------------------------------------------------------------------------------------

    def queued(self, now: int, task_id: str, avoid: str, due_at: int | None) -> None:
        """A turn left a task in the queue, ready or due later."""
        task = self.by_id.get(task_id)
        if task is None or task.status != "PENDING":
            raise Violation("rows", f"{task_id} has a queue row and is {task and task.status}")
        if avoid != task.avoid:
            raise Violation("elsewhere", f"{task_id} avoids {avoid!r} in the store, it failed last on {task.avoid!r}")
        if task.due_at is None or due_at is not None:
            task.waits_since = now if due_at is None else due_at
        task.due_at = due_at
        task.ready = due_at is None
        if task.ready and not avoid:
            heappush(self._ready[task.lane], (task.key, task_id))
        elif task.ready:
            self._retries[task_id] = task

    def first_ready(self, lane: Lane) -> Known | None:
        """The task of a lane that should go next, among those ready that avoid no server."""
        heap = self._ready[lane]
        while heap:
            key, task_id = heap[0]
            task = self.by_id.get(task_id)  # none: swept since
            if task is not None and task.ready and not task.avoid and task.key == key:
                return task
            heappop(heap)
        return None

    def retries(self) -> list[Known]:
        """The ready tasks that avoid a server."""
        for task_id in [task_id for task_id, task in self._retries.items() if not (task.ready and task.avoid)]:
            del self._retries[task_id]
        return list(self._retries.values())

    def waiting_lanes(self) -> list[Lane]:
        """Lanes with a ready task that avoids no server."""
        return [lane for lane in self._ready if self.first_ready(lane) is not None]
