"""The oracle's ledger of words: what backends really said and clients really sent, against what the node made of it.

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from taskyard.prove.oracle.box import Attempt
from taskyard.prove.oracle.violation import Violation

FINAL = (400, 413, 422)
REFUSED_KEY = (401, 403)


def meaning(status: int, word: str | None, wait: int | None, *, readable: bool, calls_later: bool) -> tuple[Any, ...]:
    """What an answer to a dispatch means by the contract: the outcome, whether it is final, and the wait in ms."""
    if 200 <= status < 300 and status != 202 and not readable:
        return "failed", False, None
    if calls_later:
        return "accepted", False, None
    if status < 300:
        return {None: "completed", "error": "failed", "timeout": "timeout"}[word], False, None
    if status == 429 or (status == 503 and wait is not None):
        return "declined", False, None if wait is None else wait * 1000
    if status in REFUSED_KEY:
        return "misconfigured", False, None
    return "failed", status in FINAL, None


class Words:
    """What was said, by whom. `reached` counts what a run came to."""

    def __init__(self, reached: Counter[str]) -> None:
        self._reached = reached
        self._answers: dict[Attempt, tuple[Any, ...]] = {}
        self._forged: set[int] = set()
        self._shed: set[int] = set()
        self._unstorable: set[object] = set()  # refs of calls and attempts
        self._in_hand: set[Attempt] = set()  # whose end the living process was told
        self._begun: set[Attempt] = set()  # in the life of this process

    # --- what is said ------------------------------------------------------------------------------------------------

    def read(self, what: str, server: str, task: str, number: int, *more: Any) -> None:
        """A word of a backend about an attempt that it has."""
        if what == "answers":
            status, word, wait, readable, calls_later = more
            self._answers[task, number] = meaning(status, word, wait, readable=readable, calls_later=calls_later)
            if not readable:
                self._unstorable.add((task, number))
                self._reached["unreadable answers"] += 1
        elif what == "forges":
            self._forged.add(more[0])
            self._reached["forged callbacks"] += 1
        elif what == "calls_unstorable":
            self._unstorable.add(more[0])

    def began(self, attempt: Attempt) -> None:
        """A backend got an attempt."""
        self._begun.add(attempt)

    def heard(self, attempt: Attempt) -> None:
        """The process was told how a dispatch ended."""
        self._in_hand.add(attempt)

    def died(self) -> None:
        """The process is gone, and what it had been told with it."""
        self._in_hand.clear()
        self._begun.clear()

    # --- what was made of it -----------------------------------------------------------------------------------------

    def taken(self, fact: Any) -> None:
        """A committed turn took a fact in."""
        if fact[1] in self._forged:
            raise Violation("proof", f"{fact} came under the proof of another attempt")
        if fact[1] in self._shed:
            raise Violation("what is shed is not done", f"{fact} was shed")
        if fact[0] == "ended":
            self._ended(fact)

    def _ended(self, fact: Any) -> None:
        _, _, task, number, outcome, status, pause, _, _, final, _ = fact
        self._in_hand.discard((task, number))
        said = self._answers.get((task, number))
        if status is not None and said is not None and (outcome, final, pause) != said:
            raise Violation("answers", f"{fact} was told of an answer that means {said}")

    def refused(self, kind: str, ref: int, *about: Any) -> None:
        """The node says that no turn can take a fact."""
        if ref not in self._unstorable and about not in self._unstorable:
            raise Violation("one bad fact spoils only itself", f"a sound {kind} was refused: {ref} {about}")
        self._reached[f"unstorable {kind}"] += 1

    def shed(self, kind: str, ref: int) -> None:
        """The node sheds a call."""
        self._shed.add(ref)
        if kind in ("Ended", "CalledBack", "SlotFreed", "Checked"):
            raise Violation("callbacks are never shed", kind)
        self._reached["shed submissions" if kind == "Submitted" else "shed calls"] += 1

    def lost(self, attempt: Attempt, node: str) -> None:
        """An attempt of a node is given up as lost by a recovery: nobody in this process may know better."""
        if attempt in self._in_hand:
            raise Violation("an end in hand counts", f"{attempt} is lost, and the node had been told how it ended")
        if attempt in self._begun:
            raise Violation("an end in hand counts", f"{attempt} is lost, and the node was still sending it")
