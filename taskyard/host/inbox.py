"""The inbox: facts that wait for the next turn, in three classes. Ends and callbacks first, submissions last.

Under pressure submissions are shed, other people's calls later, ends and callbacks never.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable

from taskyard.engine.facts import CalledBack, Checked, Ended, Fact, SlotFreed, Submitted
from taskyard.host.errors import Overloaded

SUBMISSIONS_MOST = 20_000
CONTROL_MOST = 20_000
FACT_OVERHEAD = 512  # bytes that a fact without a body counts


class Inbox:
    """Three queues and an event that says that one of them has something."""

    def __init__(self) -> None:
        self._ends: deque[Fact] = deque()
        self._control: deque[Fact] = deque()
        self._submissions: deque[Fact] = deque()
        self.filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ends) + len(self._control) + len(self._submissions)

    def put(self, fact: Fact) -> None:
        """Add a fact. Raises `Overloaded` when its class is full."""
        if isinstance(fact, Submitted):
            if len(self._submissions) >= SUBMISSIONS_MOST:
                raise Overloaded("more submissions wait than a second can take", 1000)
            self._submissions.append(fact)
        elif isinstance(fact, Ended | CalledBack | SlotFreed | Checked):
            self._ends.append(fact)
        else:
            if len(self._control) >= CONTROL_MOST:
                raise Overloaded("more calls wait than a second can take", 1000)
            self._control.append(fact)
        self.filled.set()

    def ended(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs whose end waits to be told."""
        return {(fact.task_id, fact.attempt) for fact in self._ends if isinstance(fact, Ended)}

    def put_back(self, facts: Iterable[Fact]) -> None:
        """Put facts back in front of their classes, in their order."""
        for fact in reversed(list(facts)):
            if isinstance(fact, Submitted):
                self._submissions.appendleft(fact)
            elif isinstance(fact, Ended | CalledBack | SlotFreed | Checked):
                self._ends.appendleft(fact)
            else:
                self._control.appendleft(fact)
            self.filled.set()

    def take(self, most: int, most_bytes: int) -> list[Fact]:
        """The next turn's facts: at most `most`, and bodies of about `most_bytes`, but one at least if there is one."""
        facts: list[Fact] = []
        size = 0
        for queue in (self._ends, self._control, self._submissions):
            while queue and len(facts) < most and size < most_bytes:
                fact = queue.popleft()
                facts.append(fact)
                size += _size(fact)
        if not len(self):
            self.filled.clear()
        return facts


def _size(fact: Fact) -> int:
    if isinstance(fact, Submitted):
        return FACT_OVERHEAD + len(fact.payload)
    if isinstance(fact, Ended | CalledBack):
        return FACT_OVERHEAD + len(fact.result or "")
    return FACT_OVERHEAD
