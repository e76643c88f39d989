"""The host of the simulation: collects facts into turns and carries out effects after the commit, and only then.

The same steps as the real host takes, without asyncio: each step is an event in virtual time, and between any two of
them the node may die (see `crashes` and `lives`).
"""

from __future__ import annotations

import sys

from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import Ended, Fact, Submitted
from taskyard.engine.plan import Found, Plan, Receipt, Refusal
from taskyard.host.answers import unstorable
from taskyard.prove.simulation.chance import About
from taskyard.prove.simulation.crashes import FragileConnection, Stage
from taskyard.prove.simulation.interleavings import interleaving
from taskyard.prove.simulation.lives import Lives
from taskyard.prove.simulation.plain import plain_turn
from taskyard.store.port import BadData, OutcomeUnknown, StoreError


class Host(Lives):
    """One node, taking turns."""

    def _begin(self, number: int, at: int) -> None:
        engine = self.engine
        if number != self._engines or self._turn_at != at or engine is None:
            return
        self._turn_at = None
        self.busy = True
        facts = self._inbox.take(self._scenario.batch, sys.maxsize)
        if facts and self._crash(Stage.BEFORE_LOOKUP, facts):
            return
        if engine.lookup(facts) and not self._let_out():
            return
        try:
            found = self._look_up(engine, facts)
        except BadData as error:
            self._narrow(facts, error)
            return
        except StoreError:
            self._fail(facts)
            return
        if facts and self._crash(Stage.BEFORE_TURN, facts):
            return
        self._decided_at = self._world.now
        plan = engine.turn(facts, found, self.now(), self._chance.random(About.ENGINE, self._world.now))
        if self._crash(Stage.BEFORE_COMMIT, facts, plan) or not self._let_out():
            return
        took = self._chance.below(self._scenario.commit_ms, About.COMMIT, self._world.now)
        if took:
            self._world.after(took, self._finish, number, facts, plan)
        else:
            self._finish(number, facts, plan)

    def _look_up(self, engine: Engine, facts: list[Fact]) -> Found:
        ask = engine.lookup(facts)
        if not ask:
            return NOTHING
        if self._strikes(Stage.IN_LOOKUP):
            self._note_crash(Stage.IN_LOOKUP, facts, None)
            raise StoreError("disk I/O error")
        assert self._store is not None
        return self._store.lookup(ask)

    def _finish(self, number: int, facts: list[Fact], plan: Plan) -> None:
        engine = self.engine
        if number != self._engines or engine is None:
            return
        try:
            receipt = self._commit(facts, plan)
        except BadData as error:
            self._narrow(facts, error)
            return
        except OutcomeUnknown:
            self._fail(facts)
            return
        if self._crash(Stage.BEFORE_SETTLE, facts, plan):
            return
        engine.settle(plan, receipt)
        self.turns += 1
        self.refills += len(plan.refills)
        self.interleavings.add(interleaving(facts, plan, ""))
        if self._crash(Stage.BEFORE_EFFECTS, facts, plan):
            return
        self._inbox.put_back(plan.deferred)
        self._owed = plan, facts
        if plan.again or len(self._inbox):  # decided first, as the real host does
            self._turn_at = self._world.now
            self._world.at(self._turn_at, self._begin, number, self._turn_at)
        elif self._let_out():
            self.busy = False
            if (at := engine.next_at()) is not None:
                self._plan_turn(at - self.now() + self._world.now)

    def _commit(self, facts: list[Fact], plan: Plan) -> Receipt:
        assert self._store is not None
        if plan.is_empty():
            receipt = Receipt()
        else:
            if plan.writes and plan.effects:
                self._let_it_fail(facts, plan)
            try:
                receipt = self._store.commit(plan)
            finally:
                self._writer.fail_in(None)  # a value that the store refuses may have been first
        assert self.engine is not None
        due = self.engine.next_at()
        told = plain_turn(facts, plan, due is not None and due <= plan.now)
        self._journal.write(self._world.now, "host", "turn", self._decided_at, plan.now, *told)
        if plan.effects and self._strikes(Stage.AFTER_COMMIT):
            self._note_crash(Stage.AFTER_COMMIT, facts, plan)
            raise OutcomeUnknown("nobody knows")
        return receipt

    def _let_it_fail(self, facts: list[Fact], plan: Plan) -> None:
        """Arm the store's connection, if the store is to fail in this commit."""
        if self._strikes(Stage.STORE_AWAY):
            self._note_crash(Stage.STORE_AWAY, facts, plan)
            self._away_until = self._world.now + self._chance.below(10_000, About.DOWNTIME, self._world.now)
        elif self._strikes(Stage.IN_COMMIT):
            self._note_crash(Stage.IN_COMMIT, facts, plan)
        else:
            return
        kinds = sum(1 for kind in plan.writes.__slots__ if getattr(plan.writes, kind))
        self._writer.fail_in(self._chance.below(kinds, About.FAILING, self._world.now))

    @property
    def _writer(self) -> FragileConnection:
        assert self._store is not None
        writer = self._store._writer
        assert isinstance(writer, FragileConnection)
        return writer

    # --- facts that cannot be taken ----------------------------------------------------------------------------------

    def _narrow(self, facts: list[Fact], error: Exception) -> None:
        """The store refuses a value: find the fact that brought it, refuse that one, and keep the rest."""
        if not facts:
            raise error
        if len(facts) > 1:
            self._inbox.split(facts)
        else:
            self._refuse_alone(facts[0], error)
        self._drop_engine()
        self._recover()

    def _refuse_alone(self, fact: Fact, error: Exception) -> None:
        self._journal.write(self._world.now, "host", "refuses", type(fact).__name__, *_about(fact))
        self.door.answer(fact.ref, Refusal("unstorable", str(error)))
        if isinstance(fact, Ended) and (end := unstorable(fact)) is not None:
            self._inbox.put_back([end])


def _about(fact: Fact) -> tuple[object, ...]:
    if isinstance(fact, Ended):
        return fact.ref, fact.task_id, fact.attempt
    return (fact.ref, fact.spec.id) if isinstance(fact, Submitted) else (fact.ref, "")
