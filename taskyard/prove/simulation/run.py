"""One run: a script is played in a world, and the oracle says what was wrong with it."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

from taskyard.prove.oracle.database import Audit
from taskyard.prove.oracle.oracle import Oracle
from taskyard.prove.oracle.violation import Violation
from taskyard.prove.simulation.backends import Backend
from taskyard.prove.simulation.chance import Chance
from taskyard.prove.simulation.clients import Clients
from taskyard.prove.simulation.crashes import Crashes
from taskyard.prove.simulation.host import Host
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.nodes.run import NodesRun
from taskyard.prove.simulation.operators import Operators
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.scenario import START_MS, draw
from taskyard.prove.simulation.script import Script, write
from taskyard.prove.simulation.world import World

AUDIT_EVERY_MS = 60_000
SWEEP_EVERY_MS = 20_000
LATEST_MS = 24 * 3_600_000
TROUBLE_MS = 60_000  # how long at least the trouble goes on after the last submission, while there is work
CALM_MS = 3_600_000
LOOK_EVERY_MS = 1_000


def memory_directory() -> Path | None:
    """Where temporary databases cost least."""
    shared = Path("/dev/shm")  # noqa: S108
    return shared if shared.is_dir() else None


def run(
    seed: int, tasks: int = 1000, crashes: int = 10, nodes: int = 1, *, tail: int = 60, folder: Path | None = None
) -> Report:
    """Run a seed to its end, or to the first broken promise."""
    return play(write(draw(seed, tasks, crashes, nodes)), tail=tail, folder=folder)


def play(script: Script, *, tail: int = 60, folder: Path | None = None) -> Report:
    """Play a script to its end, or to the first broken promise; its database is made in `folder` and removed again."""
    with tempfile.TemporaryDirectory(dir=folder or memory_directory(), prefix="taskyard-simulation-") as directory:
        if script.scenario.among is not None:
            return NodesRun(script, Path(directory)).go(tail)
        return Run(script, Path(directory)).go(tail)


class Run:
    """The parts of one run, wired."""

    def __init__(self, script: Script, directory: Path) -> None:
        scenario = script.scenario
        self._world = world = World(START_MS)
        self._scenario = scenario
        self._ended = False
        self._database = directory / "taskyard.db"
        limits = scenario.limits
        chance = Chance(scenario.seed)
        self._oracle = Oracle(
            limits.linger_ms, limits.offline_grace_ms, limits.idempotency_ms, limits.max_lost, limits.elsewhere_ms
        )
        self._journal = journal = Journal(self._oracle.read)
        self._crashes = Crashes((world.start + crash.at, crash.stage) for crash in script.crashes)
        self._host = Host(world, scenario, journal, directory, self._crashes, chance)
        backends = [Backend(world, self._host, journal, machine, chance) for machine in scenario.machines]
        self._operators = Operators(world, script, self._host, backends, self._host.drain)
        self._clients = Clients(world, script, self._host, journal, chance)
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
        oracle = self._oracle
        report.lifecycles = oracle.tasks.admitted
        report.acked = len(oracle.submissions.acked)
        report.attempts = oracle.tasks.attempts
        report.turns = self._host.turns
        report.virtual_ms = self._world.now - self._world.start
        report.crashes = Counter(str(stage) for stage in self._crashes.happened)
        report.interleavings = self._host.interleavings
        report.outcomes = oracle.tasks.outcomes
        report.reached = Counter(oracle.reached)
        report.reached["refills"] = self._host.refills
        report.tail = list(self._journal.tail(tail, self._world.start))
        return report

    def _go(self) -> None:
        world = self._world
        self._host.start()
        self._operators.start()
        self._clients.start()
        world.after(AUDIT_EVERY_MS, self._audit_again)
        if self._scenario.retention_ms:
            world.after(SWEEP_EVERY_MS, self._sweep)
        if not world.run(self._clients.done, world.start + LATEST_MS):
            raise Violation("nothing stuck", f"only {self._oracle.tasks.admitted} tasks were admitted in a day")
        few, live = self._scenario.tasks // 20, self._oracle.tasks.live
        enough = world.now + 2 * self._scenario.span_ms + TROUBLE_MS
        world.run(
            lambda: not self._crashes.outstanding() and (len(live) <= few or world.now >= enough),
            enough + self._scenario.work_ms,
        )
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

    def _sweep(self) -> None:
        done = self._host.sweep()
        self._world.after(SWEEP_EVERY_MS if done else 1, self._sweep)

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

    def _audit_again(self) -> None:
        self._world.after(AUDIT_EVERY_MS, self._audit_again)
        self._audit()

    def _audit(self) -> None:
        """Look at everything while the node runs."""
        engine = self._host.engine
        if engine is None or self._host.busy:
            return
        self._oracle.overdue(self._host.now())
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
