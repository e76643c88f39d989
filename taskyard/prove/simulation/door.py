"""The front door of the simulated node: who may come in, who is turned away, and who waits for an answer.

The real inbox sheds, and the real keys check proofs. Knows nothing of turns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from taskyard.engine.facts import CalledBack, Fact
from taskyard.engine.plan import Refusal, Result
from taskyard.host.errors import Overloaded
from taskyard.host.inbox import Inbox
from taskyard.host.keys import Keys
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.scenario import Scenario
from taskyard.prove.simulation.world import World


@dataclass(frozen=True)
class Recorded:
    """A callback is stored, and not decided yet."""


Told = Result | Overloaded | Recorded | None
Waiter = Callable[[Told], None]
UNPROVED = Refusal("unauthorized", "the proof in the callback path is wrong")


class AnyDoor(Protocol):
    """The front door of a node, or of several."""

    def next_ref(self) -> int:
        """A number for whoever will wait for an answer."""

    def ask(self, fact: Fact, waiter: Waiter) -> None:
        """Take a call in."""

    def call_back(self, fact: CalledBack, proof: str | None, waiter: Waiter) -> None:
        """Take a callback in: under the proof of its path, or (`None`) under a service's token."""


class House(Protocol):
    """A node, or several, as clients and backends see them."""

    @property
    def door(self) -> AnyDoor:
        """Where calls go."""

    def now(self, who: str = "") -> int:
        """The clock of the node that takes the next call; `who` calls."""


class Door:
    """Takes calls in while `open`. `put` takes their facts, `server_of` names the server of an attempt, if it had one.

    Waiters get the result, or `Overloaded` when they were shed, or `None` when the node is down or dies over it.
    """

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        journal: Journal,
        keys: Keys,
        put: Callable[[Fact], None],
        server_of: Callable[[str, int], str | None],
    ) -> None:
        self.open = False
        self.inbox = Inbox(scenario.submissions_most, scenario.calls_most)
        self._world = world
        self._journal = journal
        self._keys = keys
        self._put = put
        self._server_of = server_of
        self._waiting: dict[int, Waiter] = {}
        self._refs = 0

    def next_ref(self) -> int:
        """A number for whoever will wait for an answer."""
        self._refs += 1
        return self._refs

    def ask(self, fact: Fact, waiter: Waiter) -> None:
        """Take a call in."""
        if not self.open:
            self._world.after(1, waiter, None)
            return
        fact.ref = fact.ref or self.next_ref()
        try:
            self._put(fact)
        except Overloaded as overloaded:
            self._journal.write(self._world.now, "host", "sheds", type(fact).__name__, fact.ref)
            self._world.after(1, waiter, overloaded)
        else:
            self._waiting[fact.ref] = waiter

    def call_back(self, fact: CalledBack, proof: str | None, waiter: Waiter) -> None:
        """Take a callback in: under the proof of its path, or (`None`) under a service's token."""
        if not self.open:
            self._world.after(1, waiter, None)
            return
        if proof is not None:
            assert fact.attempt is not None
            server = self._server_of(fact.task_id, fact.attempt)
            if server is None or not self._keys.proof_is_good(fact.task_id, fact.attempt, server, proof):
                self._world.after(1, waiter, UNPROVED)
                return
        self.ask(fact, waiter)

    def answer(self, ref: int, told: Told) -> None:
        """Answer who waits under a number, if anybody does."""
        waiter = self._waiting.pop(ref, None)
        if waiter is not None:
            waiter(told)

    def fail(self, ref: int) -> None:
        """Whoever waits under a number hears that the node could not do it."""
        waiter = self._waiting.pop(ref, None)
        if waiter is not None:
            self._world.after(1, waiter, None)

    def slam(self) -> None:
        """The process is gone: everything that waited is lost, and who waited hears nothing."""
        self.open = False
        self.inbox.take_all()
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            self._world.after(1, waiter, None)
