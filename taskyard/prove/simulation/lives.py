"""The lives of the simulated node: how it starts, recovers, fails and dies, and how effects leave it.

Knows the store, the door and the errands. What a turn is, and how facts become one, is the `host`'s concern.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from taskyard.engine.engine import Engine
from taskyard.engine.facts import DrainBegan, Ended, Fact
from taskyard.engine.plan import Answer, Plan, Receipt
from taskyard.engine.recovery import recover
from taskyard.host.clock import Clock
from taskyard.host.inbox import REPEATABLE
from taskyard.host.keys import Keys
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.crashes import IN_RECOVERY, Crashes, FragileConnection, Stage
from taskyard.prove.simulation.door import Door
from taskyard.prove.simulation.errands import Errands
from taskyard.prove.simulation.interleavings import interleaving
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.plain import plain_turn
from taskyard.prove.simulation.scenario import Scenario
from taskyard.prove.simulation.world import World
from taskyard.store.sqlite import SqliteStore

NODE = "node-1"
SECRET = "a key that only the simulation knows"  # noqa: S105
AWAY_TRY_MS = 500


class Lives:
    """One node. What was planned in an earlier life of the process, or for an engine thrown away, does not happen."""

    def __init__(
        self, world: World, scenario: Scenario, journal: Journal, directory: Path, crashes: Crashes, chance: Chance
    ) -> None:
        keys = Keys([SECRET])
        self.engine: Engine | None = None
        self.errands = Errands(world, chance, keys, self._tell)
        self.door = Door(world, scenario, journal, keys, self._put, self._server_of)
        self.turns = 0
        self.refills = 0
        self.swept = 0
        self.interleavings: set[int] = set()
        self.at_rest: Callable[[str], None] = lambda moment: None
        self.busy = False
        self._world = world
        self._scenario = scenario
        self._journal = journal
        self._directory = directory
        self._crashes = crashes
        self._chance = chance
        self._inbox = self.door.inbox
        self._store: SqliteStore | None = None
        self._clock = self._new_clock()
        self._lives = 0
        self._engines = 0
        self._draining = False
        self._away_until = 0
        self._decided_at = 0
        self._owed: tuple[Plan, Sequence[Fact]] | None = None  # committed; its effects are still to be let out
        self._turn_at: int | None = None

    def now(self, who: str = "") -> int:
        """The node's clock."""
        return self._clock.now()

    def _new_clock(self) -> Clock:
        return Clock(wall=self._world.wall_ns, monotonic=self._world.monotonic_ns)

    # --- facts -------------------------------------------------------------------------------------------------------

    def _put(self, fact: Fact) -> None:
        self._inbox.put(fact)
        now = self._world.now
        self._plan_turn(now + self._chance.below(self._scenario.turn_delay_ms, About.TURN, now))

    def _tell(self, fact: Fact) -> None:
        """An errand brought a fact back."""
        if isinstance(fact, Ended):
            self._journal.write(self._world.now, "host", "hears", fact.task_id, fact.attempt)
        self._put(fact)

    def _server_of(self, task_id: str, attempt: int) -> str | None:
        assert self.engine is not None
        run = self.engine.memory.runs.get((task_id, attempt))
        if run is not None:
            return run.server.id
        assert self._store is not None
        return self._store.attempt_server(task_id, attempt)

    def _plan_turn(self, at: int) -> None:
        if self.engine is not None and not self.busy and (self._turn_at is None or at < self._turn_at):
            self._turn_at = max(at, self._world.now)
            self._world.at(self._turn_at, self._begin, self._engines, self._turn_at)

    def _begin(self, number: int, at: int) -> None:
        """Begin the turn that was planned for a time and an engine."""
        raise NotImplementedError

    # --- effects -----------------------------------------------------------------------------------------------------

    def _let_out(self) -> bool:
        """Carry out what the last turn decided, if that is still to be done; `False` when the node died over it."""
        if self._owed is None:
            return True
        (plan, facts), self._owed = self._owed, None
        return self._carry_out(plan, facts)

    def _carry_out(self, plan: Plan, facts: Sequence[Fact]) -> bool:
        """Carry out a plan's effects; `False` when the node died over them."""
        stop = -1
        if len(plan.effects) > 1 and self._strikes(Stage.AMONG_EFFECTS):
            stop = 1 + self._chance.below(len(plan.effects) - 1, About.EFFECTS, self._world.now)
        for done, effect in enumerate(plan.effects):
            if done == stop:
                self._die(Stage.AMONG_EFFECTS, facts, plan)
                return False
            if isinstance(effect, Answer):
                self.door.answer(effect.ref, effect.result)
            else:
                self.errands.run(effect)
        return True

    # --- failing, dying and starting ---------------------------------------------------------------------------------

    def _fail(self, facts: Sequence[Fact]) -> None:
        """A commit failed, or may have: memory is dropped, the process lives."""
        self._drop_engine()
        self._give_back(facts)
        self._recover()

    def _give_back(self, facts: Sequence[Fact]) -> None:
        """What can be said again waits for the next turn, the other callers get 503."""
        self._inbox.put_back([fact for fact in facts if type(fact) in REPEATABLE])
        for fact in facts:
            if type(fact) not in REPEATABLE:
                self.door.fail(fact.ref)

    def _strikes(self, stage: Stage) -> bool:
        return self._crashes.strikes(stage, self._world.now, busy=bool(self.errands.sending))

    def _note_crash(self, stage: Stage, facts: Sequence[Fact], plan: Plan | None) -> None:
        self.interleavings.add(interleaving(facts, plan, stage))
        self._journal.write(self._world.now, "host", "crash", stage)

    def _crash(self, stage: Stage, facts: Sequence[Fact], plan: Plan | None = None) -> bool:
        """Die here, if a crash is due at this stage and the turn is one with consequences."""
        if (plan is not None and not plan.effects and stage not in IN_RECOVERY) or not self._strikes(stage):
            return False
        self._die(stage, facts, plan)
        return True

    def _die(self, stage: Stage, facts: Sequence[Fact], plan: Plan | None = None) -> None:
        """The process is gone: memory, inbox, connections. It is started again after a while."""
        assert self._store is not None
        self._note_crash(stage, facts, plan)
        self._lives += 1
        self._drop_engine()
        self.door.slam()
        self.errands.drop_all()
        self._store.close()
        self._store = None
        self.at_rest("down")
        down = self._chance.below(self._scenario.downtime_ms, About.DOWNTIME, self._world.now)
        self._world.after(down, self.start)

    def drain(self, wait: int) -> None:
        """The node is told to stop: it dispatches nothing new, and is gone after `wait` ms, whatever it is at."""
        if self.door.open:
            self._draining = True
            self._inbox.put_back([DrainBegan()])
            self._plan_turn(self._world.now)
            self._world.after(wait, self._stop, self._lives)

    def _stop(self, life: int) -> None:
        if life == self._lives and self.engine is not None:
            self._die(Stage.STOPPED, ())

    def _drop_engine(self) -> None:
        self._engines += 1
        self.engine = None
        self.busy = False
        self._owed = None
        self._turn_at = None

    def start(self) -> None:
        """Start the process."""
        self._clock = self._new_clock()
        self._draining = False
        self._away_until = 0
        self._store = SqliteStore(self._directory, connect=FragileConnection)
        self._journal.write(self._world.now, "host", "starts")
        self._recover()

    def _recover(self) -> None:
        """Build memory from the store and commit what follows from it."""
        assert self._store is not None
        if self._world.now < self._away_until:
            self.door.open = False
            self._give_back(self._inbox.take_all())
            self._world.after(AWAY_TRY_MS, self._recover_again, self._lives)
            return
        limits = self._scenario.limits
        self.at_rest("before recovery")
        snapshot = self._store.recover(limits.wake_entries)
        self._clock.not_before(snapshot.last_time)
        now = self.now()
        alive = self.errands.sending | self._inbox.ended()
        rng = self._chance.random(About.ENGINE, self._world.now)
        engine, plan = recover(snapshot, limits, NODE, now, rng, alive)
        engine.memory.draining = self._draining
        if self._crash(Stage.IN_RECOVERY, (), plan):
            return
        receipt = Receipt() if plan.is_empty() else self._store.commit(plan)
        told = plain_turn([], plan, True)
        self._journal.write(self._world.now, "host", "recovered", self._world.now, now, *told, self._draining)
        if self._strikes(Stage.RECOVERY_COMMIT):
            self._note_crash(Stage.RECOVERY_COMMIT, (), plan)
            self._fail(())
            return
        if self._crash(Stage.AFTER_RECOVERY, (), plan):
            return
        engine.settle(plan, receipt)
        self.engine = engine
        self.door.open = True
        if self._carry_out(plan, ()):
            self._plan_turn(self._world.now)

    def _recover_again(self, life: int) -> None:
        if life == self._lives:
            self._recover()

    # --- the sweep ---------------------------------------------------------------------------------------------------

    def sweep(self) -> bool:
        """Remove what is kept no longer; `False` when a turn is under way, which must not be disturbed."""
        if self.busy:
            return False
        if self.engine is not None:
            assert self._store is not None
            now, most = self.now(), self._scenario.sweep_most
            ended_before = now - self._scenario.retention_ms
            self.swept += self._store.sweep(ended_before, now, most)
            self._journal.write(self._world.now, "host", "sweeps", ended_before, now, most)
        return True

    def stop(self) -> None:
        """Close the store; the run is over."""
        self._drop_engine()
        if self._store is not None:
            self._store.close()
