"""The oracle for several nodes: the rules for one hold over the log of all their turns, and what nodes owe each other.

Shares no code with Taskyard and imports nothing of it. Beside the entries that `oracle` has:

| author | what                 | details                                                                            |
|--------|----------------------|------------------------------------------------------------------------------------|
| store  | turn, recovered      | epoch, node, and as `host` has it: when, by the node's clock, facts, effects, …    |
| store  | …                    | among the effects `placed`: a task that was stored before has got its place        |
| store  | looked               | the same without an epoch, of a turn that had nothing to store                     |
| store  | takes_in             | node, tasks (id, key, hash, expiry), lines (kind, task, attempt)                   |
| store  | took, kept, left_to  | the right to decide: node and epoch, epoch, epoch                                  |
| store  | beat, left           | node                                                                               |
| store  | sweeps               | as `host` has it                                                                   |
| node   | dies, …              | node                                                                               |
| node   | calls                | node, ref: a submission goes there                                                 |
| node   | connects             | task, attempt: it went on with a connection that it was making when it was frozen |
| fate   | begins, ends         | what befalls nodes or their ways to each other                                     |
"""

from __future__ import annotations

from typing import Any

from taskyard.prove.oracle.box import Attempt
from taskyard.prove.oracle.facts import ABOUT_TASKS, TurnFacts
from taskyard.prove.oracle.members import Members
from taskyard.prove.oracle.oracle import Oracle
from taskyard.prove.oracle.submissions import Submissions
from taskyard.prove.oracle.violation import Violation
from taskyard.prove.oracle.words import Words

# A node's clock follows the database's: by so much it may be behind, since messages take their time.
BEHIND_MS = 13_000
AHEAD_MS = 1
# What was sent before its node was given up may arrive as late as this.
UNDER_WAY_MS = 100


class NodeWords(Words):
    """What was said, by which node it was stored, and what was given up with a node."""

    members: Members

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.stored: dict[Attempt, int] = {}
        self.lost_at: dict[Attempt, int] = {}
        self.decided_by: dict[Attempt, str] = {}

    def lost(self, attempt: Attempt, node: str) -> None:
        """An attempt is given up because its node is gone, or before it was sent by the very node that had decided it,
        when that one does not know what became of the turn."""
        if node == self.members.decider == self.decided_by.get(attempt):
            super().lost(attempt, node)
            return
        self.members.check_lost(attempt, node, self.stored.get(attempt))
        self.lost_at[attempt] = self.members.at


class NodeSubmissions(Submissions):
    """Calls on several nodes: one that does not decide answers once a task is stored, before it has its place."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._went_to: dict[int, tuple[str, int]] = {}  # ref -> node, and the how manieth entry that was
        self._refs: dict[str, int] = {}
        self._answered: dict[str, dict[str, int]] = {}  # node -> tasks that were acknowledged and have no place yet
        self._entries = 0

    def crashed(self) -> None:
        """Which calls get no answer is nobody's promise here, as long as trouble goes on."""

    def recovered(self) -> None:
        """See `crashed`."""

    def goes_to(self, node: str, ref: int) -> None:
        """A client's call goes to a node."""
        self._entries += 1
        self._went_to[ref] = node, self._entries

    def read(self, what: str, ref: int, *details: Any) -> None:
        """Judge an entry of a client. Raises `Violation`."""
        self._entries += 1
        if what == "submits":
            self._refs[details[0]["id"]] = ref
        super().read(what, ref, *details)
        if what == "acked" and details[0] in self.taken and not details[1]:
            node, _ = self._went_to[ref]
            self._answered.setdefault(node, {})[details[0]] = self._entries

    def takes_in(self, tasks: list[Any]) -> None:
        """A node stored tasks. Raises `Violation`."""
        for task_id, key, body, expires_at in tasks:
            spec, _ = self._made[self._refs[task_id]]
            if spec["unstorable"]:
                raise Violation("one bad fact spoils only itself", f"{spec} was taken")
            if key is not None:
                name = spec["owner"], key
                known = self.keys.get(name)
                if known is not None and known[2] > spec["created_at"]:
                    raise Violation("idempotency", f"key {name} made {known} and now {task_id}")
                self.keys[name] = body, task_id, expires_at
            self.taken[task_id] = spec

    def place(self, now: int, task_id: str) -> None:
        """A turn gave a stored task its place. Raises `Violation`."""
        spec = self.taken.pop(task_id, None)
        if spec is None:
            raise Violation("admitted once", f"{task_id} was given a place, and it has one or was never stored")
        self._in_order(task_id)
        self._tasks.admit(now, spec)

    def _admitted(self, now: int, spec: dict[str, Any], task_id: str, replayed: bool) -> None:
        if not replayed:
            self._in_order(task_id)
        super()._admitted(now, spec, task_id, replayed)

    def _in_order(self, task_id: str) -> None:
        """What one node acknowledged before this task came to it has its place before."""
        node, came = self._went_to.get(self._refs[task_id], ("", 0))
        waiting = self._answered.get(node, {})
        waiting.pop(task_id, None)
        for other, answered in waiting.items():
            if answered < came:
                raise Violation(
                    "order", f"{task_id} has its place before {other}, acknowledged by {node} before it came"
                )


class NodesOracle(Oracle):
    """Reads the journal of several nodes."""

    submissions: NodeSubmissions
    _words: NodeWords

    def __init__(self, *limits: int, silence: int, one_machine: bool) -> None:
        super().__init__(*limits)
        self.members = self._words.members = Members(silence, one_machine=one_machine)
        self._ahead_of: dict[str, int] = {}
        self._late: set[Attempt] = set()

    def _make_words(self) -> Words:
        return NodeWords(self.reached)

    def _make_submissions(self, key_life: int) -> Submissions:
        return NodeSubmissions(self.tasks, key_life)

    def read(self, entry: tuple[Any, ...]) -> None:
        """Judge one entry. Raises `Violation`."""
        at, author, what, *details = entry
        self.members.at = at
        if author == "store":
            self._read_store(what, details)
        elif author == "node":
            self._read_node(what, details)
        elif author == "fate":
            self.members.trouble(begins=what == "begins")
        else:
            super().read(entry)

    def _read_node(self, what: str, details: list[Any]) -> None:
        if what == "dies":
            self.members.died(*details)
        elif what == "calls":
            self.submissions.goes_to(*details)
        elif what == "connects":
            self._late.add((details[0], details[1]))

    def _read_store(self, what: str, details: list[Any]) -> None:
        members = self.members
        if what == "turn":
            epoch, node, *rest = details
            members.committed(node, epoch)
            self._check_time(node, *rest[:2])
            self._turn(*rest[1:])
        elif what == "recovered":
            epoch, node, *rest = details
            members.recovered(node, epoch)
            self._check_time(node, *rest[:2])
            now, facts, effects, rows, again = rest[1:]
            self._recovered(now, facts, effects, rows, again, draining=False)
        elif what == "looked" and details[0] == members.decider:
            self._turn(*details[2:])
        elif what == "looked":
            self._looked(*details[2:5])
        elif what == "takes_in":
            _, tasks, lines = details
            self.submissions.takes_in(tasks)
            for kind, task_id, attempt in lines:
                if kind == "Ended":
                    self._words.stored.setdefault((task_id, attempt), members.at)
        elif what == "sweeps":
            self._read_host(what, details)
        elif what == "took":
            members.took(*details)
        elif what == "kept":
            members.kept(*details)
        elif what == "left_to":
            members.handed_over(*details)
        elif what == "beat":
            members.heard(*details)
        elif what == "left":
            members.left(*details)
        else:
            raise ValueError(what)

    def _looked(self, now: int, facts: list[Any], effects: list[Any]) -> None:
        """A turn without a transaction, of a node that decides no longer: what it answers must be so all the same."""
        said = TurnFacts(self.tasks, facts, effects)
        for fact in said.all:
            task = self.tasks.by_id.get(fact[2]) if fact[0] in ABOUT_TASKS else None
            answer = said.answers.get(fact[1])
            if task is None or answer is None:
                continue
            if answer[2] == "task" and answer[4] != task.status:
                raise Violation("answer", f"{fact} was answered {answer[4]}, the task is {task}")
            under_way = task.trial is not None and task.trial.number == fact[3]
            if fact[0] == "called_back" and under_way and answer[2] == "refused":
                raise Violation("callbacks are heard", f"{fact} speaks of an attempt under way: {task}")

    def _check_time(self, node: str, at: int, now: int) -> None:
        if now < self._stored_at:
            raise Violation("time", f"a task was admitted or tried at {self._stored_at}, and now it is {now}")
        ahead = now - at
        if not -BEHIND_MS <= ahead <= AHEAD_MS or ahead < self._ahead_of.get(node, ahead):
            raise Violation("time", f"{node} is {ahead} ms ahead of the database, before {self._ahead_of.get(node)}")
        self._ahead_of[node] = ahead

    def _effect(self, effect: Any, dispatched: list[Any]) -> None:
        if effect[0] == "placed":
            self.submissions.place(self._now, effect[1])
            return
        super()._effect(effect, dispatched)
        if effect[0] == "dispatch":
            self._words.decided_by[effect[1], effect[2]] = self.members.decider

    def _begins(self, server: str, task_id: str, number: int, payload: str) -> None:
        lost_at = self._words.lost_at.get((task_id, number))
        if lost_at is not None and self.members.at - lost_at > UNDER_WAY_MS and (task_id, number) not in self._late:
            late = self.members.at - lost_at
            raise Violation("given up is not sent", f"{server} got attempt {number} of {task_id} {late} ms after that")
        super()._begins(server, task_id, number, payload)

    def overdue(self, now: int) -> None:
        """See `Oracle`; as long as nothing befalls the nodes. Raises `Violation`."""
        quiet = self.members.quiet_for()
        if quiet:
            self._queue.overdue(now, max(self.started_at, now - quiet))
        for task in self.tasks.live.values():
            trial = task.trial
            if trial is not None and not trial.accepted and self.members.dead_too_long(trial.node):
                raise Violation("lost in time", f"{trial.node} is dead and was sending {task}")

    def all_taken(self, lines: int) -> None:
        """The run is over: nothing that a node stored is left behind. Raises `Violation`."""
        if lines or self.submissions.taken:
            told = f"{lines} lines, {sorted(self.submissions.taken)[:3]}"
            raise Violation("what is stored is taken", f"no turn took what nodes had stored: {told}")
