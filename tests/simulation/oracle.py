"""The oracle: judges a run by the journal that clients, backends and the host wrote, turn by turn.

It keeps a ledger of tasks and one of servers from the log of committed turns, and raises `Violation` at the first
promise that is broken. Shares no code with Taskyard and imports nothing of it; `oracle_database` adds what only the
database can tell.

| author  | what       | details                                                                                   |
|---------|------------|-------------------------------------------------------------------------------------------|
| client  | submits    | ref, spec                                                                                 |
| client  | acked      | ref, task, replayed                                                                       |
| client  | refused    | ref, code                                                                                 |
| client  | unanswered | ref                                                                                       |
| host    | turn       | facts, effects, queue rows (task, avoid, due), whether there is more to do                |
| host    | recovered  | the same, of the plan with which a node starts                                            |
| host    | crash      | stage                                                                                     |
| backend | begins     | server, task, attempt, payload                                                            |
| backend | ends       | server, task, attempt                                                                     |
"""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

from tests.simulation.oracle_servers import Attempt, Boxes, Violation
from tests.simulation.oracle_tasks import Known, Tasks, Trial

WORD_OUTCOMES = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMEOUT": "timeout",
    "CANCELLED": "declined",
    "PENDING": "declined",
}
RECOVERY_GRACE_MS = 60_000
SLACK_MS = 5_000
CONSERVATION_EVERY = 4


class Oracle:
    """Reads the journal. `linger` in ms and `max_lost` are the limits that the run was told."""

    def __init__(self, linger: int, max_lost: int) -> None:
        self.tasks = Tasks()
        self.boxes = Boxes(linger)
        self.keys: dict[tuple[str, str], tuple[str, str]] = {}  # (owner, key) -> (hash, task)
        self.acked: set[str] = set()
        self.turns = 0
        self.started_at = 0
        self.more = False  # the last turn left something to be done at once
        self._max_lost = max_lost
        self._submits: dict[int, dict[str, Any]] = {}
        self._given_up: set[Attempt] = set()
        self._active: defaultdict[str, dict[Attempt, int]] = defaultdict(dict)  # backend -> attempt -> slots then
        # Of the turn under way:
        self._now = 0
        self._facts: dict[str, list[Any]] = {}
        self._answers: dict[int, Any] = {}
        self._freeing: set[Attempt] = set()
        self._just_over: dict[str, str] = {}

    def read(self, entry: tuple[Any, ...]) -> None:
        """Judge one entry. Raises `Violation`."""
        now, author, what, *details = entry
        if author == "host":
            if what == "turn":
                self._turn(now, *details)
            elif what == "recovered":
                self._recovered(now, *details)
        elif author == "client":
            if what == "submits":
                self._submits[details[0]] = details[1]
            elif what == "acked":
                self._acked(*details)
        elif what == "begins":
            self._begins(*details)
        elif what == "ends":
            self._active[details[0]].pop((details[1], details[2]), None)

    # --- clients and backends ----------------------------------------------------------------------------------------

    def _acked(self, ref: int, task_id: str, replayed: bool) -> None:
        spec = self._submits[ref]
        task = self.tasks.by_id.get(task_id)
        if task is None:
            raise Violation("acknowledged is stored", f"{task_id} was acknowledged and no committed turn admitted it")
        if not replayed and task_id != spec["id"]:
            raise Violation("acknowledged is stored", f"{spec['id']} was answered with {task_id}")
        if replayed and (task.spec["owner"], task.spec["key"]) != (spec["owner"], spec["key"]):
            raise Violation("idempotency", f"{task_id} was replayed for another key: {spec}")
        self.acked.add(task_id)

    def _begins(self, server: str, task_id: str, number: int, payload: str) -> None:
        task = self.tasks.by_id.get(task_id)
        if task is None or number > task.attempts:
            raise Violation(
                "dispatch after commit", f"{server} got attempt {number} of {task_id}, which no turn decided"
            )
        if payload != task.spec["payload"]:
            raise Violation("payload", f"{server} got {payload!r} for {task_id}")
        attempt = task_id, number
        active = self._active[server]
        active[attempt] = self.boxes.ceilings[attempt]
        held = [one for one in active if one not in self._given_up or one in self.boxes.attempts]
        if len(held) > max(active.values()):
            raise Violation("slots", f"{server} works on {held}, more than its {max(active.values())} slots")

    # --- turns -------------------------------------------------------------------------------------------------------

    def _recovered(self, now: int, facts: list[Any], effects: list[Any], rows: list[Any], again: bool) -> None:
        self.started_at = now
        self.boxes.recovered(now)
        for task in self.tasks.live.values():
            if task.trial is not None:
                task.trial.limit_at = max(task.trial.limit_at, now + RECOVERY_GRACE_MS)
                task.trial.beat_at = now
        self._decided(now, facts, effects, rows)
        self.more = True

    def _turn(self, now: int, facts: list[Any], effects: list[Any], rows: list[Any], again: bool) -> None:
        self.turns += 1
        self.boxes.expire(now)
        self._decided(now, facts, effects, rows)
        self.more = again
        if not again and self.turns % CONSERVATION_EVERY == 0 and not self.boxes.draining:
            self._conservation()

    def _decided(self, now: int, facts: list[Any], effects: list[Any], rows: list[Any]) -> None:
        self._now = now
        self._just_over.clear()
        answers = self._answers = {effect[1]: effect for effect in effects if effect[0] == "answer"}
        facts = [self._resolve(fact) for fact in facts]
        self._facts.clear()
        self._freeing.clear()
        for fact in facts:
            if fact[0] in _ABOUT_TASKS:
                self._facts.setdefault(fact[2], []).append(fact)
                self._note(fact, answers.get(fact[1]))
        gone = _gone_at_once(effects) if any(fact[0] == "unregistered" for fact in facts) else {}
        self.boxes.take(now, facts, answers, set(gone.values()))
        for attempt in self._freeing:
            box = self.boxes.attempts.get(attempt)
            if box is not None and box.slots[attempt] is not None:
                self.boxes.free(attempt)
        dispatched: list[Known] = []
        for number, effect in enumerate(effects):
            if number not in gone:
                self._effect(effect, dispatched)
        if self._just_over:
            raise Violation("fate", f"attempts ended and their tasks were forgotten: {self._just_over}")
        self.boxes.believe()
        for task_id, avoid, due_at in rows:
            self._row(task_id, avoid, due_at)
        self._order(dispatched)

    def _resolve(self, fact: Any) -> Any:
        """A callback without a proof speaks of the latest attempt."""
        if fact[0] == "called_back" and fact[3] is None:
            task = self.tasks.by_id.get(fact[2])
            return (*fact[:3], task.attempts if task else 0, *fact[4:])
        return fact

    def _note(self, fact: Any, answer: Any) -> None:
        """What the facts about a task say of its attempts, and whether the answers to them are right."""
        kind, _, task_id = fact[:3]
        task = self.tasks.by_id.get(task_id)
        if kind == "ended":
            _, _, _, number, outcome, http_status, *_, responded_at, _, _ = fact
            if outcome != "accepted" and http_status is not None:
                self._freeing.add((task_id, number))
            if task and task.trial and task.trial.number == number and not self._spoken(task_id, fact):
                if responded_at is not None:
                    task.trial.responded_at = responded_at
                if outcome == "accepted":
                    task.trial.accepted = True
                    task.trial.beat_at = self._now
        elif kind == "slot_freed":
            self._freeing.add((task_id, fact[3]))
        elif kind == "called_back":
            number, word = fact[3:5]
            if word != "PROCESSING":
                self._freeing.add((task_id, number))
            elif task and task.trial and task.trial.number == number:
                task.trial.accepted = True
                task.trial.beat_at = self._now
            if task and number != task.attempts and answer is not None and answer[2] != "refused":
                raise Violation("fence", f"attempt {number} of {task_id} is not the latest ({task.attempts}): {answer}")
        elif task and fact[3] not in (None, task.spec["owner"]) and answer is not None and answer[2] != "refused":
            raise Violation("tenants", f"{fact} on a task of {task.spec['owner']}: {answer}")

    def _spoken(self, task_id: str, fact: Any) -> bool:
        """Whether an earlier fact of this turn ended the attempt that this one speaks of."""
        for earlier in self._facts[task_id]:
            if earlier is fact:
                return False
            if earlier[0] == "called_back" and earlier[3] == fact[3] and earlier[4] != "PROCESSING":
                return True
            if earlier[0] in ("cancel", "judged") and self._answers[earlier[1]][2] != "refused":
                return True
        return False

    # --- effects -----------------------------------------------------------------------------------------------------

    def _effect(self, effect: Any, dispatched: list[Known]) -> None:
        kind = effect[0]
        if kind == "answer":
            self._answer(effect)
        elif kind == "over":
            self._over(*effect[1:])
        elif kind == "changed":
            self._changed(*effect[1:])
        elif kind == "dispatch":
            self._dispatch(effect, dispatched)
        elif kind == "server":
            _, server, status = effect
            if status is None:
                self.boxes.removed(server)
            elif server in self.boxes.by_id:
                self.boxes.by_id[server].show(status)

    def _answer(self, effect: Any) -> None:
        _, ref, kind, *details = effect
        spec = self._submits.get(ref)
        if kind == "submit":
            assert spec is not None
            task_id, replayed = details
            name = spec["owner"], spec["key"]
            known = self.keys.get(name) if spec["key"] is not None else None
            if known is None and replayed:
                raise Violation("idempotency", f"{task_id} was replayed for a key that was never used: {name}")
            if known is not None and (not replayed or known != (spec["hash"], task_id)):
                raise Violation("idempotency", f"key {name} made {known} and now {task_id} ({spec['hash']})")
            if not replayed:
                self.tasks.admit(self._now, spec)
                if spec["key"] is not None:
                    self.keys[name] = spec["hash"], task_id
        elif kind == "refused" and spec is not None and details[0] == "key_reused":
            known = self.keys.get((spec["owner"], spec["key"]))
            if known is None or known[0] == spec["hash"]:
                raise Violation("idempotency", f"key {spec['key']} was refused as reused: {known}")
        elif kind == "task":
            self._task_told(ref, *details)

    def _task_told(self, ref: int, task_id: str, status: str) -> None:
        """A call on a task took effect: note what the log of changes does not show."""
        task = self.tasks.by_id[task_id]
        fact = next(fact for fact in self._facts[task_id] if fact[1] == ref)
        if fact[0] == "retry" and task.status == "PENDING":
            task.queued_at = self._now
            task.due_at = None
            task.not_before = 0
        elif fact[0] == "purge":
            task.purged = True
        if status != task.status:
            raise Violation("answer", f"{fact} was answered {status}, the task is {task.status}")

    def _dispatch(self, effect: Any, dispatched: list[Known]) -> None:
        _, task_id, number, server, limit_at = effect
        task = self.tasks.by_id.get(task_id)
        now = self._now
        if task is None or task.status != "PENDING":
            raise Violation("dispatch", f"{task_id} was dispatched and is {task and task.status}")
        if number != task.attempts + 1:
            raise Violation("attempts without gaps", f"{task_id} had attempt {task.attempts}, now {number}")
        if max(task.due_at or 0, task.not_before) > now:
            raise Violation("not before", f"{task} was dispatched at {now}")
        if task.avoid == server and (other := self._elsewhere(task)):
            raise Violation("elsewhere", f"{task_id} failed on {server} and went there again, {other} is alive")
        self.boxes.dispatched(now, (task_id, number), server, task.lane)
        if number == 1:
            self.tasks.counters.add(task, "waits")
            self.tasks.counters.add(task, "wait_ms", max(0, now - task.queued_at))
        if limit_at != now + task.spec["timeout"]:
            raise Violation("timeout", f"attempt {number} of {task_id} ends at {limit_at}")
        task.attempts = number
        task.trial = Trial(number, server, now, limit_at, beat_at=now)
        task.status, task.ready, task.due_at, task.queue_deadline = "PROCESSING", False, None, None
        dispatched.append(task)

    def _elsewhere(self, task: Known) -> str:
        for box in self.boxes.by_id.values():
            if box.id != task.avoid and box.has(task.lane) and box.serving() and not box.unsure:
                return box.id
        return ""

    def _over(self, task_id: str, number: int, server: str, outcome: str) -> None:
        task = self.tasks.by_id[task_id]
        trial = task.trial
        if trial is None or (trial.number, trial.server) != (number, server):
            raise Violation("fence", f"attempt {number} of {task_id} on {server} ended; under way is {trial}")
        task.trial = None
        task.last_outcome = outcome
        if outcome != "completed":
            task.history[outcome] = task.history.get(outcome, 0) + 1
        self.tasks.counters.attempt(self._now, task, trial, outcome)
        attempt = task_id, number
        given_up = outcome in ("cancelled", "lost") or (
            outcome == "timeout" and not self._said(task, number, "timeout")
        )
        if outcome == "failed":
            given_up = any(
                fact[0] == "ended" and fact[3] == number and fact[-1] for fact in self._facts.get(task_id, ())
            )
        if given_up:
            self._given_up.add(attempt)
        self.boxes.over(self._now, attempt, given_up=given_up and attempt not in self._freeing)
        if outcome in ("failed", "timeout"):
            task.failures += 1
            task.avoid = server
        elif outcome == "lost":
            task.lost += 1
        self._just_over[task_id] = outcome

    def _said(self, task: Known, number: int, outcome: str, *, final: bool = False) -> bool:
        """Whether a fact of this turn says that the attempt ended so (`final`: and that retries are pointless)."""
        for fact in self._facts.get(task.id, ()):
            if fact[0] == "called_back" and fact[3] == number and WORD_OUTCOMES.get(fact[4]) == outcome and not final:
                return True
            if fact[0] == "ended" and fact[3] == number and fact[4] == outcome and (fact[-2] or not final):
                return True
        return False

    def _changed(self, task_id: str, status: str) -> None:
        task = self.tasks.by_id.get(task_id)
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
            self.tasks.end(self._now, task, status)

    def _goes_back(self, task: Known, outcome: str) -> None:
        if task.ended:
            if not any(fact[0] == "retry" for fact in self._facts.get(task.id, ())):
                raise Violation("ended is final", f"{task.id} was {task.status} and came back by itself")
            self.tasks.reopen(self._now, task)
            return
        task.status = "PENDING"
        spec = task.spec
        if outcome in ("failed", "timeout"):
            if task.failures > spec["max_retries"] or self._said(task, task.attempts, outcome, final=True):
                raise Violation("retries", f"{task.id} failed {task.failures} times and was queued again")
            if task.failures == 1:
                self.tasks.counters.add(task, "retried")
            self.tasks.move_back(task)
        elif outcome == "lost":
            if spec["max_retries"] == 0 or task.lost > self._max_lost:
                raise Violation("retries", f"{task.id} was lost {task.lost} times and was queued again")
        elif outcome not in ("declined", "unreached", "misconfigured"):
            raise Violation("fate", f"{task.id} was queued again after {outcome or 'nothing'}")

    def _unjustified(self, task: Known, status: str, outcome: str) -> str:
        """Why a task must not end so; '' when it may."""
        facts = self._facts.get(task.id, ())
        task.ended_by = task.attempts if outcome in ("completed", "failed", "timeout", "lost") else None
        if any(fact[0] == "judged" and fact[4] == status for fact in facts) and outcome in ("", "cancelled"):
            return ""
        if status == "CANCELLED":
            return "" if any(fact[0] == "cancel" for fact in facts) else "nobody cancelled it"
        if status == "COMPLETED":
            if outcome == "completed":
                return ""
            if not outcome and self._said(task, task.attempts, "completed"):
                task.ended_by = task.attempts
                return ""
            return "its latest attempt did not complete"
        if status == "TIMEOUT" and outcome in ("", "cancelled"):
            limits = [limit for limit in (task.deadline, task.queue_deadline) if limit is not None]
            return "" if limits and min(limits) <= self._now else "no limit of it has passed"
        if outcome == "lost" and status == "FAILED":
            return "" if task.spec["max_retries"] == 0 or task.lost > self._max_lost else "it may be lost more often"
        if outcome == {"FAILED": "failed", "TIMEOUT": "timeout"}[status]:
            spent = task.failures > task.spec["max_retries"] or self._said(task, task.attempts, outcome, final=True)
            return "" if spent else "it has retries left"
        return "without a reason"

    # --- the queue ---------------------------------------------------------------------------------------------------

    def _row(self, task_id: str, avoid: str, due_at: int | None) -> None:
        self.tasks.queued(self._now, task_id, avoid, due_at)
        if due_at is None:
            return
        task = self.tasks.by_id[task_id]
        latest = self._now
        if task.last_outcome in ("failed", "timeout"):
            latest += min(task.spec["backoff_cap"], task.spec["backoff_base"] << (task.failures - 1))
        elif task.last_outcome == "lost":
            latest += SLACK_MS
        latest = max(latest, task.spec["run_at"] or 0)
        if due_at > latest:
            raise Violation("back-off", f"{task_id} is due at {due_at}, at {latest} at the latest: {task}")

    def _order(self, dispatched: list[Known]) -> None:
        """No task overtakes one of its lane that was ready in this turn or before."""
        worst: dict[Any, Known] = {}
        for task in dispatched:
            if task.lane not in worst or task.key > worst[task.lane].key:
                worst[task.lane] = task
        for lane, task in worst.items():
            left = self.tasks.first_ready(lane)
            if left is not None and left.key < task.key:
                raise Violation("order", f"{task.id} {task.key} overtook {left.id} {left.key} of {lane}")

    def _conservation(self) -> None:
        """No task waits while a server that qualifies for it is free."""
        for lane in self.tasks.waiting_lanes():
            for box in self.boxes.by_id.values():
                if box.has(lane) and box.idle(self._now):
                    raise Violation("nothing stuck", f"{self.tasks.first_ready(lane)} waits beside {box}")

    def overdue(self, now: int) -> None:
        """No live task is past a limit by more than a turn may take. Raises `Violation`."""
        start = self.started_at
        for task in self.tasks.live.values():
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
        live = self.tasks.live.values()
        boxes = self.boxes.by_id.values()
        servable = {lane for lane in {task.lane for task in live} if any(box.has(lane) for box in boxes)}
        return [task for task in live if task.trial is not None or task.lane in servable]


def _gone_at_once(effects: list[Any]) -> dict[int, int]:
    """Servers without tasks, gone as soon as they are unregistered: number of the effect -> ref of the call.

    The id may be registered again in the same turn.
    """
    return {
        number: answer[1]
        for number, (answer, effect) in enumerate(pairwise(effects), 1)
        if effect[0] == "server" and effect[2] is None and answer[0] == "answer" and answer[3:4] == effect[1:2]
    }


_ABOUT_TASKS = frozenset({"ended", "called_back", "slot_freed", "cancel", "judged", "retry", "purge"})
