"""Turns of a busy yard, recorded: the real engine over the real store, and what its disk was told meanwhile.

After each commit the state of the whole database is noted, for that is what was acknowledged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

from taskyard.domain.outcomes import Outcome
from taskyard.engine.facts import CancelAsked, Fact
from taskyard.engine.plan import Abort, AnyEffect, Dispatch, Plan
from taskyard.store.connection import Connection
from taskyard.store.sqlite import SqliteStore
from tests.power.cuts import Left, Losses
from tests.power.disk import Acknowledged, Event
from tests.power.shim import RecordedConnection, Recorder
from tests.support.turns import Desk

SERVERS = {"cpu": (), "gpu": ("gpu",)}
SLOTS = 12
SWEEP_EVERY = 25
KEPT_MS = 1_000
BODY_MOST = 6_000  # beyond a page: values of that size overflow into pages of their own


class State(NamedTuple):
    """What was acknowledged with the `number`-th commit: the whole database, and the tasks that clients know of."""

    number: int
    digest: str
    tasks: frozenset[str]


def losses(events: list[Event]) -> Losses:
    """What tells whether a store has what was acknowledged in a record: all of it, and no commit in part."""
    states = [event.what for event in events if isinstance(event, Acknowledged)]

    def lost(left: Left, store: SqliteStore) -> str | None:
        if not left.told:
            return None
        state, following = states[left.told - 1], states[left.told : left.told + 1]
        known = state.tasks
        for after in following:
            known &= after.tasks  # it may be a sweep, which removes some
        missing = known - tasks(store._writer)
        if missing:
            return f"{len(missing)} acknowledged tasks are lost after commit {state.number}"
        # The commit that was under way may be there already, whole.
        wanted = [some.digest for some in (state, *following)]
        found = digest(store._writer)
        return None if found in wanted else f"the state is not that after commit {state.number} or the next"

    return lost


def digest(connection: Connection) -> str:
    """The content of all tables."""
    sum_ = hashlib.sha256()
    for (name,) in connection.rows("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name"):
        rows = connection.rows(f'SELECT * FROM "{name}"')
        sum_.update(repr((name, sorted(map(repr, rows)))).encode())
    return sum_.hexdigest()


def tasks(connection: Connection) -> frozenset[str]:
    """The ids of all tasks."""
    return frozenset(task for (task,) in connection.rows("SELECT id FROM task"))


class RecordedDesk(Desk):
    """A desk whose store's writes are told."""

    def __init__(self, path: Path, tell: Callable[[Event], None], port: type[RecordedConnection]) -> None:
        self.commits = 0
        self._tell = tell
        self._port = port
        super().__init__(path)

    def _open_store(self) -> SqliteStore:
        store = SqliteStore(self.path, connect=self._port)
        self.note(store)
        return store

    def _commit(self, plan: Plan) -> None:
        super()._commit(plan)
        if not plan.is_empty():
            self.note(self.store)

    def note(self, store: SqliteStore) -> None:
        """The store has promised all that is in it now."""
        self._tell(Acknowledged(State(self.commits, digest(store._writer), tasks(store._writer))))
        self.commits += 1


class Work:
    """Does what clients and backends do, one step after the other, by chance."""

    def __init__(self, desk: RecordedDesk, rng: Random) -> None:
        self._desk = desk
        self._rng = rng
        self._running: dict[str, int] = {}
        for server, capabilities in SERVERS.items():
            self._after(desk.take(desk.registered(server, capabilities=capabilities, max_concurrent=SLOTS)))
            self._after(desk.check(server, True))

    def step(self) -> None:
        """One turn, or a few."""
        desk, rng = self._desk, self._rng
        desk.now += rng.randrange(50)
        if desk.commits % SWEEP_EVERY == 0:
            desk.store.sweep(desk.now - KEPT_MS, desk.now - KEPT_MS, 100)
            desk.note(desk.store)
        chance = rng.random()
        if chance < 0.45 or not self._running:
            self._after(desk.take(*(self._submission() for _ in range(rng.randint(1, 4)))))
        elif chance < 0.95:
            self._after(desk.take(*(self._end(task) for task in self._some(3))))
        elif chance < 0.98:
            [task] = self._some(1)
            self._after(desk.take(CancelAsked(task_id=task, owner="ann", who="ann")))
        else:
            self._after(desk.advance(rng.randrange(5_000)))

    def _submission(self) -> Fact:
        rng = self._rng
        return self._desk.submitted(
            payload=f'{{"text": "{"p" * rng.randrange(BODY_MOST)}"}}',
            key=f"key {rng.random()}" if rng.random() < 0.2 else None,
            capabilities=("gpu",) if rng.random() < 0.3 else (),
            priority=rng.randrange(3),
            tags=("a", "b") if rng.random() < 0.2 else (),
        )

    def _some(self, most: int) -> list[str]:
        return self._rng.sample(sorted(self._running), min(len(self._running), self._rng.randint(1, most)))

    def _end(self, task: str) -> Fact:
        rng, attempt = self._rng, self._running.pop(task)
        if rng.random() < 0.8:
            result = f'"{"r" * rng.randrange(BODY_MOST)}"'
            return self._desk.ended(task, Outcome.COMPLETED, attempt, result=result)
        return self._desk.ended(task, Outcome.FAILED, attempt, http_status=500, error="broken")

    def _after(self, effects: list[AnyEffect]) -> None:
        for effect in effects:
            if isinstance(effect, Dispatch):
                self._running[effect.task_id] = effect.attempt
            elif isinstance(effect, Abort):
                self._running.pop(effect.task_id, None)


def record(path: Path, commits: int, seed: int, port: type[RecordedConnection] = RecordedConnection) -> list[Event]:
    """Everything that a disk was told while a yard made so many commits, its first start included."""
    events: list[Event] = []
    recorder = Recorder(events.append)
    desk = RecordedDesk(path, events.append, port)
    try:
        work = Work(desk, Random(seed))
        while desk.commits < commits:
            work.step()
    finally:
        desk.close()
        recorder.unregister()
    return events
