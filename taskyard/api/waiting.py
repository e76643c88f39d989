"""How many calls of each subject wait for a task: for its end, or for its next change."""

from __future__ import annotations

from taskyard.api.problems import TOO_MANY, Problem


class WaitingCalls:
    """How many calls of each subject wait now."""

    def __init__(self) -> None:
        self._by_subject: dict[str, int] = {}

    def enter(self, subject: str, most: int) -> None:
        """One more, of at most so many. Raises `Problem` when there are too many."""
        count = self._by_subject.get(subject, 0)
        if count >= most:
            raise Problem(TOO_MANY, f"{count} calls of yours wait already; poll GET /api/task/<id> instead")
        self._by_subject[subject] = count + 1

    def leave(self, subject: str) -> None:
        """One less."""
        count = self._by_subject[subject] - 1
        if count:
            self._by_subject[subject] = count
        else:
            del self._by_subject[subject]


WAITING = WaitingCalls()
