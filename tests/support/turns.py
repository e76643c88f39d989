"""A desk at which turns are taken by hand: the real engine over the real SQLite store, in virtual time, without a host.

What the host would send over the network is kept as effects; a test says what came back.
"""

import itertools
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from taskyard.domain.outcomes import Effect, Outcome, Status, Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import CalledBack, Checked, Ended, Fact, Registered, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Abort, Answer, AnyEffect, Check, Dispatch, Lookup, Plan, Receipt, Result
from taskyard.engine.recovery import recover
from taskyard.engine.rows import AttemptRow, Record
from taskyard.store.sqlite import SqliteStore

E = TypeVar("E")
START = 1_800_000_000_000
TURNS_MOST = 1000


class Halves(Random):
    """Chance that always falls in the middle, so that a back-off is half its ceiling."""

    def random(self) -> float:
        return 0.5


class Desk:
    """An engine and its store. `effects` are those of the latest `take`, `log` all of them."""

    def __init__(self, path: Path, limits: Limits | None = None) -> None:
        self.path = path
        self.limits = limits or Limits()
        self.now = START
        self.rng: Random = Halves()
        self.effects: list[AnyEffect] = []
        self.log: list[AnyEffect] = []
        self.bodies: dict[tuple[str, int], str | None] = {}
        self.passing: set[str] = set()  # servers whose checks pass as time goes on; those of the rest never end
        self._ordered: set[str] = set()
        self._refs = itertools.count(1)
        self._tasks = itertools.count(1)
        self._open()

    def _open(self) -> None:
        self.store = self._open_store()
        snapshot = self.store.recover(self.limits.wake_entries)
        self.engine, plan = recover(snapshot, self.limits, "node-1", self.now, self.rng)
        self.effects = []
        self._commit(plan)

    def _open_store(self) -> SqliteStore:
        return SqliteStore(self.path)

    def restart(self) -> None:
        """Stop and start again; nothing but the store's file survives."""
        self.store.close()
        self._open()
        self.take()

    def close(self) -> None:
        self.store.close()

    # --- turns -------------------------------------------------------------------------------------------------------

    def take(self, *facts: Fact) -> list[AnyEffect]:
        """One turn over these facts, and as many more as it asks for at once; returns their effects."""
        self.effects = []
        waiting: list[Fact] = list(facts)
        for _ in range(TURNS_MOST):
            ask: Lookup = self.engine.lookup(waiting)
            found = self.store.lookup(ask)
            plan = self.engine.turn(waiting, found, self.now, self.rng)
            self._commit(plan)
            waiting = plan.deferred
            due = self.engine.next_at()
            if not (plan.again or waiting or (due is not None and due <= self.now)):
                return self.effects
        raise AssertionError("the engine does not come to rest")

    def _commit(self, plan: Plan) -> None:
        receipt = Receipt() if plan.is_empty() else self.store.commit(plan)
        self.engine.settle(plan, receipt)
        for effect in plan.effects:
            if isinstance(effect, Dispatch):
                self.bodies[effect.task_id, effect.attempt] = effect.payload
            elif isinstance(effect, Check):
                self._ordered.add(effect.server_id)
        self.effects += plan.effects
        self.log += plan.effects

    def ask(self, fact: Fact) -> Result:
        """A turn over one fact, and what it was answered."""
        return self.ask_all(fact)[0]

    def ask_all(self, *facts: Fact) -> list[Result]:
        """One turn over some facts, and what each was answered."""
        for fact in facts:
            fact.ref = next(self._refs)
        self.take(*facts)
        answers = {effect.ref: effect.result for effect in self.of(Answer)}
        assert len(answers) == sum(isinstance(effect, Answer) for effect in self.effects), "answered twice"
        return [answers[fact.ref] for fact in facts]

    def advance(self, ms: int) -> list[AnyEffect]:
        """Let time pass; turns are taken when the engine says so. Returns all effects on the way."""
        end, effects = self.now + ms, list[AnyEffect]()
        for _ in range(TURNS_MOST):
            for server_id in sorted(self._ordered & self.passing):
                effects += self._checked(server_id, True)
            at = self.engine.next_at()
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            effects += self.take()
        else:
            raise AssertionError("the engine does not come to rest")
        self.now = end
        self.effects = effects
        return effects

    def of(self, kind: type[E]) -> list[E]:
        """The latest effects of a kind."""
        return [effect for effect in self.effects if isinstance(effect, kind)]

    # --- tasks -------------------------------------------------------------------------------------------------------

    def spec(self, **members: Any) -> Spec:
        """A task as submitted now; ids are in order."""
        number = next(self._tasks)
        defaults: dict[str, Any] = {"id": f"task_{number:032x}", "owner": "ann", "type": "text"}
        return Spec(**defaults | {"created_at": self.now} | members)

    def submitted(
        self, payload: str = '{"n":1}', key: str | None = None, key_hash: str = "", **members: Any
    ) -> Submitted:
        return Submitted(spec=self.spec(**members), payload=payload, key=key, key_hash=key_hash)

    def submit(self, **members: Any) -> str:
        """Submit a task in a turn of its own; its id."""
        fact = self.submitted(**members)
        self.take(fact)
        return fact.spec.id

    def record(self, task_id: str) -> Record:
        record = self.store.task(task_id, None)
        assert record is not None
        return record

    def status(self, task_id: str) -> Status:
        """As the store has it."""
        task, queue, run, _ = self.record(task_id)
        if queue is not None:
            return Status.PENDING
        return Status.PROCESSING if run is not None else Status(task.status)

    def history(self, task_id: str) -> list[AttemptRow]:
        return self.store.history(task_id)

    def outcomes(self, task_id: str) -> list[tuple[int, str, int]]:
        """The history as (attempt, outcome, count)."""
        return [(row.attempt, row.outcome, row.count) for row in self.history(task_id)]

    def server_of(self, task_id: str) -> str:
        """Where it runs now."""
        run = self.record(task_id).run
        assert run is not None
        return run.server_id

    def attempt_of(self, task_id: str) -> int:
        """The number of the attempt that runs now."""
        run = self.record(task_id).run
        assert run is not None
        return run.attempt

    def dispatched(self) -> list[tuple[str, int, str]]:
        """(task, attempt, server) of the latest dispatches."""
        return [(effect.task_id, effect.attempt, effect.server_id) for effect in self.of(Dispatch)]

    def log_of_dispatches(self) -> list[tuple[str, int, str]]:
        """(task, attempt, server) of all dispatches so far."""
        return [
            (effect.task_id, effect.attempt, effect.server_id) for effect in self.log if isinstance(effect, Dispatch)
        ]

    def aborted(self) -> list[tuple[str, int, str | None]]:
        """(task, attempt, cancel URL) of the latest aborts."""
        return [(effect.task_id, effect.attempt, effect.cancel_url) for effect in self.of(Abort)]

    # --- what backends do --------------------------------------------------------------------------------------------

    def ended(self, task_id: str, outcome: Outcome, attempt: int | None = None, **members: Any) -> Ended:
        """The dispatcher's word; HTTP 200 unless said otherwise."""
        if outcome in (Outcome.UNREACHED, Outcome.LOST):
            members.setdefault("http_status", None)
        members = {"http_status": 200, "responded_at": self.now} | members
        number = attempt if attempt is not None else self.attempt_of(task_id)
        return Ended(task_id=task_id, attempt=number, outcome=outcome, **members)

    def end(self, task_id: str, outcome: Outcome, attempt: int | None = None, **members: Any) -> list[AnyEffect]:
        return self.take(self.ended(task_id, outcome, attempt, **members))

    def complete(self, task_id: str, result: str = '"done"') -> list[AnyEffect]:
        return self.end(task_id, Outcome.COMPLETED, result=result)

    def fail(self, task_id: str, **members: Any) -> list[AnyEffect]:
        defaults: dict[str, Any] = {"http_status": 500, "error": "broken"}
        return self.end(task_id, Outcome.FAILED, **defaults | members)

    def decline(self, task_id: str, pause_ms: int | None = None) -> list[AnyEffect]:
        return self.end(task_id, Outcome.DECLINED, http_status=429, effect=Effect.PAUSE, pause_ms=pause_ms)

    def call_back(self, task_id: str, word: Word, attempt: int | None = None, **members: Any) -> Result:
        return self.ask(CalledBack(task_id=task_id, attempt=attempt, word=word, **members))

    # --- servers -----------------------------------------------------------------------------------------------------

    def registered(self, server_id: str, **members: Any) -> Registered:
        defaults: dict[str, Any] = {
            "made_id": f"made-for-{server_id}",
            "who": "ops",
            "admin": True,
            "name": server_id,
            "predict": f"http://{server_id}/predict",
            "health_url": f"http://{server_id}/health",
        }
        return Registered(server_id=server_id, **defaults | members)

    def server(self, server_id: str, **members: Any) -> str:
        """Register a server whose first check passes."""
        self.take(self.registered(server_id, **members))
        self.check(server_id, True)
        return server_id

    def check(self, server_id: str, passed: bool, capabilities: tuple[str, ...] | None = None) -> list[AnyEffect]:
        """A health check ends; those to come end in the same way, or (failed) not at all."""
        if passed:
            self.passing.add(server_id)
        else:
            self.passing.discard(server_id)
        return self._checked(server_id, passed, capabilities)

    def _checked(self, server_id: str, passed: bool, capabilities: tuple[str, ...] | None = None) -> list[AnyEffect]:
        self._ordered.discard(server_id)
        error = None if passed else "answered 500 instead of 2xx"
        return self.take(Checked(server_id=server_id, passed=passed, took_ms=3, error=error, capabilities=capabilities))

    def checks_ordered(self) -> list[str]:
        return [effect.server_id for effect in self.of(Check)]

    def server_status(self, server_id: str) -> str:
        return self.engine.memory.fleet.servers[server_id].status

    def active(self, server_id: str) -> int:
        return self.engine.memory.fleet.servers[server_id].active
