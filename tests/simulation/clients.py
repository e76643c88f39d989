"""The clients of the simulation: they submit, resend what was not answered, and meddle with tasks they know of."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from taskyard.domain.outcomes import Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import CancelAsked, Fact, Judged, PurgeAsked, RetryAsked, Submitted
from taskyard.engine.plan import Refusal, Result, SubmitDone
from tests.simulation.host import Host
from tests.simulation.journal import Journal
from tests.simulation.scenario import Scenario
from tests.simulation.world import World

TYPES = ("chat-completion", "txt2img", "ocr")
RESENDS = 20


class Clients:
    """All clients of a run. `done` once as many tasks were admitted as the scenario wants."""

    def __init__(self, world: World, scenario: Scenario, host: Host, journal: Journal, rng: Random) -> None:
        self.done = False
        self._world = world
        self._scenario = scenario
        self._host = host
        self._journal = journal
        self._rng = rng
        self._ids = 0
        self._patience_until = 0  # after an error, nothing new for a while
        self._refused = 0  # in a row
        self._outstanding = 0
        self._known: list[tuple[str, str]] = []  # (task, owner)
        self._keyed: list[Submitted] = []

    def go_on(self) -> None:
        """Submit a burst, and plan the next one."""
        if self._host.admitted >= self._scenario.tasks:
            self.done = True
            return
        rng, scenario = self._rng, self._scenario
        if self._world.now < self._patience_until or self._host.admitted + self._outstanding >= scenario.tasks:
            self._world.at(max(self._patience_until, self._world.now + 100), self.go_on)
            return
        burst = rng.randrange(scenario.burst) + 1 if not self._refused else 1
        for _ in range(burst):
            self._submit(self._new(), RESENDS)
            if rng.random() < scenario.meddling:
                self._world.after(rng.randrange(10_000), self._meddle)
        gap = burst * scenario.span_ms / scenario.tasks
        self._world.after(int(rng.expovariate(1) * gap), self.go_on)

    # --- submissions -------------------------------------------------------------------------------------------------

    def _new(self) -> Submitted:
        rng, scenario = self._rng, self._scenario
        if self._keyed and rng.random() < 0.1:
            return self._repeated(rng.choice(self._keyed))
        capabilities, group, pin = rng.choice(scenario.lanes)
        spec = Spec(
            id=self._new_id(),
            owner=rng.choice(scenario.owners),
            type=rng.choice(TYPES),
            created_at=self._world.now,
            priority=rng.choice((0, 0, 0, 5, 10)),
            capabilities=capabilities,
            group=group,
            pin=pin,
            timeout_ms=rng.choice((6_000, 15_000)),
            max_retries=rng.choice((0, 1, 3, 3)),
            backoff_base_ms=rng.choice((1, 1_000)),
            backoff_cap_ms=8_000,
        )
        if rng.random() < scenario.limits_share:
            spec = replace(spec, **self._own_limits())
        fact = Submitted(spec=spec, payload=f'{{"of": "{spec.id}"}}')
        if rng.random() < scenario.keys:
            fact.key, fact.key_hash = f"key {spec.id}", f"hash of {spec.id}"
            self._keyed.append(fact)
        return fact

    def _own_limits(self) -> dict[str, Any]:
        rng, short = self._rng, self._scenario.short
        return {
            "run_at": self._world.now + rng.choice((-1_000, 500, 20_000)) if rng.random() < 0.4 else None,
            "ttl_ms": int(rng.choice((5_000, 60_000)) * short) if rng.random() < 0.5 else None,
            "queue_timeout_ms": int(rng.choice((2_000, 20_000)) * short) if rng.random() < 0.4 else None,
            "heartbeat_timeout_ms": int(rng.choice((1_000, 5_000)) * short) if rng.random() < 0.3 else None,
        }

    def _repeated(self, fact: Submitted) -> Submitted:
        """The same key again, now and then with another body."""
        spec = replace(fact.spec, id=self._new_id(), created_at=self._world.now)
        again = Submitted(spec=spec, payload=fact.payload, key=fact.key, key_hash=fact.key_hash)
        if self._rng.random() < 0.3:
            again.key_hash = "hash of another body"
        return again

    def _new_id(self) -> str:
        self._ids += 1
        return f"task_{self._world.now:012x}7{self._ids:019x}"

    def _submit(self, fact: Submitted, resends: int) -> None:
        spec = fact.spec
        fact.ref = self._host.next_ref()
        self._journal.write(self._world.now, "client", "submits", fact.ref, _as_told(fact))

        self._outstanding += 1

        def answered(result: Result | None) -> None:
            self._outstanding -= 1
            write, now = self._journal.write, self._world.now
            if isinstance(result, SubmitDone):
                write(now, "client", "acked", fact.ref, result.task_id, result.replayed)
                self._known.append((result.task_id, spec.owner))
                self._refused = 0
            elif isinstance(result, Refusal):
                write(now, "client", "refused", fact.ref, result.code)
                if result.code != "key_reused":
                    self._refused += 1
                    self._patience_until = now + min(500 << self._refused, 30_000)
            else:
                self._patience_until = now + 200
                write(now, "client", "unanswered", fact.ref)
                if fact.key is not None and resends:
                    self._world.after(self._rng.randrange(3_000), self._resend, fact, resends - 1)

        self._host.ask(fact, answered)

    def _resend(self, fact: Submitted, resends: int) -> None:
        """Once more under the same key; the front door gives it an id of its own."""
        spec = replace(fact.spec, id=self._new_id(), created_at=self._world.now)
        self._submit(Submitted(spec=spec, payload=fact.payload, key=fact.key, key_hash=fact.key_hash), resends)

    # --- what people do to tasks -------------------------------------------------------------------------------------

    def _meddle(self) -> None:
        rng = self._rng
        if not self._known:
            return
        recent = self._known[-60:] if rng.random() < 0.7 else self._known
        task_id, owner = rng.choice(recent)
        self._meddle_with(task_id, owner)
        if rng.random() < 0.3:
            self._meddle_with(task_id, owner)  # two people at once

    def _meddle_with(self, task_id: str, owner: str) -> None:
        rng = self._rng
        who: str | None = owner
        if rng.random() < 0.2:
            who = rng.choice((None, "stranger"))
        told: dict[str, Any] = {"task_id": task_id, "owner": who, "who": who or "admin"}
        kind = rng.random()
        fact: Fact
        if kind < 0.4:
            fact = CancelAsked(**told)
        elif kind < 0.75:
            fact = RetryAsked(**told)
        elif kind < 0.9:
            word = rng.choice((Word.COMPLETED, Word.FAILED, Word.TIMEOUT, Word.CANCELLED, Word.PROCESSING))
            result = f'{{"task": "{task_id}", "attempt": null}}' if word is Word.COMPLETED else None
            fact = Judged(**told, word=word, result=result)
        else:
            fact = PurgeAsked(**told)
        self._host.ask(fact, lambda result: None)


def _as_told(fact: Submitted) -> dict[str, Any]:
    """What a client knows of its submission, as plain data."""
    spec = fact.spec
    return {
        "id": spec.id,
        "owner": spec.owner,
        "type": spec.type,
        "priority": spec.priority,
        "capabilities": spec.capabilities,
        "group": spec.group,
        "pin": spec.pin,
        "created_at": spec.created_at,
        "run_at": spec.run_at,
        "timeout": spec.timeout_ms,
        "ttl": spec.ttl_ms,
        "queue_timeout": spec.queue_timeout_ms,
        "heartbeat_timeout": spec.heartbeat_timeout_ms,
        "max_retries": spec.max_retries,
        "backoff_base": spec.backoff_base_ms,
        "backoff_cap": spec.backoff_cap_ms,
        "payload": fact.payload,
        "key": fact.key,
        "hash": fact.key_hash,
    }
