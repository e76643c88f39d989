"""What a process has its threads do, as messages to the database and back: each takes its time, and can be lost.

A call is carried out in one step when it gets there. Until its answer is back its thread is busy. What is cut off on
the way there is not done; what is cut off on the way back is done, and the process does not know. Knows no SQL.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from taskyard.prove.oracle.violation import Violation
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.nodes.loop import VirtualLoop
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.store import Carried, SharedStore, Writer
from taskyard.prove.simulation.world import World
from taskyard.store.port import OutcomeUnknown

# What a call that is cut off may wait until that is known; the real store's limits are 10 and 15 s.
LIMIT_MS = 12_000
# A call that takes longer is a trouble of its own.
LONG_MS = 1_000


@dataclass
class Pool:
    """The threads of an executor: how many there are, how many are busy, and what waits for one."""

    threads: int
    busy: int = 0
    waiting: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = field(default_factory=deque)


class Calls:
    """The calls of process `number`. `done` is told what a call has done there, before its answer is on its way."""

    def __init__(
        self,
        world: World,
        chance: Chance,
        network: Network,
        number: int,
        loop: VirtualLoop,
        store: SharedStore,
        write: Writer,
        done: Callable[[str], None],
        entered: Callable[[bool], None],
    ) -> None:
        self._world = world
        self._chance = chance
        self._network = network
        self._number = number
        self._loop = loop
        self._store = store
        self._write = write
        self._done = done
        self._entered = entered
        self._pools: dict[Any, Pool] = {}
        self._begun = 0

    def run(self, executor: Any, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """See `loop.Executing`."""
        future = self._loop.create_future()
        pool = self._pools.get(executor)
        if pool is None:
            pool = self._pools[executor] = Pool(1 << 30 if executor is None else executor._max_workers)
        if pool.busy < pool.threads:
            self._send(pool, call, future)
        else:
            pool.waiting.append((call, future))
        return future

    def _send(self, pool: Pool, call: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        pool.busy += 1
        self._begun += 1
        there, back = self._network.to_the_store(self._number, self._begun)
        if there + back > LONG_MS:
            self._write("fate", "begins")
            self._world.after(there + back, self._write, "fate", "ends")
        what = pool, call, future, self._store.epoch, back, self._begun
        self._world.after(there, self._arrive, self._world.now, *what)

    def _arrive(
        self,
        began: int,
        pool: Pool,
        call: Callable[[], Any],
        future: asyncio.Future[Any],
        epoch: int,
        back: int,
        number: int,
    ) -> None:
        if self._loop.dead and self._chance.share(About.IN_FLIGHT, self._number, number) < 0.5:
            return
        result: Any = None
        failure: Exception | None = None
        reached = self._network.reaches_the_store(self._number)
        self._entered(True)
        try:
            with self._store.carrying(epoch, reached=reached) as carried:
                result = call()
        except Violation:
            raise
        except Exception as error:  # it goes to whoever called
            failure = error
        finally:
            self._entered(False)
        if self._loop.dead:
            return
        left = max(1, began + LIMIT_MS - self._world.now)
        if not reached and carried.asked:
            back = self._until_known(number, left)
        self._world.after(min(back, left), self._answer, pool, future, result, failure, number, carried, back > left)
        if carried.did:
            self._done(carried.did)

    def _until_known(self, number: int, left: int) -> int:
        """How long it takes to find out that nothing comes: refused at once, or silent until the limit."""
        refused = self._chance.share(About.CUT_OFF, self._number, number) < 0.6
        return 5 if refused else left

    def _answer(
        self,
        pool: Pool,
        future: asyncio.Future[Any],
        result: Any,
        failure: Exception | None,
        number: int,
        carried: Carried,
        late: bool,
    ) -> None:
        if carried.asked and failure is None and (late or not self._network.reaches_the_store(self._number)):
            failure = OutcomeUnknown("no answer came")
            wait = 1 if late else self._until_known(number, LIMIT_MS)
            self._world.after(wait, self._soon_lost, pool, future, failure, carried)
        else:
            self._loop.call_soon(self._deliver, pool, future, result, failure)

    def _soon_lost(self, *what: Any) -> None:
        self._loop.call_soon(self._lose, *what)

    def _lose(self, pool: Pool, future: asyncio.Future[Any], failure: Exception, carried: Carried) -> None:
        self._store.unheard(carried)
        self._deliver(pool, future, None, failure)

    def _deliver(self, pool: Pool, future: asyncio.Future[Any], result: Any, failure: Exception | None) -> None:
        pool.busy -= 1
        if pool.waiting:
            self._send(pool, *pool.waiting.popleft())
        if future.done():
            return  # nobody waits for it any more
        if failure is None:
            future.set_result(result)
        else:
            future.set_exception(failure)
