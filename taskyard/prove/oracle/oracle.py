"""The oracle: judges a run by the journal that clients, backends and the host wrote, turn by turn.

It keeps a ledger of tasks and one of servers from the log of committed turns, and raises `Violation` at the first
promise that is broken. Shares no code with Taskyard and imports nothing of it; `database` adds what only the
database can tell.

| author  | what             | details                                                                             |
|---------|------------------|-------------------------------------------------------------------------------------|
| client  | submits          | ref, spec                                                                           |
| client  | acked            | ref, task, replayed                                                                 |
| client  | refused          | ref, code                                                                           |
| client  | shed, unanswered | ref                                                                                 |
| host    | starts           |                                                                                     |
| host    | turn             | when, by the node's clock, facts, effects, queue rows (task, avoid, due), more due? |
| host    | recovered        | the same, of the plan with which a node starts; whether it drains                   |
| host    | crash            | stage                                                                               |
| host    | hears            | task, attempt: the dispatcher was told how it ended                                 |
| host    | refuses, sheds   | kind of fact, ref, for an end also task and attempt                                 |
| host    | sweeps           | ended before, keys expired before, most                                             |
| backend | begins           | server, task, attempt, payload                                                      |
| backend | ends             | server, task, attempt                                                               |
| backend | answers, …       | server, task, attempt, what it says (see `words`)                            |
"""

from __future__ import annotations

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from taskyard.prove.oracle.box import Attempt
from taskyard.prove.oracle.facts import ABOUT_TASKS, TurnFacts
from taskyard.prove.oracle.fates import Fates
from taskyard.prove.oracle.queue import Queue
from taskyard.prove.oracle.servers import Boxes
from taskyard.prove.oracle.submissions import Submissions
from taskyard.prove.oracle.tasks import Known, Tasks
from taskyard.prove.oracle.violation import Violation
from taskyard.prove.oracle.words import Words

RECOVERY_GRACE_MS = 60_000
CONSERVATION_EVERY = 4


class Oracle:
    """Reads the journal. The arguments are limits that the run was told, in ms, and how often a task may be lost."""

    def __init__(self, linger: int, offline_grace: int, key_life: int, max_lost: int, elsewhere: int) -> None:
        self.tasks = Tasks()
        self.reached: Counter[str] = Counter()
        self.boxes = Boxes(linger, self.reached)
        self.submissions = self._make_submissions(key_life)
        self.turns = 0
        self.started_at = 0
        self.more = False  # the last turn left something to be done at once
        self._words = self._make_words()
        self._queue = Queue(self.tasks, self.boxes, elsewhere)
        self._fates = Fates(self.tasks, self.boxes, self._words, max_lost, offline_grace, elsewhere)
        self._active: defaultdict[str, dict[Attempt, int]] = defaultdict(dict)  # backend -> attempt -> slots then
        self._now = 0
        self._stored_at = 0  # by the node's clock, the last turn that admitted or tried a task
        self._ahead: int | None = None  # of the node's clock, in this life of the process

    def _make_words(self) -> Words:
        return Words(self.reached)

    def _make_submissions(self, key_life: int) -> Submissions:
        return Submissions(self.tasks, key_life)

    def read(self, entry: tuple[Any, ...]) -> None:
        """Judge one entry. Raises `Violation`."""
        _, author, what, *details = entry
        if author == "host":
            self._read_host(what, details)
        elif author == "client":
            self.submissions.read(what, *details)
        elif what == "begins":
            self._begins(*details)
        elif what == "ends":
            self._active[details[0]].pop((details[1], details[2]), None)
        elif what == "is turned away":
            if details[1] in self.tasks.by_id and not self.tasks.may_be_gone(details[1]):
                raise Violation("proof", f"{details} called back under its own proof and was turned away")
        else:
            self._words.read(what, *details)

    def _read_host(self, what: str, details: list[Any]) -> None:
        if what == "turn":
            self._tell_time(*details[:2])
            self._turn(*details[1:])
        elif what == "recovered":
            self._tell_time(*details[:2])
            self._recovered(*details[1:])
        elif what == "hears":
            self._words.heard((details[0], details[1]))
        elif what == "starts":
            self._words.died()
            self._ahead = None
        elif what == "crash":
            self.submissions.crashed()
        elif what == "refuses":
            self._refuses(*details)
        elif what == "sheds":
            self._words.shed(*details)
        elif what == "sweeps":
            ended_before, self.submissions.keys_swept, most = details
            self.reached["swept"] += self.tasks.sweep(ended_before, most)

    def _tell_time(self, at: int, now: int) -> None:
        """The node's clock moves with the monotonic one; from life to life it never goes back."""
        if now < self._stored_at:
            raise Violation("time", f"a task was admitted or tried at {self._stored_at}, and now it is {now}")
        if self._ahead is None:
            self.reached["starts with the clock set back"] += now > at and self._now > at
            self.reached["starts with the clock put forward"] += now - max(at, self._now) > RECOVERY_GRACE_MS
        elif now - at != self._ahead:
            raise Violation("time", f"the node's clock went {now - at - self._ahead} ms astray while it ran")
        self._ahead = now - at

    def _refuses(self, kind: str, ref: int, *about: Any) -> None:
        if self.submissions.is_unstorable(ref):
            self.reached["unstorable Submitted"] += 1
        else:
            self._words.refused(kind, ref, *about)

    # --- backends ----------------------------------------------------------------------------------------------------

    def _begins(self, server: str, task_id: str, number: int, payload: str) -> None:
        task = self.tasks.by_id.get(task_id)
        if task is None or number > task.attempts:
            raise Violation(
                "dispatch after commit", f"{server} got attempt {number} of {task_id}, which no turn decided"
            )
        if payload != task.spec["payload"]:
            raise Violation("payload", f"{server} got {payload!r} for {task_id}")
        attempt = task_id, number
        self._words.began(attempt)
        active = self._active[server]
        active[attempt] = self.boxes.ceilings[attempt]
        held = [one for one in active if one not in self._fates.given_up or one in self.boxes.attempts]
        if len(held) > max(active.values()):
            raise Violation("slots", f"{server} works on {held}, more than its {max(active.values())} slots")

    # --- turns -------------------------------------------------------------------------------------------------------

    def overdue(self, now: int) -> None:
        """No live task is past a limit by more than a turn may take. Raises `Violation`."""
        self._queue.overdue(now, self.started_at)

    def unfinished(self) -> list[Known]:
        """Live tasks that a server could take or has; call it at the end of a run."""
        return self._queue.unfinished()

    def _recovered(
        self, now: int, facts: list[Any], effects: list[Any], rows: list[Any], again: bool, draining: bool
    ) -> None:
        self.started_at = now
        self.submissions.recovered()
        self.boxes.recovered(now, draining=draining)
        for task in self.tasks.live.values():
            if task.trial is not None:
                if task.trial.limit_at == task.trial.started_at + task.spec["timeout"]:  # it is put off once
                    task.trial.limit_at = max(task.trial.limit_at, now + RECOVERY_GRACE_MS)
                task.trial.beat_at = now
        self._decided(now, facts, effects, rows, recovery=True)
        self._queue.held(now, begun=True)
        self.more = True

    def _turn(self, now: int, facts: list[Any], effects: list[Any], rows: list[Any], again: bool) -> None:
        self.turns += 1
        self.boxes.expire(now)
        dispatched = self._decided(now, facts, effects, rows)
        self.more = again
        if not again:
            self._queue.tiers(now, dispatched)
        if self.boxes.draining or any(task.avoid for task in dispatched):
            self._queue.held(now, begun=True)
        if not again and self.turns % CONSERVATION_EVERY == 0 and not self.boxes.draining:
            self._queue.conservation(now)
            self._queue.held(now, begun=False)

    def _decided(
        self, now: int, facts: list[Any], effects: list[Any], rows: list[Any], *, recovery: bool = False
    ) -> list[Known]:
        self._now = now
        if any(effect[0] in ("dispatch", "over") or effect[2::2] == ("submit", False) for effect in effects):
            self._stored_at = now
        said = TurnFacts(self.tasks, facts, effects)
        self._fates.begin(now, said, recovery=recovery)
        for fact in said.all:
            self._words.taken(fact)
            self._note(fact, said)
        gone = _gone_at_once(effects) if any(fact[0] == "unregistered" for fact in facts) else {}
        self.boxes.take(now, said.all, said.answers, set(gone.values()))
        for attempt in said.freeing:
            box = self.boxes.attempts.get(attempt)
            if box is not None and box.slots[attempt] is not None:
                self.boxes.free(attempt)
        dispatched: list[Known] = []
        for number, effect in enumerate(effects):
            if number not in gone:
                self._effect(effect, dispatched)
        self._fates.finish()
        self.boxes.believe()
        for task_id, avoid, due_at in rows:
            self._queue.row(now, task_id, avoid, due_at)
        self._queue.order(dispatched)
        return dispatched

    def _note(self, fact: Any, said: TurnFacts) -> None:
        """What a fact says of an attempt under way, and whether a call that should be refused was."""
        kind = fact[0]
        if kind not in ABOUT_TASKS or (task := self.tasks.by_id.get(fact[2])) is None:
            return
        trial = task.trial if task.trial is not None and task.trial.number == fact[3] else None
        if kind == "ended":
            if trial is not None and not said.ended_before(fact):
                trial.responded_at = trial.responded_at if fact[-3] is None else fact[-3]
                trial.accept(self._now, fact[4] == "accepted")
        elif kind == "called_back":
            if fact[3] != task.attempts:
                self.reached["callbacks of superseded attempts"] += 1
                if said.taken(fact):
                    raise Violation("fence", f"attempt {fact[3]} of {task} is not the latest: {fact} was taken")
            elif trial is not None and not said.ended_before(fact):
                self.reached["callbacks before the answer"] += not trial.accepted
                if not said.taken(fact):
                    raise Violation("callbacks are heard", f"{fact} speaks of an attempt under way: {task}")
            if trial is not None:
                trial.accept(self._now, fact[4] == "PROCESSING")
        elif kind != "slot_freed" and fact[3] not in (None, task.spec["owner"]) and said.taken(fact):
            raise Violation("tenants", f"{fact} on a task of {task.spec['owner']} was taken")

    def _effect(self, effect: Any, dispatched: list[Known]) -> None:
        kind = effect[0]
        if kind == "answer":
            if effect[2] == "task":
                self._fates.told(effect[1], *effect[3:])
            else:
                self.submissions.answered(self._now, *effect[1:])
        elif kind == "over":
            self._fates.over(*effect[1:])
        elif kind == "changed":
            self._fates.changed(*effect[1:])
        elif kind == "dispatch":
            dispatched.append(self._fates.dispatch(*effect[1:]))
        elif kind == "server":
            _, server, status = effect
            if status is None:
                self.boxes.removed(server)
            elif server in self.boxes.by_id:
                self.boxes.by_id[server].show(status)


def _gone_at_once(effects: list[Any]) -> dict[int, int]:
    """Servers without tasks, gone as soon as they are unregistered: number of the effect -> ref of the call.

    The id may be registered again in the same turn.
    """
    return {
        number: answer[1]
        for number, (answer, effect) in enumerate(pairwise(effects), 1)
        if effect[0] == "server" and effect[2] is None and answer[0] == "answer" and answer[3:4] == effect[1:2]
    }
