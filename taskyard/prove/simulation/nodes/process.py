"""One life of a simulated node's process: a real `Node` on a loop of its own, from its start to its death.

Which process decides, sends or is given up is the node's own doing; here it is started, frozen, stopped and killed.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Sequence
from random import Random

from taskyard.engine.facts import CalledBack, Fact, Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Result
from taskyard.host.clock import Clock
from taskyard.host.errors import StartError
from taskyard.host.node import Node
from taskyard.host.nodes.nodes import Nodes
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.nodes.calls import Calls
from taskyard.prove.simulation.nodes.database import Database
from taskyard.prove.simulation.nodes.loop import VirtualLoop
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.outside import entered
from taskyard.prove.simulation.nodes.store import SharedStore, Writer
from taskyard.prove.simulation.nodes.told import Told
from taskyard.prove.simulation.nodes.transport import Wire, Yard
from taskyard.prove.simulation.world import World
from taskyard.settings import Settings
from taskyard.store.port import Store, StoreError

KEEP_EVERY_MS = 1_000


class Watched(Node):
    """The real node; what its turns decide is noted before it is sent on, for the journal."""

    def __init__(self, settings: Settings, process: Process, clock: Clock) -> None:
        super().__init__(settings)
        self._clock = clock
        self._process = process

    async def _join(self, store: Store) -> Nodes:  # type: ignore[override]
        nodes = await super()._join(store)  # type: ignore[arg-type]
        address, address_first = nodes.address, nodes.address_first
        told = self._process.told

        def noting(memory: Memory, plan: Plan, facts: Sequence[Fact]) -> None:
            if told.recovering(plan):
                address(memory, plan, facts)
                return
            told.decided(memory, plan, facts)
            address(memory, plan, facts)
            told.addressed(plan)

        def noting_first(memory: Memory, plan: Plan) -> None:
            told.recovers(plan)
            address_first(memory, plan)

        nodes.address = noting  # type: ignore[method-assign]
        nodes.address_first = noting_first  # type: ignore[method-assign]
        return nodes

    def put(self, fact: Fact) -> asyncio.Future[Result]:
        """See `NodePort.put`; whose call it was is kept for the journal."""
        call = fact.ref
        future = super().put(fact)
        if not isinstance(fact, Submitted | CalledBack):
            self._process.told.names[fact.ref] = call
        return future

    @property
    def among(self) -> Nodes:
        """This node among the others."""
        assert self._nodes is not None
        return self._nodes

    @property
    def at_rest(self) -> Memory | None:
        """What it knows, if it decides and no turn is under way."""
        loop = self._loop
        idle = loop._turn_began is None and loop._owed is None and not self._storage.turn.locked()
        return self.memory if idle and self.among.deciding and not loop.standby and loop.away is None else None


class Process:
    """A process of machine `number`; `node` is its id. `ended` is called when it ends by itself."""

    def __init__(
        self,
        world: World,
        chance: Chance,
        network: Network,
        database: Database,
        settings: Settings,
        yard: Yard,
        *,
        number: int,
        life: int,
        skew: int,
        write: Writer,
        told: Told,
        is_dead: Callable[[str], bool],
        done: Callable[[Process, str], None],
        ended: Callable[[Process], None],
    ) -> None:
        self.number = number
        self.node_id = f"node-{number}-{life}"
        self.told = told
        self.up = False
        self.keeps = True  # whether the thread that tells that it decides gets to run
        self.failures: list[str] = []
        self._world = world
        self._chance = chance
        self._network = network
        self._life = life
        self._write = write
        self._ended = ended
        self._randoms = 0
        self.loop = VirtualLoop(world, self._enter)
        self._store = SharedStore(database, self.node_id, write, told.committed, is_dead)
        self.loop.calls = Calls(
            world, chance, network, number, self.loop, self._store, write, lambda did: done(self, did), self._enter
        )
        self._wire = Wire(world, chance, network, number, self.loop, yard, write)
        clock = Clock(wall=lambda: (world.now + skew) * 1_000_000, monotonic=world.monotonic_ns)
        self.node = Watched(settings, self, clock)

    def _enter(self, inside: bool) -> None:
        entered(self, inside)

    # --- its life ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin."""
        self._write("node", "starts", self.node_id)
        self.loop.create_task(self._start())
        self._world.after(KEEP_EVERY_MS, self._keep_lease)

    async def _start(self) -> None:
        try:
            await self.node.start()
        except StartError:
            self._ended(self)
            return
        self.up = True

    def _keep_lease(self) -> None:
        """What the real store's thread does: tell that this process still decides."""
        if self.loop.dead:
            return
        self._world.after(KEEP_EVERY_MS, self._keep_lease)
        if not self.loop.frozen and self._store.kept and self.keeps and self._network.reaches_the_store(self.number):
            there, _ = self._network.to_the_store(self.number, -self._world.now)
            self._world.after(there, self._kept, self._store.epoch)

    def _kept(self, epoch: int) -> None:
        if self._network.reaches_the_store(self.number) and not self.loop.dead:
            self._store.keep(epoch)

    def stop(self) -> None:
        """SIGTERM: leave."""
        if not self.loop.dead:
            self._write("node", "stops", self.node_id)
            self.loop.create_task(self._stop())

    async def _stop(self) -> None:
        if self.up:
            self.up = False
            await self.node.drain()
            await self.node.stop()
        self._ended(self)

    def kill(self) -> None:
        """SIGKILL: gone."""
        if not self.loop.dead:
            self.up = False
            self._write("node", "dies", self.node_id)
            self.loop.kill()
            self._wire.die()

    def freeze(self) -> None:
        """SIGSTOP."""
        if not (self.loop.dead or self.loop.frozen):
            self._write("node", "freezes", self.node_id)
            self.loop.freeze()

    def thaw(self) -> None:
        """SIGCONT."""
        if self.loop.frozen and not self.loop.dead:
            self._write("node", "thaws", self.node_id)
            self.loop.thaw()

    @property
    def ready(self) -> bool:
        """Whether it would say so."""
        if not self.up or self.loop.frozen:
            return False
        self._enter(True)
        try:
            return self.node.among.not_ready() is None
        finally:
            self._enter(False)

    @property
    def decides(self) -> bool:
        """Whether it thinks that it does."""
        return self.up and self.node.among.deciding

    # --- what its code asks of the world -----------------------------------------------------------------------------

    def monotonic(self) -> float:
        """See `outside.Inside`."""
        return self._world.now / 1000

    def random(self) -> Random:
        """See `outside.Inside`."""
        self._randoms += 1
        return Random(hash((self._chance.share(About.ENGINE, self.number, self._life), self._randoms)))

    def open_store(self) -> Store:
        """See `outside.Inside`."""
        self._store.asks(StoreError)
        self._store.open()
        return self._store

    def transport(self) -> Wire:
        """See `outside.Inside`."""
        return self._wire

    def fell_over(self, what: str) -> None:
        """See `outside.Inside`."""
        self.failures.append(f"{self.node_id}: {what}\n" + "".join(traceback.format_exception(*sys.exc_info())))
