"""What the turns of one process decided, kept until the database has it: then it is written into the journal.

A turn with nothing to store is written at once, since its effects go out at once. Calls are named as those who made
them name them: by numbers of the simulation's own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from taskyard.engine.facts import CalledBack, Fact, Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan
from taskyard.prove.simulation.interleavings import interleaving
from taskyard.prove.simulation.plain import plain_turn
from taskyard.prove.simulation.world import World

Plain = tuple[Any, ...]


class Told:
    """For process `node`. `write` takes the journal's entries; `calls` has the numbers of submissions by task."""

    def __init__(self, world: World, node: str, write: Callable[..., None], calls: dict[str, int]) -> None:
        self.names: dict[int, int] = {}  # the node's number of a call -> ours
        self.turns = 0
        self.refills = 0
        self.interleavings: set[int] = set()
        self._world = world
        self._node = node
        self._write = write
        self._calls = calls
        self._plans: dict[int, tuple[Plan, Plain]] = {}

    def decided(self, memory: Memory, plan: Plan, facts: Sequence[Fact]) -> None:
        """A turn has decided; its effects are still all there."""
        due = memory.next_at()
        told = plain_turn(list(facts), plan, due is not None and due <= plan.now)
        self.interleavings.add(interleaving(facts, plan, ""))
        refs = {fact.ref: self._name(fact) for fact in facts if fact.ref}
        plain = [self._named(one, fact) for one, fact in _pairs(told[0], facts, plan)]
        effects = [self._answer(effect, refs) if effect[0] == "answer" else effect for effect in told[1]]
        effects = _with_places(plain, effects)
        self._keep(plan, ("turn", self._node, self._world.now, plan.now, plain, effects, *told[2:]))

    def recovers(self, plan: Plan) -> None:
        """A decider's first plan."""
        self._keep(plan, ("recovered", self._node, self._world.now, plan.now, *plain_turn([], plan, True)))

    def recovering(self, plan: Plan) -> bool:
        """Whether this is a decider's first plan."""
        return id(plan) in self._plans

    def _keep(self, plan: Plan, told: Plain) -> None:
        self._plans = {id(plan): (plan, told)}  # one at a time

    def addressed(self, plan: Plan) -> None:
        """What the plan has for others is in its post: it is known whether there is anything to store."""
        if plan.is_empty():
            _, told = self._plans.pop(id(plan))
            self._world.at(self._world.now, self._write, "store", "looked", *told[1:])

    def committed(self, plan: Plan, epoch: int) -> None:
        """The database has a plan."""
        self.turns += 1
        self.refills += len(plan.refills)
        _, told = self._plans.pop(id(plan))
        self._write("store", told[0], epoch, *told[1:])

    # --- names -------------------------------------------------------------------------------------------------------

    def _name(self, fact: Fact) -> int:
        if isinstance(fact, Submitted):
            return self._calls.get(fact.spec.id, 0)
        if isinstance(fact, CalledBack):
            return int(json.loads(fact.metadata)["call"]) if fact.metadata is not None else 0
        return self.names.get(fact.ref, 0)

    def _named(self, plain: Plain, fact: Fact) -> Plain:
        named = (plain[0], self._name(fact), *plain[2:])
        return (*named, fact.stored) if isinstance(fact, Submitted) else named

    def _answer(self, effect: Plain, refs: dict[int, int]) -> Plain:
        return "answer", refs.get(effect[1], self.names.get(effect[1], 0)), *effect[2:]


def _pairs(plain: Sequence[Plain], facts: Sequence[Fact], plan: Plan) -> zip[tuple[Plain, Fact]]:
    deferred = {id(fact) for fact in plan.deferred}
    return zip(plain, [fact for fact in facts if id(fact) not in deferred], strict=True)


def _with_places(facts: Sequence[Plain], effects: list[Plain]) -> list[Plain]:
    """The effects, and among them where tasks that had been stored got their places.

    Of that the engine tells nobody. Submissions are decided after all other facts, and before what is due by the clock.
    """
    stored = [fact for fact in facts if fact[0] == "submitted" and fact[3]]
    if not stored:
        return effects
    others = [fact for fact in facts if fact[0] != "submitted"]
    refs, tasks = {fact[1] for fact in others} - {0}, {fact[2] for fact in others if len(fact) > 2}
    after = 0
    for place, effect in enumerate(effects, 1):
        if effect[0] == "answer" and effect[1] in refs:
            after = place
        elif effect[0] == "over" and effect[1] in tasks:
            after = place + 1  # what becomes of its task stands behind it
    told: list[Plain] = effects[:after]
    answers = {effect[1]: place for place, effect in enumerate(effects) if effect[0] == "answer"}
    for fact in facts:
        if fact[0] != "submitted":
            continue
        if fact[3]:
            told.append(("placed", fact[2]))
        elif fact[1] in answers:
            until = answers[fact[1]] + 1
            told += effects[after:until]
            after = max(after, until)
    return told + effects[after:]
