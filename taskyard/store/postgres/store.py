"""The store on PostgreSQL: one connection that writes under the decider's lease, others for reads.

When the writing connection is lost, every call of the turn fails until `recover` has opened another and taken the lease
anew: only then is it known that nothing of the old one can still be committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

from taskyard.engine.plan import Found, Lookup, Plan, Receipt, Snapshot
from taskyard.engine.rows import AttemptRow, AuditRow, Record, StatRow
from taskyard.store.figures import Figures, Keep, forgetting
from taskyard.store.listing import list_tasks, whole_of
from taskyard.store.port import (
    NotDeciding,
    OutcomeUnknown,
    Page,
    Purged,
    StoreError,
    TaskQuery,
    WholeTask,
)
from taskyard.store.postgres import schema, turns
from taskyard.store.postgres.connection import Connection, Failed, Lost, read_failure, write_failure
from taskyard.store.postgres.days import Days
from taskyard.store.postgres.lease import Lease
from taskyard.store.postgres.nodes import Nodes
from taskyard.store.postgres.queries import QUERIES, Call
from taskyard.store.postgres.readers import START_LIMIT_S, Readers, State
from taskyard.store.postgres.records import records
from taskyard.store.postgres.sizes import Sizes
from taskyard.store.postgres.start import read_snapshot
from taskyard.store.postgres.sweep import Sweep

# A turn that takes longer is given up; the node is away until the database answers in time again.
_LIMIT_S: Final = 15.0


class PostgresStore:
    """A `Store` in a database or in a schema of one.

    `url` is a `postgresql://` URL as libpq reads it; `fingerprints` are those of the secret keys, the present one
    first. Raises `StoreError`, `Unusable` among them.
    """

    def __init__(self, url: str, fingerprints: tuple[str, ...] = ()) -> None:
        self._url = url
        schema.prepare(url, fingerprints)
        self._days = Days()
        self._sweep = Sweep(self._days)
        self._readers = Readers(self._connect)
        self._lease = Lease(self._connect)
        self.nodes = Nodes(self._lease.holder, self._connect)
        self._sizes = Sizes(self._size)
        self._closed = False
        self._waits = False  # for the lease that another node has
        self._failure: str | None = None
        self._writer = self._connect()
        try:
            with self._reading():
                with suppress(NotDeciding):  # `recover` says so
                    self._lease.take(self._writer)
                self._look_at_days()
                self._lease.start()
        except BaseException:
            self._writer.close()
            raise
        self._sizes.start()

    def _connect(self) -> Connection:
        return Connection(self._url)

    def _look_at_days(self) -> None:
        ((*rows,),) = self._writer.exchange([QUERIES["days"].with_values(())], _LIMIT_S)
        self._days.reset(day for (day,) in rows)

    # --- the turn ----------------------------------------------------------------------------------------------------

    def lookup(self, ask: Lookup) -> Found:
        """The tasks and idempotency keys of one turn.

        Raises `StoreError`, also when another node decides now: what that one did would not fit what this one knows.
        """
        self._check_open()
        calls = turns.lookup_calls(ask)
        with self._reading():
            return turns.found(ask, self._exchange(calls))

    def commit(self, plan: Plan) -> Receipt:
        """Store a plan and read what it asks for, in one durable transaction. Raises `BadData` or `OutcomeUnknown`."""
        self._check_open()
        missing = self._days.missing(plan.writes)
        days = [QUERIES["make_day"].with_values((day,)) for day in sorted(missing)]
        reads = turns.read_calls(plan)
        with self._changing():
            answers = self._exchange([*days, *turns.write_calls(plan.writes), *turns.post_calls(plan.post), *reads])
        self._days.made(missing)
        return turns.receipt(plan, answers[len(answers) - len(reads) :])

    def recover(self, wakes: int) -> Snapshot:
        """All that a start needs; at most `wakes` queued tasks by wake time. Raises `StoreError`."""
        self._check_open()
        if not self._writer.usable:
            self._writer.close()
            self._writer = self._connect()
        with self._reading():
            self._waits = True
            self._lease.take(self._writer)
            self._waits = False
            self._look_at_days()
            self._sweep.start_over()
            state = State(self._writer, START_LIMIT_S, whole=True)
            try:
                snapshot = read_snapshot(state, wakes)
                state.end()
            except BaseException:
                self._writer.close()
                raise
        self._failure = None
        return snapshot

    def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
        """Remove at most `most` tasks that ended before a time, and expired keys. Raises `OutcomeUnknown`.

        Nothing while another node decides: that one sweeps.
        """
        self._check_open()
        if self._waits:
            return 0
        with self._changing():
            return self._sweep.sweep(self._exchange, ended_before, keys_before, most)

    @property
    def epoch(self) -> int:
        """The number of the lease that this process had last."""
        return self._lease.epoch

    def hand_over(self) -> None:
        """Stop to decide, so that another node can at once; when this fails, once the lease has expired.

        Raises `OutcomeUnknown`.
        """
        self._check_open()
        self._waits = True
        self._lease.let_expire()
        with self._changing():
            self._lease.leave(self._writer)

    def forget(self, keep: Keep) -> int:
        """Remove figures that are kept no longer, at most so many rows of a kind. Raises `OutcomeUnknown`.

        Nothing while another node decides: that one does.
        """
        self._check_open()
        if self._waits:
            return 0
        with self._changing():
            removed = self._exchange([QUERIES[name].with_values(values) for name, values in forgetting(keep)])
        return max(int(count) for ((count,),) in removed)

    def _exchange(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Carry out calls in one transaction that proves the epoch; the rows of each."""
        proof = QUERIES["prove"].with_values((self._lease.epoch,))
        return self._writer.exchange([proof, *calls], _LIMIT_S)[1:]

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            if not self._writer.usable:
                raise OutcomeUnknown("the connection to the database was lost")
            yield
        except (Lost, Failed) as error:
            failure = write_failure(error)
            if isinstance(failure, OutcomeUnknown):
                self._failure = str(failure)
            raise failure from error
        self._failure = None

    @contextmanager
    def _reading(self) -> Iterator[None]:
        if not self._writer.usable:
            raise StoreError("the connection to the database was lost")
        try:
            yield
        except (Lost, Failed) as error:
            failure = read_failure(error)
            self._failure = str(failure)
            raise failure from error

    # --- reads for the API -------------------------------------------------------------------------------------------

    def task(self, task_id: str, owner: str | None) -> Record | None:
        """A task with its live state."""
        found = records(self._readers.rows("record", (task_id,)))
        return found[0] if found and _may_see(owner, found[0].task.owner) else None

    def whole_task(self, task_id: str, owner: str | None, *, payload: bool = False) -> WholeTask | None:
        """A task with all that is its, of one state of the database."""

        def read(state: State) -> WholeTask | None:
            found = records(state.rows("record", (task_id,)))
            if not found or not _may_see(owner, found[0].task.owner):
                return None
            ((*_, result),) = state.rows("result", (task_id,))
            ((*_, sent),) = state.rows("payload", (task_id,)) if payload else [(None,)]
            history = [AttemptRow._make(row) for row in state.rows("history", (task_id,))]
            repeated = (
                state.rows("resubmitted_as", (task_id,))
                if owner is None
                else state.rows("resubmitted_by", (task_id, owner))
            )
            repetition = str(repeated[0][0]) if repeated else None
            return whole_of(found[0], history, result, sent, repetition)

        return self._readers.state(read)

    def tasks(self, query: TaskQuery) -> Page:
        """A page of tasks."""
        return self._readers.state(lambda state: list_tasks(state, query))

    def history(self, task_id: str) -> list[AttemptRow]:
        """The history entries of a task, oldest first."""
        return [AttemptRow._make(row) for row in self._readers.rows("history", (task_id,))]

    def attempt_server(self, task_id: str, attempt: int) -> str | None:
        """The server of an attempt, wherever it is recorded."""
        ((server,),) = self._readers.rows("attempt_server", (task_id, attempt))
        return None if server is None else str(server)

    def payload(self, task_id: str, owner: str | None) -> str | None:
        """A task's payload as JSON text. Raises `Purged`."""
        return self._body("payload", task_id, owner)

    def result(self, task_id: str, owner: str | None) -> str | None:
        """A task's result as JSON text. Raises `Purged`."""
        return self._body("result", task_id, owner)

    def _body(self, name: str, task_id: str, owner: str | None) -> str | None:
        for owner_of_task, purged, body in self._readers.rows(name, (task_id,)):
            if not _may_see(owner, owner_of_task):
                return None
            if purged:
                raise Purged
            return None if body is None else str(body)
        return None

    def resubmitted_as(self, task_id: str, owner: str | None) -> str | None:
        """The newest task that was submitted as a repetition of this one."""
        if owner is None:
            rows = self._readers.rows("resubmitted_as", (task_id,))
        else:
            rows = self._readers.rows("resubmitted_by", (task_id, owner))
        return str(rows[0][0]) if rows else None

    def ready_between(self, lane: int, limit_key: str, avoid: str, from_rank: int, below: int, most: int) -> int:
        """How many ready tasks of a flow stand between two ranks."""
        ((count,),) = self._readers.rows("ready_between", (lane, limit_key, avoid, from_rank, below, most))
        return int(count)

    def stats(self, from_hour: int, to_hour: int, scope: str, key: str | None = None) -> list[StatRow]:
        """Counters by hour and key, in order of hour."""
        if key is None:
            rows = self._readers.rows("stats_of_scope", (scope, from_hour, to_hour))
        else:
            rows = self._readers.rows("stats_of_key", (scope, key, from_hour, to_hour))
        return [StatRow._make(row) for row in rows]

    def stats_total(self, scope: str, key: str) -> StatRow:
        """The sums over all hours for one key."""
        (sums,) = self._readers.rows("stats_total", (scope, key))
        return StatRow(0, scope, key, *sums)

    def audit(self, limit: int) -> list[AuditRow]:
        """The newest audit rows."""
        return [AuditRow._make(row) for row in self._readers.rows("audit", (limit,))]

    @property
    def figures(self) -> Figures:
        """What overview, failures and histories are read from."""
        return Figures(self._readers.rows)

    # --- the store itself --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `StoreError` when the last write failed, or the database cannot be read or is a standby."""
        self._check_open()
        ((standby,),) = self._readers.rows("alive")
        if self._failure is not None:
            raise StoreError(self._failure)
        if standby:
            raise StoreError("the database is a standby that cannot be written")

    def tight(self) -> str | None:
        """Why nothing new should be taken in: never, since nothing is held back for a full disk of the server's."""
        return None

    def sizes(self) -> dict[str, int]:
        """Sizes in bytes, measured now and then: "database"."""
        return {"database": self._sizes.database}

    def _size(self) -> int:
        ((size,),) = self._readers.rows("size")
        return int(size)

    def close(self) -> None:
        """Hand the lease over and release everything; calls after it are errors."""
        if self._closed:
            return
        self._closed = True
        self._sizes.stop()
        self._readers.close()
        self.nodes.close()
        self._lease.stop()
        try:
            if self._writer.usable:
                self._lease.leave(self._writer)
        except (Lost, Failed):
            pass  # it expires by itself
        self._writer.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _may_see(owner: str | None, owner_of_task: str) -> bool:
    return owner is None or owner == owner_of_task
