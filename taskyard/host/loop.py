"""The loop of turns: takes facts from the inbox, lets the engine decide, has the store commit, then lets effects out.

One turn at a time; facts that come meanwhile make the next one, which is what batches them. If some wait when a turn
has been committed, the next one is decided and handed to the store first, and the effects are let out while it writes.
When a commit fails the engine is rebuilt from the store, and what can be said again (ends, callbacks) is put back into
the inbox. The store is then away until it has taken a write: to be read is not enough.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random

import structlog

from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import DrainBegan, Ended, Fact
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Plan, Receipt, Snapshot
from taskyard.engine.recovery import recover
from taskyard.host.answers import unstorable
from taskyard.host.clock import Clock
from taskyard.host.inbox import REPEATABLE, Inbox
from taskyard.host.nodes.nodes import Nodes
from taskyard.host.storage import Storage
from taskyard.store.damage import is_sound
from taskyard.store.port import BadData, NotDeciding, OutcomeUnknown, Store, StoreError

log = structlog.get_logger()
# How often a node looks whether the one that decides is gone.
STANDBY_S = 0.3
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 5.0
# The setting that is written to see whether the store takes writes again.
PROOF = "recovered_at"


class TurnLoop:
    """Takes turns until it is stopped.

    `carry_out(plan, facts)` is called after each commit; `fail(facts, reason)` for facts whose turn came to nothing,
    `refuse(fact, reason)` for one that no turn can take; `sending()` names the attempts that are being sent.
    """

    def __init__(
        self,
        storage: Storage,
        inbox: Inbox,
        clock: Clock,
        limits: Limits,
        node: str,
        *,
        turn_facts: int,
        turn_bytes: int,
        stall_ms: int,
        carry_out: Callable[[Plan, Sequence[Fact]], None],
        fail: Callable[[Sequence[Fact], str], None],
        refuse: Callable[[Fact, str], None],
        observe: Callable[[int, float], None],
        sending: Callable[[], set[tuple[str, int]]],
        nodes: Nodes | None = None,
    ) -> None:
        self._storage = storage
        self._inbox = inbox
        self._clock = clock
        self._limits = limits
        self._node = node
        self._turn_facts = turn_facts
        self._turn_bytes = turn_bytes
        self._stall_ms = stall_ms
        self._carry_out = carry_out
        self._fail = fail
        self._refuse = refuse
        self._observe = observe
        self._sending = sending
        self._nodes = nodes
        self._rng = Random()
        self._deferred: list[Fact] = []
        self._owed: tuple[Plan, Sequence[Fact]] | None = None  # what was committed, its effects still to be let out
        self._draining = False
        self._stopping = False
        self._resigning = False
        self._failures = 0  # of the store, since a turn was last committed
        self._task: asyncio.Task[None] | None = None
        self._turn_began: float | None = None
        self.engine: Engine
        self.away: str | None = None  # why the store cannot be used now
        self.standby = False  # another node decides: what memory holds is of no use

    async def start(self) -> None:
        """Recover from the store and begin; beside a node that decides, begin once that one is gone.

        Raises the store's other errors.
        """
        # What is told of this node meanwhile is told of an empty memory.
        self.engine, _ = recover(Snapshot(), self._limits, self._node, self._clock.now(), self._rng)
        try:
            await self._recover()
        except NotDeciding as error:
            self._wait_for_turn(str(error))
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End after the turn that is under way, its effects included."""
        self._stopping = True
        self._inbox.filled.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    async def resign(self) -> None:
        """Take no more turns, and let another node decide at once."""
        self._resigning = True
        self._inbox.filled.set()
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)

    def drain(self) -> None:
        """Dispatch nothing new from the next turn on, whatever comes between."""
        self._draining = True
        self._inbox.put_back([DrainBegan()])

    def stalled(self) -> bool:
        """Whether the turn that is under way takes too long, or no turns are taken any more."""
        if self._task is not None and self._task.done() and not (self._stopping or self._resigning):
            return True
        began = self._turn_began
        return began is not None and (time.monotonic() - began) * 1000 > self._stall_ms

    async def _run(self) -> None:
        try:
            await self._take_turns()
        except Exception:
            log.exception("turns_ended")
            await self._hand_over()

    async def _take_turns(self) -> None:
        if self.standby:
            await self._recover_in_time()
        again = True
        while not self._stopping:
            if self._resigning:
                self._let_out()
                await self._hand_over()
                return
            if not again:
                if not len(self._inbox):
                    self._let_out()
                await self._wait()
            facts = self._deferred + self._inbox.take(self._turn_facts, self._turn_bytes)
            self._deferred = []
            again = await self._take(facts)
        self._let_out()

    def _let_out(self) -> None:
        """Carry out the effects of the turn that was committed last, if that is still to be done."""
        if self._owed is None:
            return
        (plan, facts), self._owed = self._owed, None
        self._carry_out(plan, facts)
        if self._nodes is not None:
            self._nodes.settled(plan)

    async def _hand_over(self) -> None:
        """Between two turns: what memory holds is of no use from now on."""
        if self._nodes is None or self.standby:
            return
        async with self._storage.turn:
            try:
                await self._storage.write(self._nodes.hand_over)
            except StoreError as error:
                log.warning("not_handed_over", reason=str(error))  # the right to decide expires
        self._give_back(self._deferred, "the node stops")
        self._deferred = []
        self._wait_for_turn("the node is about to stop")

    async def _wait(self) -> None:
        """Until a fact comes or a timer is due."""
        at = self.engine.next_at()
        timeout = None if at is None else max(0, at - self._clock.now()) / 1000
        if timeout == 0 or len(self._inbox):
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(timeout):
                await self._inbox.filled.wait()
        except TimeoutError:
            pass

    async def _take(self, facts: Sequence[Fact]) -> bool:
        """Take a turn over these facts, come what may; returns whether another should follow at once."""
        self._turn_began = began = time.monotonic()
        try:
            plan = await self._turn(facts)
        except BadData as error:
            return await self._narrow(facts, f"it cannot be stored: {error}", error.detail)
        except StoreError as error:
            await self._come_back(facts, error)
            return True
        except Exception as error:
            log.exception("turn_failed")
            return await self._narrow(facts, "the node failed over it; its log says more", type(error).__name__)
        finally:
            self._turn_began = None
        if plan.writes:
            self._failures = 0
        self._owed = plan, facts
        self._deferred += plan.deferred
        self._observe(len(facts), time.monotonic() - began)
        return plan.again or bool(plan.deferred)

    async def _turn(self, facts: Sequence[Fact]) -> Plan:
        engine = self.engine
        try:
            ask = engine.lookup(facts)
            if ask or self._storage.turn.locked():
                self._let_out()  # nobody shall wait for longer than it takes to decide
            async with self._storage.turn:
                found = await self._storage.write(lambda store: store.lookup(ask)) if ask else NOTHING
                plan = engine.turn(facts, found, self._clock.now(), self._rng)
                if self._nodes is not None:
                    self._nodes.address(engine.memory, plan, facts)
                await self._commit(engine, plan)
        finally:
            self._let_out()
        return plan

    async def _commit(self, engine: Engine, plan: Plan) -> None:
        if plan.is_empty():
            receipt = Receipt()
        else:
            writing = self._storage.begin_write(lambda store: _carried_out(store, plan))
            self._let_out()
            receipt = await writing
        try:
            engine.settle(plan, receipt)
        except Exception as error:  # what is stored is not refused any more
            log.exception("turn_not_settled")
            raise OutcomeUnknown("the node failed over what it had stored", type(error).__name__) from error

    async def _narrow(self, facts: Sequence[Fact], reason: str, detail: str) -> bool:
        """These facts cannot be taken together: find the one that is at fault, refuse it, and keep the rest."""
        if len(facts) > 1:
            self._inbox.split(facts)
        elif facts:
            self._refuse_alone(facts[0], reason, detail)
        await self._recover_in_time()
        if not facts:
            log.error("turn_impossible", reason=reason, detail=detail)
            await asyncio.sleep(RETRY_CAP_S)  # it is the state itself: nobody to refuse, and no use to spin
        return True

    def _refuse_alone(self, fact: Fact, reason: str, detail: str) -> None:
        """No turn can take this fact. An end that cannot be stored as it is still ends its attempt."""
        log.error("fact_refused", kind=type(fact).__name__, reason=reason, detail=detail)
        self._refuse(fact, reason)
        if self._nodes is not None:
            self._nodes.refused(fact, reason)
        if isinstance(fact, Ended) and (end := unstorable(fact)) is not None:
            self._inbox.put_back([end])

    async def _come_back(self, facts: Sequence[Fact], error: StoreError) -> None:
        """A turn came to nothing: answer who waits, keep what can be said again, recover as soon as possible."""
        self._give_back(facts, str(error))
        self._store_failed(error)
        await self._recover_in_time()

    def _give_back(self, facts: Sequence[Fact], reason: str) -> None:
        """No turn can be taken over these facts now."""
        if self._nodes is not None:
            facts = self._nodes.give_up(facts)
        self._fail([fact for fact in facts if type(fact) not in REPEATABLE], reason)
        self._inbox.put_back([fact for fact in facts if type(fact) in REPEATABLE])

    def _store_failed(self, error: StoreError) -> None:
        self.away = str(error)
        self._failures += 1
        log.error("store_away", reason=self.away, detail=error.detail, retry_in_s=self._pause_s())

    def _pause_s(self) -> float:
        """The pause before the next try: none after the first failure, then longer each time."""
        doublings = min(self._failures - 2, 16)
        return 0.0 if doublings < 0 else min(RETRY_CAP_S, RETRY_FIRST_S * 2.0**doublings)

    async def _recover_in_time(self) -> None:
        """Recover, again and again while the store is away."""
        while not (self._stopping or self._resigning):
            await asyncio.sleep(STANDBY_S if self.standby else self._pause_s())
            try:
                await self._recover()
            except NotDeciding as error:
                self._wait_for_turn(str(error))
            except StoreError as error:
                self._store_failed(error)
                # Nobody shall wait for as long as this takes.
                self._give_back(self._inbox.take_all(), str(error))
            else:
                if self.away is not None:
                    log.info("deciding" if self.standby else "store_back")
                self.away = None
                self.standby = False
                return

    def _wait_for_turn(self, reason: str) -> None:
        """Another node decides: nothing can be taken in here until it is gone."""
        if not self.standby:
            log.info("standby")
        self.away, self.standby, self._failures = reason, True, 0
        self._give_back(self._inbox.take_all(), reason)
        if self._nodes is not None:
            self._nodes.follows(self._inbox.take_all())

    async def _recover(self) -> None:
        async with self._storage.turn:
            snapshot = await self._storage.write(self._read)
            self._clock.not_before(snapshot.last_time)
            now = self._clock.now()
            alive = self._sending() | self._inbox.ended()
            if self._nodes is not None:
                alive |= self._nodes.decides(snapshot)
            engine, plan = recover(snapshot, self._limits, self._node, now, self._rng, alive)
            for what in snapshot.damaged:
                log.error("row_unreadable", what=what, mend="look with taskyard check; a server is registered again")
            engine.memory.draining = self._draining
            if self.away is not None:
                plan.writes.settings.append((PROOF, str(now)))
            if self._nodes is not None:
                self._nodes.address_first(engine.memory, plan)
            await self._commit(engine, plan)
        self.engine = engine
        self._carry_out(plan, ())
        if self._nodes is not None:
            self._nodes.settled(plan)
            await self._nodes.began()

    def _read(self, store: Store) -> Snapshot:
        snapshot = store.recover(self._limits.wake_entries)
        if self._nodes is not None:
            self._nodes.recovered()
        return snapshot


def _carried_out(store: Store, plan: Plan) -> Receipt:
    """A plan's receipt, on the writer's thread; a payload that is no JSON any more is as good as gone."""
    receipt = store.commit(plan)
    receipt.payloads = {task_id: body for task_id, body in receipt.payloads.items() if is_sound(body)}
    return receipt
