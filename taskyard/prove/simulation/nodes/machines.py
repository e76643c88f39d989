"""The machines that nodes run on, and what befalls them: each has a process, and starts another one when that is gone.

A blow strikes whoever decides or another one, at once or just after something of it was done in the database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from taskyard.prove.simulation.blows import Blow
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.nodes.database import Database
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.process import Process
from taskyard.prove.simulation.nodes.store import Writer
from taskyard.prove.simulation.world import World

# What it is to come just after may never come.
OVERDUE_MS = 5_000
AGAIN_MS = 1_000
Make = Callable[[int, int], Process]


class Machines:
    """`make` makes the process of a machine, by its number and how many it had before."""

    def __init__(
        self, world: World, chance: Chance, network: Network, database: Database, write: Writer, make: Make
    ) -> None:
        self.processes: list[Process] = []
        self.dead: list[Process] = []
        self.happened: Counter[str] = Counter()
        self._world = world
        self._chance = chance
        self._network = network
        self._database = database
        self._write = write
        self._make = make
        self._lives: Counter[int] = Counter()
        self._armed: list[Blow] = []
        self._to_come = 0
        self._under_way = 0
        self._restart_after: dict[str, int] = {}
        self._calm = False

    def start(self, nodes: int, blows: tuple[Blow, ...]) -> None:
        """Start a process on each machine, and let blows come at their times."""
        for number in range(nodes):
            self.processes.append(self._made(number))
        for process in self.processes:
            process.start()
        self._to_come = len(blows)
        for blow in blows:
            self._world.at(self._world.start + blow.at, self._arm, blow)

    def _made(self, number: int) -> Process:
        process = self._make(number, self._lives[number])
        self._lives[number] += 1
        return process

    def is_dead(self, node: str) -> bool:
        """Whether a node's process is gone."""
        return any(process.node_id == node for process in self.dead)

    def outstanding(self) -> bool:
        """Whether blows are to come, or not over."""
        return bool(self._to_come or self._armed or self._under_way)

    def decider(self) -> Process | None:
        """The process that has the right to decide, if it is there."""
        return next((one for one in self.processes if one.node_id == self._database.holder and one.up), None)

    def all_up(self) -> bool:
        """Whether every machine has a node that is ready."""
        return all(process.ready for process in self.processes)

    def calm_down(self) -> None:
        """No blow comes any more."""
        self._calm = True
        self._network.calm_down()
        for process in self.processes:
            process.keeps = True
            process.thaw()

    # --- blows -------------------------------------------------------------------------------------------------------

    def _arm(self, blow: Blow) -> None:
        self._to_come -= 1
        if self._calm:
            return
        if not blow.after:
            self._strike(blow, self._target(blow), "")
            return
        self._armed.append(blow)
        self._world.after(OVERDUE_MS, self._overdue, blow)

    def _overdue(self, blow: Blow) -> None:
        if blow in self._armed:
            self._armed.remove(blow)
            self._strike(blow, self._target(blow), "")

    def done(self, process: Process, did: str) -> None:
        """A call of a process has done something in the database."""
        for blow in self._armed:
            if blow.after == did and blow.decider == (process is self.decider()):
                self._armed.remove(blow)
                self._strike(blow, process, did)
                return

    def _target(self, blow: Blow) -> Process:
        decider = self.decider()
        if blow.decider and decider is not None:
            return decider
        others = [process for process in self.processes if process is not decider]
        return self._chance.pick(others or self.processes, About.BLOW, blow.index)

    def _strike(self, blow: Blow, process: Process, after: str) -> None:
        if self._calm or process.loop.dead:
            return
        self.happened[f"{blow.kind} of {'the decider' if process.decides else 'another'}"] += 1
        if after:
            self.happened[f"just after its {after} was done, before it knew"] += 1
        number, lasting = process.number, blow.lasting
        match blow.kind:
            case "node_death":
                process.kill()
                self._gone(process, lasting)
            case "node_stop":
                self._restart_after[process.node_id] = lasting
                process.stop()
            case "node_freeze":
                process.freeze()
                self._for_a_while(lasting, process.thaw)
            case "store_cut":
                self._cut(self._network.no_store, number, lasting)
            case "backends_cut":
                self._cut(self._network.no_backends, number, lasting)
            case "nodes_cut":
                self._cut(self._network.no_nodes, number, lasting)
            case "store_outage":
                self._network.store_away = True
                self._for_a_while(lasting, self._store_back)
            case "lease_unkept":
                process.keeps = False
                self._for_a_while(lasting, lambda: setattr(process, "keeps", True))
            case _:
                raise ValueError(blow.kind)

    def _cut(self, cut: set[int], number: int, lasting: int) -> None:
        cut.add(number)
        self._for_a_while(lasting, lambda: cut.discard(number))

    def _store_back(self) -> None:
        self._network.store_away = False

    def _for_a_while(self, lasting: int, undo: Callable[[], object]) -> None:
        self._under_way += 1
        self._write("fate", "begins")
        self._world.after(lasting, self._over, undo)

    def _over(self, undo: Callable[[], object]) -> None:
        self._under_way -= 1
        undo()
        self._write("fate", "ends")

    # --- lives -------------------------------------------------------------------------------------------------------

    def ended(self, process: Process) -> None:
        """A process ended by itself: it was told to, or could not start."""
        process.kill()
        self._gone(process, self._restart_after.pop(process.node_id, AGAIN_MS))

    def _gone(self, process: Process, lasting: int) -> None:
        self.dead.append(process)
        self._world.after(lasting, self._start_again, process)

    def _start_again(self, process: Process) -> None:
        fresh = self._made(process.number)
        self.processes[self.processes.index(process)] = fresh
        fresh.start()
