"""The loop of turns: takes facts from the inbox, lets the engine decide, has the store commit, then lets effects out.

One turn at a time; facts that come meanwhile make the next one, which is what batches them. When a commit fails the
engine is rebuilt from the store, and what can be said again (ends, callbacks) is put back into the inbox.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from random import Random

import structlog

from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.facts import CalledBack, Checked, Ended, Fact, SlotFreed
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Plan, Receipt
from taskyard.engine.recovery import recover
from taskyard.host.clock import Clock
from taskyard.host.inbox import Inbox
from taskyard.host.storage import Storage
from taskyard.store.port import BadData, StoreError

log = structlog.get_logger()
STALLED_AFTER_MS = 5_000
RETRY_FIRST_S = 0.1
RETRY_CAP_S = 5.0
REPEATABLE = (Ended, CalledBack, SlotFreed, Checked)


class TurnLoop:
    """Takes turns until it is stopped.

    `carry_out(plan, facts)` is called after each commit; `fail(facts, reason)` for facts whose turn came to nothing;
    `sending()` names the attempts that are being sent.
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
        carry_out: Callable[[Plan, Sequence[Fact]], None],
        fail: Callable[[Sequence[Fact], str], None],
        observe: Callable[[int, float], None],
        sending: Callable[[], set[tuple[str, int]]],
    ) -> None:
        self._storage = storage
        self._inbox = inbox
        self._clock = clock
        self._limits = limits
        self._node = node
        self._turn_facts = turn_facts
        self._turn_bytes = turn_bytes
        self._carry_out = carry_out
        self._fail = fail
        self._observe = observe
        self._sending = sending
        self._rng = Random()
        self._deferred: list[Fact] = []
        self._task: asyncio.Task[None] | None = None
        self._turn_began: float | None = None
        self.engine: Engine
        self.away: str | None = None  # why the store cannot be used now

    async def start(self) -> None:
        """Recover from the store and begin. Raises the store's errors."""
        await self._recover()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End after the turn that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def stalled(self) -> bool:
        """Whether the turn that is under way takes too long."""
        began = self._turn_began
        return began is not None and (time.monotonic() - began) * 1000 > STALLED_AFTER_MS

    async def _recover(self) -> None:
        snapshot = await self._storage.write(lambda store: store.recover(self._limits.wake_entries))
        self._clock.not_before(snapshot.last_time)
        alive = self._sending() | self._inbox.ended()
        engine, plan = recover(snapshot, self._limits, self._node, self._clock.now(), self._rng, alive)
        await self._commit(engine, plan)
        self.engine = engine
        self._carry_out(plan, ())

    async def _commit(self, engine: Engine, plan: Plan) -> None:
        receipt = Receipt() if plan.is_empty() else await self._storage.write(lambda store: store.commit(plan))
        engine.settle(plan, receipt)

    async def _run(self) -> None:
        again = True
        while True:
            if not again:
                await self._wait()
            facts = self._deferred + self._inbox.take(self._turn_facts, self._turn_bytes)
            self._deferred = []
            self._turn_began = began = time.monotonic()
            try:
                plan = await asyncio.shield(self._turn(facts))
            except asyncio.CancelledError:
                raise
            except BadData as error:
                await self._bisect(facts, error)
                again = True
            except Exception as error:
                if not isinstance(error, StoreError):
                    log.exception("turn_failed")
                await self._come_back(facts, str(error))
                again = True
            else:
                self._carry_out(plan, facts)
                self._deferred = plan.deferred
                again = plan.again or bool(plan.deferred)
                self._observe(len(facts), time.monotonic() - began)
            self._turn_began = None

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

    async def _turn(self, facts: Sequence[Fact]) -> Plan:
        engine = self.engine
        ask = engine.lookup(facts)
        found = await self._storage.write(lambda store: store.lookup(ask)) if ask else NOTHING
        plan = engine.turn(facts, found, self._clock.now(), self._rng)
        await self._commit(engine, plan)
        return plan

    async def _bisect(self, facts: Sequence[Fact], error: BadData) -> None:
        """The store refused a value: find the fact it came with, refuse that one, and keep the rest."""
        if len(facts) <= 1:
            log.error("fact_refused", kind=type(facts[0]).__name__ if facts else "none", reason=str(error))
            self._fail(facts, f"the store refuses a value in it: {error}")
            await self._come_back((), str(error))
            return
        await self._come_back((), str(error))
        middle = len(facts) // 2
        for half in (facts[:middle], facts[middle:]):
            try:
                plan = await self._turn(half)
            except BadData as again:
                await self._bisect(half, again)
            else:
                self._carry_out(plan, half)
                self._inbox.put_back(plan.deferred)

    async def _come_back(self, facts: Sequence[Fact], reason: str) -> None:
        """A turn came to nothing: answer who waits, keep what can be said again, recover as soon as possible."""
        kept = [fact for fact in facts if isinstance(fact, REPEATABLE)]
        self._fail([fact for fact in facts if not isinstance(fact, REPEATABLE)], reason)
        self._inbox.put_back(kept)
        pause = RETRY_FIRST_S
        while True:
            try:
                await self._recover()
            except StoreError as error:
                self.away = str(error)
                log.error("store_away", reason=self.away, retry_in_s=pause)
                await asyncio.sleep(pause)
                pause = min(RETRY_CAP_S, pause * 2)
            else:
                if self.away is not None:
                    log.info("store_back")
                self.away = None
                return
