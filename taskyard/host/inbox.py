"""The inbox: facts that wait for the next turn. Submissions wait behind all others, which keep their order of arrival.

So a cancel and a result are decided as they came. Under pressure submissions are shed first, other people's calls
later, ends and callbacks never.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import Sequence
from itertools import chain

from taskyard.engine.facts import CalledBack, Checked, Ended, Fact, SlotFreed, Submitted
from taskyard.host.errors import Overloaded

FACT_OVERHEAD = 512  # bytes that a fact without a body counts
# What can be said again to another engine: how attempts and checks ended.
REPEATABLE = frozenset({Ended, CalledBack, SlotFreed, Checked})


class Inbox:
    """Two queues and an event that says that one of them has something.

    In front of both stand the parts of a batch that no turn could take as a whole; each makes a turn of its own.
    `submissions_most` and `calls_most` are how many submissions, and calls other than callbacks, may wait.
    """

    def __init__(self, submissions_most: int, calls_most: int) -> None:
        self._submissions_most = submissions_most
        self._calls_most = calls_most
        self._parts: deque[Sequence[Fact]] = deque()
        self._urgent: deque[Fact] = deque()
        self._submissions: deque[Fact] = deque()
        self._calls = 0  # of the urgent ones, those that are neither ends nor callbacks
        self.filled = asyncio.Event()

    def __len__(self) -> int:
        return sum(map(len, self._parts)) + len(self._urgent) + len(self._submissions)

    def put(self, fact: Fact) -> None:
        """Add a fact. Raises `Overloaded` when too many of its kind wait."""
        kind = type(fact)
        if kind is Submitted:
            if len(self._submissions) >= self._submissions_most:
                raise Overloaded("more submissions wait than a second can take", 1000)
            self._submissions.append(fact)
        else:
            if kind not in REPEATABLE:
                if self._calls >= self._calls_most:
                    raise Overloaded("more calls wait than a second can take", 1000)
                self._calls += 1
            self._urgent.append(fact)
        self.filled.set()

    def adopt(self, fact: Fact) -> None:
        """Add a fact that another node stored: it was shed there or nowhere."""
        if type(fact) is Submitted:
            self._submissions.append(fact)
        else:
            self._calls += type(fact) not in REPEATABLE
            self._urgent.append(fact)
        self.filled.set()

    def put_back(self, facts: Sequence[Fact]) -> None:
        """Put facts back in front, in their order."""
        for fact in reversed(facts):
            if type(fact) is Submitted:
                self._submissions.appendleft(fact)
            else:
                self._calls += type(fact) not in REPEATABLE
                self._urgent.appendleft(fact)
        if facts:
            self.filled.set()

    def split(self, facts: Sequence[Fact]) -> None:
        """No turn can take these facts together: let each half make one of its own, before all others."""
        middle = len(facts) // 2
        self._parts.extendleft((facts[middle:], facts[:middle]))
        self.filled.set()

    def take_all(self) -> list[Fact]:
        """Everything that waits."""
        facts = [fact for part in self._parts for fact in part]
        self._parts.clear()
        return facts + self.take(sys.maxsize, sys.maxsize)

    def take(self, most: int, most_bytes: int) -> list[Fact]:
        """The next turn's facts: at most `most`, and bodies of about `most_bytes`, but one at least if there is one."""
        facts: list[Fact] = list(self._parts.popleft()) if self._parts else self._take(most, most_bytes)
        if not len(self):
            self.filled.clear()
        return facts

    def _take(self, most: int, most_bytes: int) -> list[Fact]:
        facts: list[Fact] = []
        size = 0
        for queue in (self._urgent, self._submissions):
            while queue and len(facts) < most and size < most_bytes:
                fact = queue.popleft()
                facts.append(fact)
                size += size_of(fact)
                if queue is self._urgent and type(fact) not in REPEATABLE:
                    self._calls -= 1
        return facts

    def ended(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs whose end waits to be told."""
        return {(fact.task_id, fact.attempt) for fact in chain(self._urgent, *self._parts) if isinstance(fact, Ended)}


def size_of(fact: Fact) -> int:
    """About how many bytes a fact takes."""
    if type(fact) is Submitted:
        return FACT_OVERHEAD + len(fact.payload)
    if type(fact) is Ended or type(fact) is CalledBack:
        return FACT_OVERHEAD + len(fact.result or "")
    return FACT_OVERHEAD
