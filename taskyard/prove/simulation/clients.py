"""The clients of the simulation: they submit what they wish for until they have it, and meddle with their tasks."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Any

from taskyard.domain.outcomes import Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import CancelAsked, Fact, Judged, PurgeAsked, RetryAsked, Submitted
from taskyard.engine.plan import Refusal, SubmitDone
from taskyard.host.errors import Overloaded
from taskyard.prove.simulation.chance import About, Chance
from taskyard.prove.simulation.door import House, Told
from taskyard.prove.simulation.journal import Journal
from taskyard.prove.simulation.script import Meddling, Script, Wish
from taskyard.prove.simulation.world import World

NOT_UTF8 = "\ud800"
EAGER = 1_000
FINAL = ("key_reused", "unstorable")


class Clients:
    """All clients of a run. Wishes that the node has no room for wait until it may have some again."""

    def __init__(self, world: World, script: Script, host: House, journal: Journal, chance: Chance) -> None:
        self._world = world
        self._host = host
        self._journal = journal
        self._chance = chance
        self._wishes = {wish.index: wish for wish in script.wishes}
        self._waiting: list[int] = []
        self._unsettled = set(self._wishes)
        self._tries: dict[int, int] = {}
        self._meddlings: dict[int, list[Meddling]] = {}
        self._patience_until = 0
        self._refused = 0  # in a row
        self._asked = 0  # submissions without an answer yet
        self._at_once = EAGER  # how many of those there may be
        for meddling in script.meddlings:
            self._meddlings.setdefault(meddling.wish, []).append(meddling)

    def start(self) -> None:
        """Let all wishes come at their times."""
        for wish in self._wishes.values():
            self._world.at(self._world.start + wish.at, self._want, wish.index)

    def done(self) -> bool:
        """Whether every wish came to something."""
        return not self._unsettled

    # --- submissions -------------------------------------------------------------------------------------------------

    def _want(self, index: int) -> None:
        heappush(self._waiting, index)
        self._go_on()

    def _go_on(self) -> None:
        """Submit what waits; after a refusal not before it is time, and few at once to begin with."""
        while self._waiting and self._world.now >= self._patience_until and self._asked < self._at_once:
            self._submit(self._wishes[heappop(self._waiting)])

    def _have_patience(self, index: int, wait: int) -> None:
        heappush(self._waiting, index)
        self._refused += 1
        self._at_once = 1
        self._patience_until = max(self._patience_until, self._world.now + wait)
        self._world.after(wait, self._go_on)

    def _submit(self, wish: Wish) -> None:
        tries = self._tries[wish.index] = self._tries.get(wish.index, 0) + 1
        fact = _submission(wish, tries, self._host.now(wish.owner))
        ref = fact.ref = self._host.door.next_ref()
        self._journal.write(self._world.now, "client", "submits", ref, _as_told(fact))
        self._asked += 1

        def answered(told: Told) -> None:
            self._asked -= 1
            write, now = self._journal.write, self._world.now
            if isinstance(told, SubmitDone):
                write(now, "client", "acked", ref, told.task_id, told.replayed)
                self._settle(wish)
                for meddling in self._meddlings.pop(wish.index, ()):
                    self._world.after(meddling.after, self._meddle, meddling, told.task_id, wish.owner)
            elif isinstance(told, Refusal):
                write(now, "client", "refused", ref, told.code)
                if told.code in FINAL:
                    self._settle(wish)
                else:
                    self._have_patience(wish.index, min(500 << min(self._refused, 6), 30_000))
            elif isinstance(told, Overloaded):
                write(now, "client", "shed", ref)
                self._have_patience(wish.index, told.retry_after_ms)
            else:
                write(now, "client", "unanswered", ref)
                wait = 200 + self._chance.below(2_000, About.CLIENT, wish.index, tries)
                self._have_patience(wish.index, wait)

        self._host.door.ask(fact, answered)

    def _settle(self, wish: Wish) -> None:
        self._unsettled.discard(wish.index)
        self._refused = 0
        self._at_once = min(2 * self._at_once, EAGER)
        self._go_on()

    # --- what people do to tasks -------------------------------------------------------------------------------------

    def _meddle(self, meddling: Meddling, task_id: str, owner: str) -> None:
        who = {"owner": owner, "admin": None}.get(meddling.who, meddling.who)
        told: dict[str, Any] = {"task_id": task_id, "owner": who, "who": who or "admin"}
        fact: Fact
        if meddling.kind == "cancel":
            fact = CancelAsked(**told)
        elif meddling.kind == "retry":
            fact = RetryAsked(**told)
        elif meddling.kind == "purge":
            fact = PurgeAsked(**told)
        else:
            result = f'{{"task": "{task_id}", "attempt": null}}' if meddling.word is Word.COMPLETED else None
            fact = Judged(**told, word=meddling.word, result=result)
        self._host.door.ask(fact, lambda result: None)


def _submission(wish: Wish, tries: int, now: int) -> Submitted:
    """What the front door makes of a call: each has a task id of its own."""
    capabilities, group, pin = wish.lane
    task_id = f"task_{now:012x}7{wish.index:012x}{tries:07x}"
    spec = Spec(
        id=task_id,
        owner=wish.owner,
        type=wish.type,
        created_at=now,
        priority=wish.priority,
        capabilities=capabilities,
        group=group,
        pin=pin,
        run_at=None if wish.run_in is None else now + wish.run_in,
        timeout_ms=wish.timeout,
        ttl_ms=wish.ttl,
        queue_timeout_ms=wish.queue_timeout,
        heartbeat_timeout_ms=wish.heartbeat_timeout,
        max_retries=wish.max_retries,
        backoff_base_ms=wish.backoff_base,
        backoff_cap_ms=8_000,
    )
    fact = Submitted(spec=spec, payload=f'{{"of": "{task_id}"}}')
    if wish.unstorable:
        fact.payload = f'"{NOT_UTF8}"'
    if wish.keyed:
        key = wish.index if wish.repeats is None else wish.repeats
        fact.key, fact.key_hash = f"key {key}", "another body" if wish.otherwise else f"body {key}"
    return fact


def number_of(task_id: str) -> int:
    """The wish that a task was submitted for."""
    return int(task_id[18:30], 16)


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
        "unstorable": NOT_UTF8 in fact.payload,
    }
