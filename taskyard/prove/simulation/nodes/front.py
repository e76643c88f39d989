"""What stands before the nodes: a balancer that picks one for each call, and each node's front door, which may pass a
call on to the node that decides.

The door does what the API does with a call, by the node's own methods. Knows nothing of turns.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from copy import copy

from taskyard.engine.facts import CalledBack, Fact, Submitted
from taskyard.engine.plan import Refusal
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.port import Decider
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.door import UNPROVED, Recorded, Told, Waiter
from taskyard.prove.simulation.nodes.network import Network
from taskyard.prove.simulation.nodes.process import Process
from taskyard.prove.simulation.nodes.store import Writer
from taskyard.prove.simulation.world import World

# Clients and backends wait for so long.
PATIENCE_MS = 20_000
# A call that was passed on.
PASSED_MS = 17_000
# A client stays with a node for so long, as one that keeps its connection does.
STAY_MS = 15_000


class Front:
    """All nodes, as clients and backends see them: a `door` whose clock is that of the node that was picked last."""

    def __init__(self, world: World, chance: Chance, network: Network, calls: dict[str, int], write: Writer) -> None:
        self.processes: list[Process] = []
        self.door = self
        self._world = world
        self._chance = chance
        self._network = network
        self._calls = calls
        self._write = write
        self._refs = 0
        self._picked: Process | None = None
        self._asked = 0

    def next_ref(self) -> int:
        """A number for a call."""
        self._refs += 1
        return self._refs

    def now(self, who: str = "") -> int:
        """The clock of the node that takes the next call, of this client."""
        self._picked = self._pick(hash_of(who), self._world.now // STAY_MS)
        return self._world.now if self._picked is None else self._picked.node.now()

    def _pick(self, *about: int) -> Process | None:
        """The balancer asks nodes whether they are ready, and is not always right."""
        up = [process for process in self.processes if process.up]
        ready = [process for process in up if process.ready]
        if self._chance.share(About.BALANCE, *about, 0) < 0.1:
            ready = up
        return self._chance.pick(ready, About.BALANCE, *about) if ready else None

    # --- calls -------------------------------------------------------------------------------------------------------

    def ask(self, fact: Fact, waiter: Waiter) -> None:
        """A client's or an operator's call."""
        fact.ref = fact.ref or self.next_ref()
        if isinstance(fact, Submitted):
            self._calls[fact.spec.id] = fact.ref
            process = self._picked
            if process is not None:
                self._write("node", "calls", process.node_id, fact.ref)
        else:
            process = self._pick(self._another())
        self._call(process, fact, None, waiter)

    def call_back(self, fact: CalledBack, proof: str | None, waiter: Waiter) -> None:
        """A backend's word: under the proof of its path, or (`None`) under a service's token."""
        fact.ref = fact.ref or self.next_ref()
        fact.metadata = json.dumps({"call": fact.ref})
        process = self._pick(self._another())
        if process is not None and process.number in self._network.no_backends:
            process = None
        self._call(process, fact, proof, waiter)

    def _another(self) -> int:
        self._asked += 1
        return self._asked

    def _call(self, process: Process | None, fact: Fact, proof: str | None, waiter: Waiter) -> None:
        if process is None:
            self._world.after(1, waiter, None)
            return
        once = Once(waiter)
        self._world.after(PATIENCE_MS, once.tell, None)
        self._world.after(self._delay(), self._arrive, process, fact, proof, once)

    def _arrive(self, process: Process, fact: Fact, proof: str | None, once: Once) -> None:
        process.loop.call_soon(self._begin, process, fact, proof, once, False)
        if process.loop.dead:
            once.tell(None)

    def _begin(self, process: Process, fact: Fact, proof: str | None, once: Once, passed: bool) -> None:
        taken = copy(fact)  # what comes over a wire is nobody else's

        async def work() -> None:
            told = await self._take(process, taken, proof, passed=passed)
            self._world.after(self._delay(), once.tell, told)

        process.loop.create_task(work())

    def _delay(self) -> int:
        self._asked += 1
        return 1 + self._chance.below(10, About.CLIENT, self._asked)

    # --- a node's front door -----------------------------------------------------------------------------------------

    async def _take(self, process: Process, fact: Fact, proof: str | None, *, passed: bool) -> Told:
        try:
            decider = process.node.decider
            if decider is not None and (passed or not _anywhere(fact, decider)):
                if passed or decider.url is None:
                    raise Unavailable("no node decides now")
                return await self._pass_on(process, decider.url, fact)
            if isinstance(fact, CalledBack):
                return await self._decide(process, fact, proof)
            return await process.node.put(fact)
        except Overloaded as error:
            return error

    async def _decide(self, process: Process, fact: CalledBack, proof: str | None) -> Told:
        node = process.node
        if proof is not None:
            assert fact.attempt is not None
            server = await node.callback_server(fact.task_id, fact.attempt)
            if server is None or not node.proof_is_good(fact.task_id, fact.attempt, server, proof):
                return UNPROVED
        decided = node.put(fact)
        try:
            async with asyncio.timeout(node.settings.callback_wait / 1000):
                return await asyncio.shield(decided)
        except TimeoutError:
            if node.is_stored(decided):
                return Recorded()
            decided.add_done_callback(lambda late: late.exception())
            return Overloaded("the callback is not stored yet")

    async def _pass_on(self, process: Process, url: str, fact: Fact) -> Told:
        """Have the node that decides take a call; its answer may get lost."""
        other = next((one for one in self.processes if one.up and one.node.settings.node_url == url), None)
        await asyncio.sleep(self._delay() / 1000)
        if other is None or not self._network.reach_each_other(process.number, other.number):
            return Unavailable("the node that decides does not answer")
        answer: asyncio.Future[Told] = process.loop.create_future()

        def heard(told: Told) -> None:
            if self._network.reach_each_other(process.number, other.number):
                process.loop.call_soon(lambda: None if answer.done() else answer.set_result(told))

        other.loop.call_soon(self._begin, other, fact, None, Once(heard), True)
        try:
            async with asyncio.timeout(PASSED_MS / 1000):
                return await answer
        except TimeoutError:
            return Unavailable("the node that decides does not answer")


class Once:
    """Somebody who waits for the first answer."""

    def __init__(self, waiter: Waiter) -> None:
        self._waiter: Callable[[Told], None] | None = waiter

    def tell(self, told: Told) -> None:
        """Here is one."""
        waiter, self._waiter = self._waiter, None
        if isinstance(told, Refusal) and told.code == "bad_request":
            told = Refusal("unstorable", told.details)
        if waiter is not None:
            waiter(told)


def _anywhere(fact: Fact, decider: Decider) -> bool:
    """Whether any node may take a call in; see `anywhere` of the API's operations."""
    return isinstance(fact, CalledBack) or (isinstance(fact, Submitted) and not decider.careful)


def hash_of(text: str) -> int:
    """A number for a text, the same in each process."""
    return int.from_bytes(text.encode()[-7:], "big")
