"""The machines of the simulation: what they work on, what they are asked, and how their words get to the node.

What a machine does with a task is a `behaviour`. Its answers are real replies, which the real host reads. Knows nothing
of the engine's decisions.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from taskyard.domain.outcomes import Outcome, Word
from taskyard.engine.facts import CalledBack, Ended
from taskyard.engine.plan import Dispatch, Refusal
from taskyard.host.answers import read_failure, read_reply
from taskyard.host.errors import Overloaded
from taskyard.host.transport.port import Broken, Reply, Silent, TransportError, Unreached
from taskyard.prove.simulation import behaviours
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.clients import NOT_UTF8, number_of
from taskyard.prove.simulation.door import House, Told
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.scenario import Machine
from taskyard.prove.simulation.world import World

CALLBACK_TRIES = 6
Attempt = tuple[str, int]


@dataclass(slots=True)
class Order:
    """An attempt as a machine got it, and how to answer the dispatch."""

    dispatch: Dispatch
    proof: str
    answer: Callable[[Any], None]

    @property
    def key(self) -> Attempt:
        return self.dispatch.task_id, self.dispatch.attempt


class Backend:
    """One machine. `calm` makes it quick and faultless."""

    def __init__(self, world: World, host: House, journal: Journal, machine: Machine, chance: Chance) -> None:
        self.machine = machine
        self.world = world
        self.up = True
        self.calm = False
        self.refuses_key = False
        self.working: dict[Attempt, Order] = {}
        self._host = host
        self._journal = journal
        self._chance = chance
        self._names = [name for name, _ in machine.behaviours]
        self._until = list(accumulate(weight for _, weight in machine.behaviours))

    # --- what the node asks ------------------------------------------------------------------------------------------

    def post(self, dispatch: Dispatch, proof: str, answer: Callable[[Any], None]) -> None:
        """A dispatch arrives, or fails to."""
        order = Order(dispatch, proof, answer)
        if not self.up:
            self.fails(order, Unreached("connection refused"))
        elif self.refuses_key and not self.calm:
            self.replies(order, 401)
        else:
            self.working[order.key] = order
            self._log("begins", order, dispatch.payload)
            if self.calm:
                self.world.after(5, behaviours.succeed, self, order)
            else:
                behaviours.BEHAVIOURS[self._behaviour(order)](self, order)

    def _behaviour(self, order: Order) -> str:
        chance = self._chance.share(About.BEHAVIOUR, number_of(order.dispatch.task_id), order.dispatch.attempt)
        return self._names[bisect(self._until, chance * self._until[-1])]

    def cancel(self, task_id: str, attempt: int) -> bool:
        """The cancel endpoint is asked to stop an attempt; it confirms even what it does not know (404)."""
        if not self.up or not self.machine.can_cancel:
            return False
        self.end((task_id, attempt))
        return True

    def check(self) -> bool:
        """The health endpoint is asked."""
        chance = self._chance.share(About.CHECK, self.machine.index, self.world.now)
        return self.up and (self.calm or chance >= self.machine.flaps)

    def hang_up(self, task_id: str, attempt: int) -> None:
        """The connection of a dispatch was closed: some machines notice, and stop."""
        if self.machine.can_cancel and self._chance.share(About.HANG_UP, number_of(task_id), attempt) < 0.5:
            self.end((task_id, attempt))

    def fall(self) -> None:
        """The machine goes down, and what it was at is gone."""
        self.up = False
        for attempt in list(self.working):
            self.end(attempt)

    # --- what it does ------------------------------------------------------------------------------------------------

    def share(self, order: Order, what: int) -> float:
        """Chance about an attempt: one number in [0, 1) for each `what`."""
        return self._chance.share(About.WORK, number_of(order.dispatch.task_id), order.dispatch.attempt, what)

    def work(self, order: Order) -> int:
        """How long it works on an attempt, in ms."""
        machine = self.machine
        return machine.fast_ms + int(self.share(order, 0) * (machine.slow_ms - machine.fast_ms))

    def end(self, attempt: Attempt) -> None:
        """It works on an attempt no longer."""
        if self.working.pop(attempt, None) is not None:
            self._journal.write(self.world.now, "backend", "ends", self.machine.name, *attempt)

    def _log(self, what: str, order: Order, *more: object) -> None:
        self._journal.write(self.world.now, "backend", what, self.machine.name, *order.key, *more)

    # --- answers -----------------------------------------------------------------------------------------------------

    def replies(
        self,
        order: Order,
        status: int,
        word: str | None = None,
        *,
        retry_after: int | None = None,
        rubbish: bytes | None = None,
        encoding: str = "",
        called_already: bool = False,
    ) -> None:
        """Answer the dispatch, unless it fell or was told to stop meanwhile: the connection broke with it."""
        if order.key not in self.working and status != 401 and not called_already:
            return
        calls_later = status == 202 or (self.machine.is_async and status == 200 and word is None)
        if not calls_later:
            self.end(order.key)
        body = _body(order, status, word) if rubbish is None else rubbish
        told = None if retry_after is None else str(retry_after)
        self._log("answers", order, status, word, retry_after, rubbish is None, calls_later)
        self._replied(order, Reply(status, "application/json", encoding, told, body, 0, 0))

    def _replied(self, order: Order, reply: Reply) -> None:
        is_async, now = self.machine.is_async, self._host.now()
        order.answer(read_reply(*order.key, reply, server_is_async=is_async, responded_at=now))

    def replies_unstorable(self, order: Order) -> None:
        """Succeed with something that no store can take, as if the edge had let it through."""
        if order.key in self.working:
            self.end(order.key)
            self._log("answers", order, 200, None, None, False, False)
            fact = Ended(task_id=order.key[0], attempt=order.key[1], outcome=Outcome.COMPLETED, http_status=200)
            fact.result = f'"{NOT_UTF8}"'
            order.answer(fact)

    def fails(self, order: Order, error: TransportError) -> None:
        """Let the exchange fail. Where it was the network that broke it, the machine works on and is never heard of."""
        if isinstance(error, Broken):
            if self.share(order, 4) < 0.5:
                self.end(order.key)
            else:
                self.world.after(self.work(order), self.end, order.key)
        self._failed(order, error)

    def _failed(self, order: Order, error: TransportError) -> None:
        fact = read_failure(*order.key, error)
        if isinstance(error, Silent):
            fact.responded_at = self._host.now()
        order.answer(fact)

    # --- callbacks ---------------------------------------------------------------------------------------------------

    def calls(self, order: Order, word: Word, more: Word | None = None, tries: int = CALLBACK_TRIES) -> None:
        """Call back, again when nobody answers; then say `more`."""
        if word is not Word.PROCESSING:
            self.end(order.key)
        with_proof = self.machine.has_proof
        self._host.door.call_back(
            CalledBack(
                task_id=order.dispatch.task_id,
                attempt=order.dispatch.attempt if with_proof else None,
                word=word,
                result=made_of(order, proof=with_proof) if word is Word.COMPLETED else None,
                progress=int(self.share(order, 9) * 100) if word is Word.PROCESSING else None,
                error=None if word is Word.COMPLETED else "so it was",
            ),
            order.proof if with_proof else None,
            lambda told: self._heard(order, word, more, tries, told),
        )

    def _heard(self, order: Order, word: Word, more: Word | None, tries: int, told: Told) -> None:
        if told is None or isinstance(told, Overloaded):
            if tries > 1:
                self.world.after(1_000, self.calls, order, word, more, tries - 1)
                return
        elif isinstance(told, Refusal):
            if told.code == "unauthorized":
                self._log("is turned away", order)
            if word is Word.PROCESSING:
                self.end(order.key)
        if more is not None:
            self.world.after(int(self.share(order, 8) * 200), self.calls, order, more)

    def calls_unstorable(self, order: Order) -> None:
        """Call back with something that no store can take; refused, say that it failed."""
        fact = CalledBack(
            task_id=order.dispatch.task_id,
            attempt=order.dispatch.attempt,
            word=Word.COMPLETED,
            result=f'"{NOT_UTF8}"',
        )

        def heard(told: Told) -> None:
            self.world.after(100, self.calls, order, Word.FAILED)

        fact.ref = self._host.door.next_ref()
        self._log("calls_unstorable", order, fact.ref)
        self._host.door.call_back(fact, order.proof, heard)

    def forges(self, order: Order, task_id: str, attempt: int) -> None:
        """Call back about an attempt of somebody else under the own proof."""
        fact = CalledBack(task_id=task_id, attempt=attempt, word=Word.COMPLETED, result='"forged"')
        fact.ref = self._host.door.next_ref()
        self._log("forges", order, fact.ref, task_id, attempt)
        self._host.door.call_back(fact, order.proof, lambda told: None)


def made_of(order: Order, *, proof: bool = True) -> str:
    """What a backend makes of a task: who made it. Without a proof nobody can hold it to its attempt."""
    return f'{{"task": "{order.dispatch.task_id}", "attempt": {order.dispatch.attempt if proof else "null"}}}'


def _body(order: Order, status: int, word: str | None) -> bytes:
    if status == 202:
        return b""
    if status != 200:
        return b'{"error": "so it was"}'
    return made_of(order).encode() if word is None else f'{{"status": "{word}", "error": "so it was"}}'.encode()
