"""The oracle's rules of fate: how attempts end, what becomes of their tasks, and whether that was right.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from typing import Any

from taskyard.prove.oracle.box import Attempt, Box
from taskyard.prove.oracle.facts import TurnFacts
from taskyard.prove.oracle.servers import Boxes
from taskyard.prove.oracle.tasks import Known, Tasks, Trial
from taskyard.prove.oracle.violation import Violation
from taskyard.prove.oracle.words import Words


class Fates:
    """Follows attempts and statuses through the effects of a turn."""

    def __init__(
        self, tasks: Tasks, boxes: Boxes, words: Words, max_lost: int, offline_grace: int, elsewhere_ms: int
    ) -> None:
        self.given_up: set[Attempt] = set()
        self._tasks = tasks
        self._boxes = boxes
        self._words = words
        self._max_lost = max_lost
        self._offline_grace = offline_grace
        self._elsewhere_ms = elsewhere_ms  # for how long a retry waits for another server
        self._now = 0
        self._recovery = False
        self._facts: TurnFacts
        self._just_over: dict[str, str] = {}  # task -> outcome of an attempt whose task's fate is still to be told

    def begin(self, now: int, facts: TurnFacts, *, recovery: bool) -> None:
        """A turn begins, or the first plan of a node that starts."""
        self._now = now
        self._recovery = recovery
        self._facts = facts

    def finish(self) -> None:
        """The turn is over: every ended attempt's task must have gone somewhere."""
        if self._just_over:
            raise Violation("fate", f"attempts ended and their tasks were forgotten: {self._just_over}")

    def dispatch(self, task_id: str, number: int, server: str, limit_at: int, node: str) -> Known:
        """A task was given to a server."""
        now, task = self._now, self._tasks.by_id.get(task_id)
        if task is None or task.status != "PENDING":
            raise Violation("dispatch", f"{task_id} was dispatched and is {task and task.status}")
        if number != task.attempts + 1:
            raise Violation("attempts without gaps", f"{task_id} had attempt {task.attempts}, now {number}")
        if max(task.due_at or 0, task.not_before) > now:
            raise Violation("not before", f"{task} was dispatched at {now}")
        waits = now < task.waits_since + self._elsewhere_ms
        if task.avoid == server and waits and (other := self._elsewhere(task)):
            raise Violation("elsewhere", f"{task_id} failed on {server} and went there again, {other} is alive")
        self._boxes.dispatched(now, (task_id, number), server, task.lane)
        if number == 1:
            self._tasks.counters.add(task, "waits")
            self._tasks.counters.add(task, "wait_ms", max(0, now - task.queued_at))
        if limit_at != now + task.spec["timeout"]:
            raise Violation("timeout", f"attempt {number} of {task_id} ends at {limit_at}")
        task.attempts = number
        self._tasks.attempts += 1
        task.trial = Trial(number, server, now, limit_at, node, beat_at=now)
        task.status, task.ready, task.due_at, task.queue_deadline = "PROCESSING", False, None, None
        return task

    def _elsewhere(self, task: Known) -> str:
        for box in self._boxes.by_id.values():
            if box.id != task.avoid and box.has(task.lane) and box.serving() and not box.unsure:
                return box.id
        return ""

    def over(self, task_id: str, number: int, server: str, outcome: str) -> None:
        """An attempt ended."""
        task = self._tasks.by_id[task_id]
        trial = task.trial
        if trial is None or (trial.number, trial.server) != (number, server):
            raise Violation("fence", f"attempt {number} of {task_id} on {server} ended; under way is {trial}")
        if outcome == "lost" and (self._recovery or trial.node in self._facts.gone):
            self._words.lost((task_id, number), trial.node)
        elif outcome == "lost":
            self._check_lost(task_id, self._boxes.by_id[server])
        task.trial = None
        task.last_outcome = outcome
        if outcome != "completed":
            task.history[outcome] = task.history.get(outcome, 0) + 1
            self._tasks.outcomes[outcome] += 1
        self._tasks.counters.attempt(self._now, task, trial, outcome)
        attempt = task_id, number
        given_up = (
            outcome in ("cancelled", "lost")
            or (outcome == "timeout" and not self._facts.say(task, "timeout"))
            or (outcome == "failed" and self._facts.cut_off(task))
        )
        hearsay = self._facts.without_proof(task)
        task.hearsay = task.hearsay or hearsay
        if given_up or hearsay:  # its backend may still be at it
            self.given_up.add(attempt)
        self._boxes.over(self._now, attempt, given_up=given_up and attempt not in self._facts.freeing)
        if outcome in ("failed", "timeout"):
            task.failures += 1
            task.avoid = server
        elif outcome == "lost":
            task.lost += 1
        self._just_over[task_id] = outcome

    def _check_lost(self, task_id: str, box: Box) -> None:
        silent = self._now - box.heard_at
        if not (box.removing or (box.state == "offline" and silent >= self._offline_grace)):
            raise Violation("lost", f"an attempt of {task_id} was given up, last heard of {silent} ms ago: {box}")

    def changed(self, task_id: str, status: str) -> None:
        """A task's status changed."""
        task = self._tasks.by_id.get(task_id)
        if task is None:
            raise Violation("rows", f"{task_id} changed to {status} and was never admitted")
        outcome = self._just_over.pop(task_id, "")
        if status == "PROCESSING":
            if task.status != "PROCESSING":
                raise Violation("dispatch", f"{task_id} is said to run and is {task.status}")
        elif status == "PENDING":
            self._goes_back(task, outcome)
        else:
            if why := self._unjustified(task, status, outcome):
                raise Violation("fate", f"{task_id} ended as {status}: {why} ({task}, {outcome})")
            self._tasks.end(self._now, task, status)

    def _goes_back(self, task: Known, outcome: str) -> None:
        if task.ended:
            if not self._facts.has(task.id, "retry"):
                raise Violation("ended is final", f"{task.id} was {task.status} and came back by itself")
            self._tasks.reopen(self._now, task)
            return
        task.status = "PENDING"
        if outcome in ("failed", "timeout"):
            if self._spent(task, outcome):
                raise Violation("retries", f"{task.id} failed {task.failures} times and was queued again")
            if not task.retried:
                task.retried = True
                self._tasks.counters.add(task, "retried")
            self._tasks.move_back(task)
        elif outcome == "lost":
            if self._lost_for_good(task):
                raise Violation("retries", f"{task.id} was lost {task.lost} times and was queued again")
        elif outcome not in ("declined", "unreached", "misconfigured"):
            raise Violation("fate", f"{task.id} was queued again after {outcome or 'nothing'}")

    def _spent(self, task: Known, outcome: str) -> bool:
        return task.failures > task.spec["max_retries"] or self._facts.say(task, outcome, final=True)

    def _lost_for_good(self, task: Known) -> bool:
        return task.spec["max_retries"] == 0 or task.lost > self._max_lost

    def _unjustified(self, task: Known, status: str, outcome: str) -> str:
        """Why a task must not end so; '' when it may."""
        by_attempt = outcome in ("completed", "failed", "timeout", "lost")
        task.ended_by = task.attempts if by_attempt else None
        by_hand = outcome in ("", "cancelled")  # or by a limit; a running attempt was then cancelled
        if by_hand and self._facts.judged(task, status):
            return ""
        if status == "CANCELLED":
            return "" if self._facts.has(task.id, "cancel") else "nobody cancelled it"
        if status == "COMPLETED":
            if not outcome and self._facts.say(task, "completed"):  # a late word of an attempt that was given up
                task.ended_by = task.attempts
                task.hearsay = task.hearsay or self._facts.without_proof(task)
                return ""
            return "" if outcome == "completed" else "its latest attempt did not complete"
        if status == "TIMEOUT" and by_hand:
            limits = [limit for limit in (task.deadline, task.queue_deadline) if limit is not None]
            return "" if limits and min(limits) <= self._now else "no limit of it has passed"
        if status == "FAILED" and outcome == "lost":
            return "" if self._lost_for_good(task) else "it may be lost more often"
        if outcome == {"FAILED": "failed", "TIMEOUT": "timeout"}[status]:
            return "" if self._spent(task, outcome) else "it has retries left"
        return "without a reason"

    def told(self, ref: int, task_id: str, status: str) -> None:
        """A call on a task took effect: note what the log of changes does not show."""
        task = self._tasks.by_id[task_id]
        fact: Any = next(fact for fact in self._facts.of(task_id) if fact[1] == ref)
        if fact[0] == "retry" and task.status == "PENDING":
            task.queued_at = self._now
            task.due_at = None
            task.not_before = 0
        elif fact[0] == "purge":
            task.purged = True
        if status != task.status:
            raise Violation("answer", f"{fact} was answered {status}, the task is {task.status}")
