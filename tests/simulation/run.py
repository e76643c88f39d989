"""One run: a seed becomes a scenario, the scenario a world, and the oracle says what was wrong with it."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.simulation.backends import Backend
from tests.simulation.clients import Clients
from tests.simulation.crashes import Crashes
from tests.simulation.host import Host, Shape
from tests.simulation.journal import Journal
from tests.simulation.operators import Operators
from tests.simulation.oracle import Oracle
from tests.simulation.oracle_database import Audit
from tests.simulation.oracle_servers import Violation
from tests.simulation.scenario import START_MS, Scenario, draw
from tests.simulation.world import World

AUDIT_EVERY_MS = 60_000
LATEST_MS = 24 * 3_600_000
TROUBLE_MS = 60_000  # how long at least the trouble goes on after the last submission, while there is work
CALM_MS = 3_600_000
LOOK_EVERY_MS = 1_000


@dataclass
class Report:
    """What came of a run: `violation` is `None` when every promise was kept."""

    seed: int
    tasks: int
    violation: Violation | Exception | None = None
    lifecycles: int = 0
    acked: int = 0
    attempts: int = 0
    turns: int = 0
    virtual_ms: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    shapes: Counter[Shape] = field(default_factory=Counter)  # of turns, see `Host.shapes`
    outcomes: Counter[str] = field(default_factory=Counter)  # of attempts that did not complete
    refills: int = 0
    tail: list[str] = field(default_factory=list)

    def told(self) -> str:
        """What went wrong, and how to see it again."""
        told = f"{type(self.violation).__name__}: {self.violation}"
        return f"{told}\nreplay: python -m tests.simulation --seed {self.seed} --tasks {self.tasks}"


def memory_directory() -> Path | None:
    """Where temporary databases cost least."""
    shared = Path("/dev/shm")
    return shared if shared.is_dir() else None


def run(seed: int, tasks: int = 1000, crashes: int = 10, *, tail: int = 60) -> Report:
    """Run a seed to its end, or to the first broken promise."""
    with tempfile.TemporaryDirectory(dir=memory_directory(), prefix="taskyard-simulation-") as directory:
        return Run(draw(seed, tasks, crashes), Path(directory)).go(tail)


class Run:
    """The parts of one run, wired."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        seed = scenario.seed
        self._world = world = World(START_MS)
        self._scenario = scenario
        self._ended = False
        self._database = directory / "taskyard.db"
        limits = scenario.limits
        self._oracle = Oracle(limits.linger_ms, limits.offline_grace_ms, limits.idempotency_ms, limits.max_lost)
        self._journal = journal = Journal(self._oracle.read)
        self._crashes = Crashes(Random(f"crashes {seed}"), scenario.crashes, scenario.tasks)
        self._host = Host(world, scenario, journal, directory, self._crashes, Random(f"host {seed}"))
        rng = Random(f"backends {seed}")
        backends = [Backend(world, self._host, journal, machine, rng) for machine in scenario.machines]
        self._operators = Operators(world, scenario, self._host, backends, Random(f"operators {seed}"))
        self._clients = Clients(world, scenario, self._host, journal, Random(f"clients {seed}"))
        self._host.errands.yard = self._operators
        self._host.at_rest = self._at_rest

    def go(self, tail: int) -> Report:
        """Run to the end."""
        report = Report(self._scenario.seed, self._scenario.tasks)
        try:
            self._go()
        except Exception as broken:  # a violation, or the engine itself fell over: both are findings
            report.violation = broken
        finally:
            self._host.stop()
        known = self._oracle.tasks.by_id
        report.lifecycles = len(known)
        report.acked = len(self._oracle.acked)
        report.attempts = sum(task.attempts for task in known.values())
        report.turns = self._host.turns
        report.virtual_ms = self._world.now - self._world.start
        report.crashes = Counter(str(stage) for stage in self._crashes.happened)
        report.shapes = self._host.shapes
        for task in known.values():
            report.outcomes.update(task.history)
        report.refills = self._host.refills
        report.tail = list(self._journal.tail(tail, self._world.start))
        return report

    def _go(self) -> None:
        world = self._world
        self._host.start()
        self._operators.start()
        self._clients.go_on()
        world.after(AUDIT_EVERY_MS, self._audit)
        if not world.run(lambda: self._clients.done, world.start + LATEST_MS):
            raise Violation("nothing stuck", f"only {self._host.admitted} tasks were admitted in a day")
        few, live = self._scenario.tasks // 20, self._oracle.tasks.live
        world.run(lambda: len(live) <= few, world.now + 2 * self._scenario.span_ms + TROUBLE_MS)
        self._operators.calm_down()
        self._look_for_the_end()
        if not world.run(lambda: self._ended, world.now + CALM_MS):
            left = self._oracle.unfinished()
            raise Violation(
                "nothing stuck", f"{len(left)} tasks have not ended an hour after the last fault: {left[:1]}"
            )
        self._audit()

    def _look_for_the_end(self) -> None:
        at_rest = self._host.engine is not None and not self._host.busy
        self._ended = at_rest and self._operators.all_is_calm() and not self._oracle.unfinished()
        self._world.after(LOOK_EVERY_MS, self._look_for_the_end)

    def _at_rest(self, moment: str) -> None:
        """The node is down, or about to recover: look into the database."""
        audit = Audit(self._oracle, self._database)
        try:
            if moment == "down":
                audit.whole()
            else:
                audit.states()
        finally:
            audit.close()

    def _audit(self) -> None:
        """Look at everything while the node runs."""
        self._world.after(AUDIT_EVERY_MS, self._audit)
        engine = self._host.engine
        if engine is None or self._host.busy:
            return
        self._oracle.overdue(self._world.now)
        memory = engine.memory
        flows = {
            (lane.id, flow.avoid): flow.count
            for lane in memory.fleet.lanes.values()
            for flow in lane.flows.values()
            if flow.count
        }
        audit = Audit(self._oracle, self._database)
        try:
            audit.whole()
            audit.memory(memory.queued, memory.processing, memory.queued_by_owner, flows)
        finally:
            audit.close()
