"""One run of several nodes: a script is played in a world, and the oracle says what was wrong with it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from taskyard.host.limits import engine_limits
from taskyard.prove.oracle.database import Audit
from taskyard.prove.oracle.nodes import NodesOracle
from taskyard.prove.oracle.violation import Violation
from taskyard.prove.simulation.chance import Chance
from taskyard.prove.simulation.clients import Clients
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.nodes.database import Database
from taskyard.prove.simulation.nodes.front import Front
from taskyard.prove.simulation.nodes.machines import Machines
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.outside import replaced
from taskyard.prove.simulation.nodes.process import Process
from taskyard.prove.simulation.nodes.told import Told
from taskyard.prove.simulation.nodes.wired import WiredBackend
from taskyard.prove.simulation.operators import Operators
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.scenario import START_MS, Scenario
from taskyard.prove.simulation.script import Script
from taskyard.prove.simulation.world import World
from taskyard.settings import Settings
from taskyard.settings.secret import Secret

AUDIT_EVERY_MS = 10_000
LATEST_MS = 24 * 3_600_000
TROUBLE_MS = 30_000
CALM_MS = 600_000
LOOK_EVERY_MS = 1_000
# Once all is calm, what nodes have stored is taken within this.
LINES_MS = 60_000
SECRET = "a key that only the simulation knows"  # noqa: S105


class FellOver(Exception):
    """A node's own code raised what it had not reckoned with."""


class NodesRun:
    """The parts of one run, wired."""

    def __init__(self, script: Script, directory: Path) -> None:
        scenario = script.scenario
        among = scenario.among
        assert among is not None
        self._script = script
        self._scenario = scenario
        self._among = among
        self._folder = directory
        self._ended = False
        self._calm_since = 0
        self._world = world = World(START_MS)
        self._chance = chance = Chance(scenario.seed)
        settings = settings_of(scenario, directory)
        limits = engine_limits(settings)
        self._oracle = NodesOracle(
            *(limits.linger_ms, limits.offline_grace_ms, limits.idempotency_ms, limits.max_lost, limits.elsewhere_ms),
            silence=among.silence_ms,
            one_machine=among.one_machine,
        )
        self._journal = Journal(self._oracle.read)
        self._settings = settings
        self._database = Database(directory / "yard", lambda: world.now)
        self._network = Network(chance, among.delays)
        self._calls: dict[str, int] = {}
        self._front = Front(world, chance, self._network, self._calls, self._write)
        backends = [WiredBackend(world, self._front, self._journal, machine, chance) for machine in scenario.machines]
        self._operators = Operators(world, script, self._front, list(backends), lambda _: None)
        self._machines = Machines(world, chance, self._network, self._database, self._write, self._make)
        self._front.processes = self._machines.processes
        self._clients = Clients(world, script, self._front, self._journal, chance)

    def _write(self, author: str, what: str, *details: Any) -> None:
        self._journal.write(self._world.now, author, what, *details)

    def _make(self, number: int, life: int) -> Process:
        among = self._among
        return Process(
            self._world,
            self._chance,
            self._network,
            self._database,
            settings_of(self._scenario, self._folder, number),
            self._operators,
            number=number,
            life=life,
            skew=among.skews[number],
            write=self._write,
            told=Told(self._world, f"node-{number}-{life}", self._write, self._calls),
            is_dead=self._machines.is_dead if among.one_machine else lambda _: False,
            done=self._machines.done,
            ended=self._machines.ended,
        )

    def go(self, tail: int) -> Report:
        """Run to the end."""
        report = Report(self._scenario.seed, self._scenario.tasks, nodes=self._among.nodes)
        try:
            with replaced():
                self._go()
        except Exception as broken:  # a violation, or the code itself fell over: both are findings
            report.violation = broken
        finally:
            processes = [*self._machines.processes, *self._machines.dead]
            for process in processes:
                process.loop.kill()
            self._database.close()
        oracle = self._oracle
        report.lifecycles = oracle.tasks.admitted
        report.acked = len(oracle.submissions.acked)
        report.attempts = oracle.tasks.attempts
        report.turns = sum(process.told.turns for process in processes)
        report.virtual_ms = self._world.now - self._world.start
        report.crashes = self._machines.happened
        report.interleavings = set().union(*(process.told.interleavings for process in processes))
        report.outcomes = oracle.tasks.outcomes
        report.reached = Counter(oracle.reached)
        report.tail = list(self._journal.tail(tail, self._world.start))
        return report

    def _go(self) -> None:
        world = self._world
        self._machines.start(self._among.nodes, self._script.blows)
        self._operators.start()
        self._clients.start()
        world.after(AUDIT_EVERY_MS, self._audit_again)
        if not world.run(self._clients.done, world.start + LATEST_MS):
            raise Violation("nothing stuck", f"only {self._oracle.tasks.admitted} tasks were admitted in a day")
        few, live = self._scenario.tasks // 20, self._oracle.tasks.live
        enough = world.now + self._scenario.span_ms + TROUBLE_MS
        world.run(
            lambda: not self._machines.outstanding() and (len(live) <= few or world.now >= enough),
            enough + self._scenario.work_ms,
        )
        self._machines.calm_down()
        self._operators.calm_down()
        self._calm_since = world.now
        self._look_for_the_end()
        if not world.run(lambda: self._ended, world.now + CALM_MS):
            left = self._oracle.unfinished()
            raise Violation("nothing stuck", f"{len(left)} tasks have not ended long after the last fault: {left[:1]}")
        self._audit()
        self._oracle.all_taken(sum(map(len, self._database.lines.values())))

    def _look_for_the_end(self) -> None:
        lines = any(self._database.lines.values()) or self._oracle.submissions.taken
        calm = self._operators.all_is_calm() and self._machines.all_up()
        long = self._world.now - self._calm_since > LINES_MS if calm else False
        self._ended = calm and not self._oracle.unfinished() and (long or not lines)
        self._world.after(LOOK_EVERY_MS, self._look_for_the_end)

    # --- audits ------------------------------------------------------------------------------------------------------

    def _audit_again(self) -> None:
        self._world.after(AUDIT_EVERY_MS, self._audit_again)
        self._audit()

    def _audit(self) -> None:
        """Look at everything: between two transactions the database is what the log says, whoever lives."""
        self._fell_over()
        self._oracle.overdue(self._world.now)
        audit = Audit(self._oracle, self._folder / "yard" / "taskyard.db")
        try:
            audit.whole()
            decider = self._machines.decider()
            memory = decider.node.at_rest if decider is not None and not decider.loop.frozen else None
            if memory is not None and decider is not None and decider.node_id == self._oracle.members.decider:
                flows = {
                    (lane.id, flow.avoid): flow.count
                    for lane in memory.fleet.lanes.values()
                    for flow in lane.flows.values()
                    if flow.count
                }
                audit.memory(memory.queued, memory.processing, memory.queued_by_owner, flows)
        finally:
            audit.close()

    def _fell_over(self) -> None:
        for process in (*self._machines.processes, *self._machines.dead):
            if process.failures or process.loop.errors:
                raise FellOver("\n".join([*process.failures, *process.loop.errors]))


def settings_of(scenario: Scenario, folder: Path, number: int = 0) -> Settings:
    """The settings of a node: those of the seed, and what several nodes need."""
    limits, among = scenario.limits, scenario.among
    assert among is not None
    return Settings(
        secret_key=(Secret(SECRET),),
        data_dir=str(folder / "nothing"),
        node_name=f"node {number}",
        node_url=f"http://node-{number}.example",
        node_silence=among.silence_ms,
        node_poll=among.poll_ms,
        drain_timeout=among.drain_ms,
        turn_facts=scenario.batch,
        turn_stall=3_600_000,
        retention=scenario.retention_ms or 10**12,
        max_queued=limits.max_queued,
        max_queued_per_sub=limits.max_queued_per_sub,
        max_lanes=limits.max_lanes,
        max_lost=limits.max_lost,
        linger=limits.linger_ms,
        retry_budget=limits.retry_budget,
        idempotency_retention=limits.idempotency_ms,
        window_entries=limits.window_entries,
        wake_entries=limits.wake_entries,
        payload_memory=limits.payload_bytes,
        turn_dispatches=limits.dispatches_per_turn,
        turn_wakes=limits.wakes_per_turn,
    )
