"""The host of the simulation: collects facts into turns and carries out effects after the commit, and only then.

The same steps as the real host takes, without asyncio: each step is an event in virtual time, and between any two of
them the node may die (see `crashes`). Knows the engine and the store; what it does out there are `errands`.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from random import Random

from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import CalledBack, Checked, DrainBegan, Ended, Fact, SlotFreed, Submitted
from taskyard.engine.plan import Answer, Changed, Plan, Receipt, Result, SubmitDone
from taskyard.engine.recovery import recover
from taskyard.store.port import OutcomeUnknown
from taskyard.store.sqlite import SqliteStore
from tests.simulation.crashes import IN_RECOVERY, Crashes, FragileConnection, Stage
from tests.simulation.errands import Errands
from tests.simulation.journal import Journal
from tests.simulation.plain import plain_turn
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

NODE = "node-1"
REPEATABLE = (Ended, CalledBack, SlotFreed, Checked)
Shape = tuple[str, tuple[type, ...], tuple[type, ...]]
Waiter = Callable[[Result | None], None]


class Host:
    """One node. What was planned in an earlier life of the process, or for an engine thrown away, does not happen."""

    def __init__(
        self, world: World, scenario: Scenario, journal: Journal, directory: Path, crashes: Crashes, rng: Random
    ) -> None:
        self.engine: Engine | None = None
        self.errands = Errands(world, rng, self._tell)
        self.turns = 0
        self.refills = 0
        self.admitted = 0
        self._ended = 0
        # Turns by the kinds of their facts and effects and the stage at which they were cut off: what was interleaved.
        self.shapes: Counter[Shape] = Counter()
        self.at_rest: Callable[[str], None] = lambda moment: None
        self._world = world
        self._scenario = scenario
        self._journal = journal
        self._directory = directory
        self._crashes = crashes
        self._rng = rng
        self._store: SqliteStore | None = None
        self._inbox: deque[Fact] = deque()  # all but submissions goes first
        self._submissions: deque[Fact] = deque()
        self._waiting: dict[int, Waiter] = {}
        self._refs = 0
        self._lives = 0
        self._engines = 0
        self.busy = False
        self._turn_at: int | None = None

    # --- facts -------------------------------------------------------------------------------------------------------

    def next_ref(self) -> int:
        """A number for whoever will wait for an answer."""
        self._refs += 1
        return self._refs

    def ask(self, fact: Fact, waiter: Waiter) -> None:
        """Take a call in; `waiter` gets the result, or `None` when the node is down or dies over it."""
        if self.engine is None:
            self._world.after(1, waiter, None)
            return
        fact.ref = fact.ref or self.next_ref()
        self._waiting[fact.ref] = waiter
        self._tell(fact)

    def _tell(self, fact: Fact) -> None:
        (self._submissions if isinstance(fact, Submitted) else self._inbox).append(fact)
        self._plan_turn(self._world.now + int(self._rng.random() * self._scenario.turn_delay_ms))

    # --- turns -------------------------------------------------------------------------------------------------------

    def _plan_turn(self, at: int) -> None:
        if not self.busy and (self._turn_at is None or at < self._turn_at):
            self._turn_at = max(at, self._world.now)
            self._world.at(self._turn_at, self._begin, self._engines, self._turn_at)

    def _take(self) -> list[Fact]:
        facts: list[Fact] = []
        for inbox in (self._inbox, self._submissions):
            while inbox and len(facts) < self._scenario.batch:
                facts.append(inbox.popleft())
        return facts

    def _begin(self, number: int, at: int) -> None:
        engine, store = self.engine, self._store
        if number != self._engines or self._turn_at != at or engine is None:
            return
        assert store is not None
        self._turn_at = None
        self.busy = True
        facts = self._take()
        if facts and self._crash(Stage.BEFORE_LOOKUP, facts):
            return
        ask = engine.lookup(facts)
        found = store.lookup(ask) if ask else NOTHING
        if facts and self._crash(Stage.BEFORE_TURN, facts):
            return
        plan = engine.turn(facts, found, self._world.now, self._rng)
        if self._crash(Stage.BEFORE_COMMIT, facts, plan):
            return
        took = int(self._rng.random() * self._scenario.commit_ms)
        if took:
            self._world.after(took, self._finish, number, facts, plan)
        else:
            self._finish(number, facts, plan)

    def _finish(self, number: int, facts: list[Fact], plan: Plan) -> None:
        engine = self.engine
        if number != self._engines or engine is None:
            return
        try:
            receipt = self._commit(facts, plan)
        except OutcomeUnknown:
            self._fail(facts)
            return
        if self._crash(Stage.BEFORE_SETTLE, facts, plan):
            return
        engine.settle(plan, receipt)
        self.turns += 1
        self.refills += len(plan.refills)
        self._note_shape(facts, plan, "")
        if self._crash(Stage.BEFORE_EFFECTS, facts, plan):
            return
        self.busy = False
        self._inbox.extendleft(reversed(plan.deferred))
        if self._carry_out(plan, facts):
            self._plan_next(plan)

    def _plan_next(self, plan: Plan) -> None:
        assert self.engine is not None
        if plan.again or self._inbox or self._submissions:
            self._plan_turn(self._world.now)
        elif (at := self.engine.next_at()) is not None:
            self._plan_turn(at)

    def _commit(self, facts: list[Fact], plan: Plan) -> Receipt:
        assert self._store is not None
        if plan.is_empty():
            receipt = Receipt()
        elif plan.effects and self._crashes.strikes(Stage.IN_COMMIT):
            self._note_crash(Stage.IN_COMMIT, facts, plan)
            kinds = sum(1 for kind in plan.writes.__slots__ if getattr(plan.writes, kind))
            self._writer.fail_in(self._rng.randrange(kinds))
            receipt = self._store.commit(plan)
        else:
            receipt = self._store.commit(plan)
        assert self.engine is not None
        due = self.engine.next_at()
        self._journal.write(plan.now, "host", "turn", *plain_turn(facts, plan, due is not None and due <= plan.now))
        if plan.effects and self._crashes.strikes(Stage.AFTER_COMMIT):
            self._note_crash(Stage.AFTER_COMMIT, facts, plan)
            raise OutcomeUnknown("nobody knows")
        return receipt

    # --- effects -----------------------------------------------------------------------------------------------------

    def _carry_out(self, plan: Plan, facts: list[Fact]) -> bool:
        """Carry out a plan's effects; `False` when the node died over them."""
        stop = -1
        if len(plan.effects) > 1 and self._crashes.strikes(Stage.AMONG_EFFECTS):
            stop = self._rng.randrange(1, len(plan.effects))
        for done, effect in enumerate(plan.effects):
            if done == stop:
                self._die(Stage.AMONG_EFFECTS, facts, plan)
                return False
            if isinstance(effect, Answer):
                if isinstance(effect.result, SubmitDone) and not effect.result.replayed:
                    self.admitted += 1
                waiter = self._waiting.pop(effect.ref, None)
                if waiter is not None:
                    waiter(effect.result)
            elif isinstance(effect, Changed):
                self._ended += effect.status.ended
            else:
                self.errands.run(effect)
        self._crashes.arm(self.admitted + self._ended)
        return True

    # --- dying and starting ------------------------------------------------------------------------------------------

    @property
    def _writer(self) -> FragileConnection:
        assert self._store is not None
        writer = self._store._writer
        assert isinstance(writer, FragileConnection)
        return writer

    def _note_shape(self, facts: list[Fact], plan: Plan | None, stage: str) -> None:
        self.shapes[stage, tuple(map(type, facts)), tuple(map(type, plan.effects)) if plan is not None else ()] += 1

    def _note_crash(self, stage: Stage, facts: list[Fact], plan: Plan | None) -> None:
        self._note_shape(facts, plan, stage)
        self._journal.write(self._world.now, "host", "crash", stage)

    def _crash(self, stage: Stage, facts: list[Fact], plan: Plan | None = None) -> bool:
        """Die here, if a crash is due at this stage and the turn is one with consequences."""
        if (plan is not None and not plan.effects and stage not in IN_RECOVERY) or not self._crashes.strikes(stage):
            return False
        self._die(stage, facts, plan)
        return True

    def _die(self, stage: Stage, facts: list[Fact], plan: Plan | None = None) -> None:
        """The process is gone: memory, inbox, connections. It is started again after a while."""
        assert self._store is not None
        self._note_crash(stage, facts, plan)
        self._lives += 1
        self._forget()
        self.errands.drop_all()
        self._store.close()
        self._store = None
        self.at_rest("down")
        waiting, self._waiting = self._waiting, {}
        for waiter in waiting.values():
            self._world.after(1, waiter, None)
        self._world.after(int(self._rng.random() * self._scenario.downtime_ms), self.start)

    def drain(self, wait: int) -> None:
        """The node is told to stop: it dispatches nothing new, and is gone after `wait` ms, whatever it is at."""
        if self.engine is not None:
            self._tell(DrainBegan())
            self._world.after(wait, self._stop, self._lives)

    def _stop(self, life: int) -> None:
        if life == self._lives and self.engine is not None:
            self._die(Stage.STOPPED, [])

    def _forget(self) -> None:
        self._engines += 1
        self.engine = None
        self._inbox.clear()
        self._submissions.clear()
        self.busy = False
        self._turn_at = None

    def _fail(self, facts: list[Fact]) -> None:
        """A commit failed, or may have: memory is dropped, the process lives.

        What can be said again waits for the next turn, the turn's other callers get 503.
        """
        inbox, submissions = self._inbox.copy(), self._submissions.copy()
        self._forget()
        self._inbox.extend(fact for fact in facts if isinstance(fact, REPEATABLE))
        self._inbox.extend(inbox)
        self._submissions.extend(submissions)
        for fact in facts:
            if not isinstance(fact, REPEATABLE) and (waiter := self._waiting.pop(fact.ref, None)) is not None:
                self._world.after(1, waiter, None)
        self._recover()

    def start(self) -> None:
        """Start the process."""
        self._store = SqliteStore(self._directory, connect=FragileConnection)
        self._recover()

    def _recover(self) -> None:
        """Build memory from the store and commit what follows from it."""
        assert self._store is not None
        store, limits, now = self._store, self._scenario.limits, self._world.now
        self.at_rest("before recovery")
        alive = self.errands.sending | {(fact.task_id, fact.attempt) for fact in self._inbox if isinstance(fact, Ended)}
        engine, plan = recover(store.recover(limits.wake_entries), limits, NODE, now, self._rng, alive)
        if self._crash(Stage.IN_RECOVERY, [], plan):
            return
        receipt = Receipt() if plan.is_empty() else store.commit(plan)
        self._journal.write(now, "host", "recovered", *plain_turn([], plan, True))
        if self._crashes.strikes(Stage.RECOVERY_COMMIT):
            self._note_crash(Stage.RECOVERY_COMMIT, [], plan)
            self._fail([])
            return
        if self._crash(Stage.AFTER_RECOVERY, [], plan):
            return
        engine.settle(plan, receipt)
        self.engine = engine
        self._carry_out(plan, [])
        self._plan_turn(now)

    def stop(self) -> None:
        """Close the store; the run is over."""
        self._forget()
        if self._store is not None:
            self._store.close()
