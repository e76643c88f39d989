"""Errands: what a node does out there for a plan's effects, each a little later: dispatches, aborts, health checks.

An errand dies with the process that began it. Knows the yard and who is told of the outcome, nothing of turns.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from taskyard.engine.facts import Checked, Fact, SlotFreed
from taskyard.engine.plan import Abort, AnyEffect, Check, Dispatch
from taskyard.host.keys import Keys
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.world import World

Tell = Callable[[Fact], None]
SENT_WITHIN_MS = 5
CHECKED_WITHIN_MS = 50


class Yard(Protocol):
    """The backends, by the id under which they are registered."""

    def post(self, dispatch: Dispatch, proof: str, answer: Callable[[Any], None]) -> None:
        """A dispatch arrives; `answer` takes the dispatcher's word on it, if one ever comes."""

    def cancel(self, server_id: str, task_id: str, attempt: int) -> bool:
        """The cancel endpoint is asked; whether it confirms."""

    def hang_up(self, task_id: str, attempt: int) -> None:
        """The connection of a dispatch is closed."""

    def check(self, server_id: str) -> tuple[bool, tuple[str, ...] | None]:
        """A health check: whether it passes, and the capabilities that it tells."""


class Errands:
    """`sending` are the attempts whose dispatch has no answer yet; `tell` takes the facts that errands bring back."""

    def __init__(self, world: World, chance: Chance, keys: Keys, tell: Tell) -> None:
        self.yard: Yard
        self.sending: set[tuple[str, int]] = set()
        self._world = world
        self._chance = chance
        self._keys = keys
        self._tell = tell
        self._life = 0
        self._begun = 0

    def run(self, effect: AnyEffect) -> None:
        """Begin an errand; effects that need none are ignored."""
        if isinstance(effect, Dispatch):
            self.sending.add((effect.task_id, effect.attempt))
            self._later(SENT_WITHIN_MS, self._dispatch, effect)
        elif isinstance(effect, Abort):
            self._later(SENT_WITHIN_MS, self._abort, effect)
        elif isinstance(effect, Check):
            self._later(CHECKED_WITHIN_MS, self._check, effect)

    def drop_all(self) -> None:
        """The process is gone, and its connections with it."""
        self._life += 1
        sending, self.sending = sorted(self.sending), set()
        for attempt in sending:
            self.yard.hang_up(*attempt)

    def _later(self, within: int, do: Callable[[Any], None], effect: AnyEffect) -> None:
        now = self._world.now
        self._begun += 1
        delay = self._chance.below(within, About.ERRAND, now, self._begun & 7)
        self._world.after(delay, self._if_alive, do, self._life, effect)

    def _if_alive(self, do: Callable[[Any], None], life: int, effect: AnyEffect) -> None:
        if life == self._life:
            do(effect)

    def _dispatch(self, dispatch: Dispatch) -> None:
        attempt = dispatch.task_id, dispatch.attempt
        life = self._life
        if attempt not in self.sending:
            return  # aborted before it was sent

        def answer(fact: Fact) -> None:
            if life == self._life and attempt in self.sending:
                self.sending.discard(attempt)
                self._tell(fact)

        self.yard.post(dispatch, self._keys.proof(*attempt, dispatch.server_id), answer)

    def _abort(self, abort: Abort) -> None:
        attempt = abort.task_id, abort.attempt
        if attempt in self.sending:
            self.sending.discard(attempt)
            self.yard.hang_up(*attempt)
        if abort.cancel_url is not None and self.yard.cancel(abort.server_id, *attempt):
            self._tell(SlotFreed(task_id=abort.task_id, attempt=abort.attempt))

    def _check(self, check: Check) -> None:
        passed, capabilities = self.yard.check(check.server_id)
        error = None if passed else "503 from the health endpoint"
        fact = Checked(check.ref, server_id=check.server_id, passed=passed, took_ms=CHECKED_WITHIN_MS, error=error)
        fact.capabilities = capabilities
        self._tell(fact)
