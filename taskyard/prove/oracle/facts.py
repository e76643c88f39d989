"""What the facts of one turn say, for the oracle: by task, with the answers that the turn gave to them.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from typing import Any

from taskyard.prove.oracle.box import Attempt
from taskyard.prove.oracle.tasks import Known, Tasks

WORD_OUTCOMES = {
    "COMPLETED": "completed",
    "FAILED": "failed",
    "TIMEOUT": "timeout",
    "CANCELLED": "declined",
    "PENDING": "declined",
}
ABOUT_TASKS = frozenset({"ended", "called_back", "slot_freed", "cancel", "judged", "retry", "purge"})


class TurnFacts:
    """The facts of a turn, in order. `freeing` are the attempts of which a backend says that it is done with them."""

    def __init__(self, tasks: Tasks, facts: list[Any], effects: list[Any]) -> None:
        self.all = [_resolved(fact, tasks) for fact in facts]
        self.answers: dict[int, Any] = {effect[1]: effect for effect in effects if effect[0] == "answer"}
        self.freeing: set[Attempt] = set()
        self.gone = {fact[2] for fact in self.all if fact[0] == "node_gone"}
        self._by_task: dict[str, list[Any]] = {}
        for fact in self.all:
            if fact[0] in ABOUT_TASKS:
                self._by_task.setdefault(fact[2], []).append(fact)
                self._note_freeing(fact)

    def _note_freeing(self, fact: Any) -> None:
        kind = fact[0]
        if (
            kind == "slot_freed"
            or (kind == "called_back" and fact[4] != "PROCESSING" and not self._unknown(fact))
            or (kind == "ended" and fact[4] != "accepted" and fact[5] is not None)
        ):
            self.freeing.add((fact[2], fact[3]))

    def _unknown(self, fact: Any) -> bool:
        """Whether a call was told that there is no such task any more."""
        answer: tuple[Any, ...] = self.answers.get(fact[1], ())
        return answer[2:] == ("refused", "not_found")

    def of(self, task_id: str) -> list[Any]:
        """The facts about a task."""
        return self._by_task.get(task_id, [])

    def taken(self, fact: Any) -> bool:
        """Whether a call was not refused."""
        return fact[1] not in self.answers or self.answers[fact[1]][2] != "refused"

    def has(self, task_id: str, kind: str) -> bool:
        """Whether there is such a fact about the task."""
        return any(fact[0] == kind for fact in self.of(task_id))

    def ended_before(self, fact: Any) -> bool:
        """Whether an earlier fact of this turn ended the attempt that this one speaks of."""
        for earlier in self.of(fact[2]):
            if earlier is fact:
                return False
            if earlier[0] == "called_back" and earlier[3] == fact[3] and earlier[4] != "PROCESSING":
                return True
            if earlier[0] == "ended" and earlier[3] == fact[3] and earlier[4] != "accepted":
                return True
            if earlier[0] in ("cancel", "judged") and self.taken(earlier):
                return True
        return False

    def say(self, task: Known, outcome: str, *, final: bool = False) -> bool:
        """Whether a backend says that the latest attempt ended so (`final`: and that retries are pointless)."""
        for fact in self.of(task.id):
            about = fact[3] == task.attempts
            if fact[0] == "called_back" and about and WORD_OUTCOMES.get(fact[4]) == outcome and not final:
                return True
            if fact[0] == "ended" and about and fact[4] == outcome and (fact[-2] or not final):
                return True
        return False

    def cut_off(self, task: Known) -> bool:
        """Whether the node closed the connection of the latest attempt."""
        return any(fact[0] == "ended" and fact[3] == task.attempts and fact[-1] for fact in self.of(task.id))

    def without_proof(self, task: Known) -> bool:
        """Whether somebody speaks of the latest attempt who need not be its backend."""
        return any(fact[0] == "called_back" and not fact[-1] for fact in self.of(task.id))

    def judged(self, task: Known, status: str) -> bool:
        """Whether somebody ended the task so by hand."""
        return any(fact[0] == "judged" and fact[4] == status for fact in self.of(task.id))


def _resolved(fact: Any, tasks: Tasks) -> Any:
    """A callback without a proof speaks of the latest attempt; whether it had one stands at its end."""
    if fact[0] != "called_back":
        return fact
    if fact[3] is not None:
        return (*fact, True)
    task = tasks.by_id.get(fact[2])
    return (*fact[:3], task.attempts if task else 0, *fact[4:], False)
