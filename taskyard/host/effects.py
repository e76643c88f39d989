"""What follows a commit: answers to who asked, wake-ups for who waits, and work for the dispatcher and the checks.

Knows who waits for what; decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import structlog

from taskyard.domain.outcomes import Status
from taskyard.engine.facts import Checked, Ended, Fact
from taskyard.engine.plan import (
    Abort,
    Answer,
    AnyEffect,
    AttemptOver,
    Changed,
    Check,
    Dispatch,
    Forget,
    Plan,
    Refusal,
    Result,
    ServerChanged,
    Unserved,
)
from taskyard.host.budget import Budget
from taskyard.host.checks import Checks
from taskyard.host.dispatcher import Dispatcher
from taskyard.host.errors import Unavailable
from taskyard.host.metrics import Metrics
from taskyard.host.port import End
from taskyard.host.promises import Promises
from taskyard.host.transport.port import Transport
from taskyard.host.waiters import Waiters
from taskyard.host.watched import Watched

if TYPE_CHECKING:
    from taskyard.tracing.spans import Spans

log = structlog.get_logger()


class Effects:
    """Carries out committed plans. `ended` and `changed` are waited for by task, `checked` by server; `watched` are
    tasks that somebody follows.

    The results that the dispatcher booked in `budget` are given back once they are stored.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        checks: Checks,
        metrics: Metrics,
        transport: Transport,
        budget: Budget,
        promises: Promises,
    ) -> None:
        self._budget = budget
        self._promises = promises
        self._dispatcher = dispatcher
        self._checks = checks
        self._metrics = metrics
        self._transport = transport
        self._answers: dict[int, asyncio.Future[Result]] = {}
        self._carriers: dict[type[AnyEffect], Callable[[Any], None]] = {
            Answer: self._answer,
            Dispatch: self.dispatch,
            Changed: self._note_change,
            AttemptOver: self._note_attempt,
            Unserved: self._let_be,
            Abort: dispatcher.abort,
            Check: checks.check,
            ServerChanged: self._note_server,
            Forget: self._forget,
        }
        self._last_ref = 0
        # Of many nodes: takes an attempt that this one must not send before it is known to be alive.
        self.hold_back: Callable[[Dispatch], bool] | None = None
        self.ended: Waiters[str, End] = Waiters()
        self.changed: Waiters[str, Status] = Waiters()
        self.checked: Waiters[str, Checked] = Waiters()
        self.watched = Watched()
        self.spans: Spans | None = None
        self._doubtful = False  # a turn came to nothing, and may yet be stored

    def expect(self, fact: Fact) -> asyncio.Future[Result]:
        """Give a fact a number, and return the future of its answer."""
        self._last_ref += 1
        fact.ref = self._last_ref
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._answers[fact.ref] = future
        return future

    def carry_out(self, plan: Plan, facts: Sequence[Fact]) -> None:
        """Let the effects of a committed plan out; `facts` are those of its turn."""
        carriers = self._carriers
        for effect in plan.effects:
            try:
                carriers[type(effect)](effect)
            except Exception:  # ours alone; the turn stands, and so do its other effects
                log.exception("effect_failed", effect=type(effect).__name__)
        for fact in facts:
            if isinstance(fact, Ended):
                if fact.line is None:
                    self._release(fact)
            elif isinstance(fact, Checked):
                self.checked.wake(fact.server_id, fact)
        if self.spans is not None:
            self.spans.decided(plan)
        if self.watched:
            self.watched.note(plan)
            if self._doubtful:
                self.watched.touch_all()
        self._doubtful = False
        if self.ended:
            results = dict(plan.writes.results)
            for row in plan.writes.ended:
                self.ended.wake(row.id, End(row, results.get(row.id)))

    def hand_on(self, fact: Fact) -> asyncio.Future[Result] | None:
        """The future of an answer that will come from elsewhere, if anybody waits for it."""
        return self._answers.pop(fact.ref, None) if fact.ref else None

    def stored(self, fact: Fact) -> None:
        """A fact is stored for another node, and needs no room here any more."""
        if isinstance(fact, Ended):
            self._release(fact)

    def fail(self, facts: Sequence[Fact], reason: str) -> None:
        """The turn of these facts came to nothing: say so to who asked."""
        self._doubtful = True
        for fact in facts:
            future = self._answers.pop(fact.ref, None) if fact.ref else None
            if future is not None and not future.done():
                future.set_exception(Unavailable(f"the store is away: {reason}; whether this was done is not known"))

    def refuse(self, fact: Fact, reason: str) -> None:
        """No turn can take this fact: say so to who asked."""
        if isinstance(fact, Ended) and fact.line is None:
            self._release(fact)
        future = self._answers.pop(fact.ref, None) if fact.ref else None
        if future is not None and not future.done():
            future.set_result(Refusal("bad_request", reason))

    def fail_all(self, reason: str) -> None:
        """The node stops: nobody will be answered any more."""
        for future in self._answers.values():
            if not future.done():
                future.set_exception(Unavailable(reason))
        self._answers.clear()

    def release_waiters(self) -> None:
        """Let all who wait for tasks go without what they wait for."""
        self.ended.release_all()
        self.changed.release_all()

    def _answer(self, effect: Answer) -> None:
        future = self._answers.pop(effect.ref, None)
        if future is not None and not future.done():
            future.set_result(effect.result)

    def dispatch(self, effect: Dispatch) -> None:
        """Send an attempt, unless it has to wait."""
        if self.hold_back is not None and self.hold_back(effect):
            return
        self._dispatcher.dispatch(effect)
        self._metrics.dispatched(effect)

    def _release(self, fact: Ended) -> None:
        if fact.result is not None:
            self._budget.release(len(fact.result))

    def _note_change(self, effect: Changed) -> None:
        task_id, status = effect.task_id, effect.status
        if self.changed:
            self.changed.wake(task_id, status)
        if self._promises:
            self._promises.changed(task_id, status)
        if status.ended:
            self._metrics.ended(status)
            if status is not Status.COMPLETED:
                log.info("task_ended", task=task_id, status=status.name)

    def _note_attempt(self, effect: AttemptOver) -> None:
        self._metrics.attempt_over(effect)
        if effect.error is not None:
            log.info(
                "attempt_over",
                task=effect.task_id,
                attempt=effect.attempt,
                server=effect.server_id,
                outcome=effect.outcome.value,
                took_ms=effect.took_ms,
                error=effect.error,
            )

    def _let_be(self, _: Unserved) -> None:
        """Spans are made of it, where there are any."""

    def _note_server(self, effect: ServerChanged) -> None:
        log.info("server_changed", server=effect.server_id, status=effect.status, reason=effect.reason)

    def _forget(self, effect: Forget) -> None:
        for kind in ("", " health", " cancel"):
            self._transport.forget(effect.server_id + kind)
