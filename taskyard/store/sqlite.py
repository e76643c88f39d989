"""The store on one SQLite file: one writer, short reads beside it, the data directory locked for life.

The port to SQLite is an argument, so that the conformance suite can put a stricter one in its place.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from taskyard.engine.plan import Found, Lookup, Plan, Receipt, Snapshot
from taskyard.engine.rows import AttemptRow, AuditRow, Record, StatRow
from taskyard.store import start, turns
from taskyard.store.backup import Copy
from taskyard.store.ballast import Ballast
from taskyard.store.connection import WAL_MOST_BYTES, Connection, Value, meaning, name_of, read_failure
from taskyard.store.damage import Damaged
from taskyard.store.directory import DataDirectory
from taskyard.store.figures import Figures, Keep
from taskyard.store.listing import list_tasks, whole_of
from taskyard.store.port import (
    DiskFull,
    OutcomeUnknown,
    Page,
    Purged,
    StoreError,
    TaskQuery,
    Unreadable,
    Unusable,
    WholeTask,
)
from taskyard.store.queries import QUERIES
from taskyard.store.records import records
from taskyard.store.schema import check_file, migrate

_BALLAST: Final = "ballast"
# To open a database takes some room beside it: the shared memory of its WAL, and what a cut-off write has left.
_START_BYTES: Final = 1 << 20
_READERS_KEPT: Final = 8
# A WAL that could not be cut, for somebody reads it, is tried again after so long: each try waits for the readers.
_TRIM_AGAIN_S: Final = 1.0
# A sweep touches pages all over the file. It copies them out of the WAL itself, a few at a time: no turn shall have to.
_SWEEP_WAL_PAGES: Final = 500
# How many free pages a sweep gives back.
_RELEASE_PAGES: Final = 256


class SqliteStore:
    """A `Store` in a data directory.

    `path` is the directory; with `create` what is missing in it is made, otherwise it must be there. `ballast` is the
    size in bytes of what is kept for a full disk. Raises `Unusable`.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        create: bool = True,
        ballast: int = 0,
        connect: Callable[..., Connection] = Connection,
    ) -> None:
        self._connect = connect
        self._directory = DataDirectory(Path(path), create=create)
        self._ballast = Ballast(self._directory.path / _BALLAST, ballast)
        try:
            self._find_room()
            check_file(self._directory.database, self._directory.beside("-wal"))
            self._writer = self._open_writer()
            self._ballast.keep()
        except BaseException:
            self._directory.release()
            raise
        self._idle: list[Connection] = []
        self._idle_guard = threading.Lock()
        self._closed = False
        self._failure: str | None = None
        self._trim_at = 0.0

    def _open_writer(self) -> Connection:
        path = self._directory.database
        try:
            writer = self._connect(path, writer=True)
            try:
                migrate(writer)
            except BaseException:
                writer.close()
                raise
        except (sqlite3.Error, StoreError) as error:
            raise Unusable(str(path) + ": it cannot be opened (" + str(error) + ")") from error
        return writer

    def _find_room(self) -> None:
        """A start needs some; without it, a sound database would look damaged. Raises `Unusable`."""
        path = self._directory.path
        try:
            self._ballast.take_over()
            if self._directory.free_bytes() < _START_BYTES:
                self._ballast.release()
                if self._directory.free_bytes() < _START_BYTES:
                    raise Unusable(str(path) + ": the disk is full: make room for the database to be opened")
        except OSError as error:
            raise Unusable(str(path) + ": " + str(error.strerror) + ": give it to this user") from error

    # --- the turn ----------------------------------------------------------------------------------------------------

    def lookup(self, ask: Lookup) -> Found:
        """The tasks and idempotency keys of one turn. Raises `StoreError`."""
        self._check_open()
        with self._writer.reading():
            return turns.look_up(self._writer, ask)

    def commit(self, plan: Plan) -> Receipt:
        """Store a plan and read what it asks for, in one durable transaction. Raises `BadData` or `OutcomeUnknown`."""
        self._check_open()
        try:
            return self._commit(plan)
        except DiskFull:
            if not self._ballast.release():
                raise
        return self._commit(plan)

    def _commit(self, plan: Plan) -> Receipt:
        with self._changing():
            turns.write(self._writer, plan.writes)
            return turns.read(self._writer, plan)

    def recover(self, wakes: int) -> Snapshot:
        """All that a start needs; at most `wakes` queued tasks by wake time. Raises `StoreError`."""
        self._check_open()
        with self._writer.reading():
            snapshot = start.read_snapshot(self._writer, wakes)
        self._failure = None
        return snapshot

    def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
        """Remove at most `most` tasks that ended before a time, and expired keys. Raises `OutcomeUnknown`.

        The ballast is made again here, when there is room for it.
        """
        self._check_open()
        self._ballast.keep()
        with self._writer.checkpointing_at(_SWEEP_WAL_PAGES):
            with self._changing():
                removed = start.sweep(self._writer, ended_before, keys_before, most)
            try:
                self._writer.release(_RELEASE_PAGES)
            except sqlite3.Error as error:
                raise OutcomeUnknown(
                    "the database cannot be made smaller (" + meaning(error) + ")", name_of(error)
                ) from error
        return removed

    def forget(self, keep: Keep) -> int:
        """Remove figures that are kept no longer, at most so many rows of a kind. Raises `OutcomeUnknown`."""
        self._check_open()
        with self._changing():
            return start.forget(self._writer, keep)

    @contextmanager
    def _changing(self) -> Iterator[None]:
        try:
            with self._writer.writing():
                yield
        except OutcomeUnknown as error:
            self._failure = str(error)
            raise
        self._failure = None
        self._bound_wal()

    def _bound_wal(self) -> None:
        """Keep the WAL to its bound, as far as readers let it: one that lasts makes a commit wait once a second."""
        if self._directory.size("-wal") > WAL_MOST_BYTES and time.monotonic() >= self._trim_at:
            self._writer.trim_wal()
            self._trim_at = time.monotonic() + _TRIM_AGAIN_S

    # --- reads for the API -------------------------------------------------------------------------------------------

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """A connection of this call's own, at one state of the database."""
        self._check_open()
        with self._idle_guard:
            reader = self._idle.pop() if self._idle else None
        if reader is None:
            try:
                reader = self._connect(self._directory.database)
            except sqlite3.Error as error:
                raise read_failure(error) from error
        try:
            with reader.reading():
                yield reader
        finally:
            with self._idle_guard:
                keep = not self._closed and len(self._idle) < _READERS_KEPT
                if keep:
                    self._idle.append(reader)
            if not keep:
                reader.close()

    def task(self, task_id: str, owner: str | None) -> Record | None:
        """A task with its live state."""
        with self._reading() as reader:
            return _record(reader, task_id, owner)

    def whole_task(self, task_id: str, owner: str | None, *, payload: bool = False) -> WholeTask | None:
        """A task with all that is its, of one state of the database."""
        with self._reading() as reader:
            record = _record(reader, task_id, owner)
            if record is None:
                return None
            *_, result = reader.row(QUERIES["result"], (task_id,))
            *_, sent = reader.row(QUERIES["payload"], (task_id,)) if payload else (None,)
            return whole_of(record, _history(reader, task_id), result, sent, _repetition(reader, task_id, owner))

    def tasks(self, query: TaskQuery) -> Page:
        """A page of tasks."""
        with self._reading() as reader:
            return list_tasks(_Lists(reader), query)

    def history(self, task_id: str) -> list[AttemptRow]:
        """The history entries of a task, oldest first."""
        with self._reading() as reader:
            return _history(reader, task_id)

    def attempt_server(self, task_id: str, attempt: int) -> str | None:
        """The server of an attempt, wherever it is recorded."""
        one = (task_id, attempt)
        with self._reading() as reader:
            (server,) = reader.row(QUERIES["attempt_server"], (*one, *one, *one, attempt, *one))
        return None if server is None else str(server)

    def payload(self, task_id: str, owner: str | None) -> str | None:
        """A task's payload as JSON text. Raises `Purged`, `Unreadable`."""
        return self._body("payload", task_id, owner)

    def result(self, task_id: str, owner: str | None) -> str | None:
        """A task's result as JSON text. Raises `Purged`, `Unreadable`."""
        return self._body("result", task_id, owner)

    def _body(self, name: str, task_id: str, owner: str | None) -> str | None:
        with self._reading() as reader:
            row = reader.row(QUERIES[name], (task_id,))
        if row is None or not _may_see(owner, row[0]):
            return None
        _, purged, body = row
        if purged:
            raise Purged
        if isinstance(body, Damaged):
            raise Unreadable
        return None if body is None else str(body)

    def resubmitted_as(self, task_id: str, owner: str | None) -> str | None:
        """The newest task that was submitted as a repetition of this one."""
        with self._reading() as reader:
            return _repetition(reader, task_id, owner)

    def ready_between(self, lane: int, limit_key: str, avoid: str, from_rank: int, below: int, most: int) -> int:
        """How many ready tasks of a flow stand between two ranks."""
        with self._reading() as reader:
            (count,) = reader.row(QUERIES["ready_between"], (lane, limit_key, avoid, from_rank, below, most))
        return int(count)

    def stats(self, from_hour: int, to_hour: int, scope: str, key: str | None = None) -> list[StatRow]:
        """Counters by hour and key, in order of hour."""
        with self._reading() as reader:
            if key is None:
                rows = reader.rows(QUERIES["stats_of_scope"], (scope, from_hour, to_hour))
            else:
                rows = reader.rows(QUERIES["stats_of_key"], (scope, key, from_hour, to_hour))
        return [StatRow._make(row) for row in rows]

    def stats_total(self, scope: str, key: str) -> StatRow:
        """The sums over all hours for one key."""
        with self._reading() as reader:
            return StatRow(0, scope, key, *reader.row(QUERIES["stats_total"], (scope, key)))

    def audit(self, limit: int) -> list[AuditRow]:
        """The newest audit rows."""
        with self._reading() as reader:
            return [AuditRow._make(row) for row in reader.rows(QUERIES["audit"], (limit,))]

    @property
    def figures(self) -> Figures:
        """What overview, failures and histories are read from."""
        return Figures(self._rows)

    def _rows(self, name: str, values: Sequence[Value] = ()) -> list[Any]:
        with self._reading() as reader:
            return reader.rows(QUERIES[name], values)

    # --- the store itself --------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raises `StoreError` when the last write failed, the disk is full or the database cannot be read."""
        with self._reading() as reader:
            reader.row(QUERIES["alive"])
        if self._failure is not None:
            raise StoreError(self._failure)
        tight = self.tight()
        if tight is not None:
            raise StoreError(tight)

    def tight(self) -> str | None:
        """Why nothing new should be taken in: the ballast was given up, and there is no room for it yet."""
        return self._ballast.missing()

    def copy(self, file: Path) -> Copy:
        """Begin a copy of the database into a new file; its steps are the writer's. Raises `StoreError`."""
        self._check_open()
        return Copy(self._writer, file)

    def sizes(self) -> dict[str, int]:
        """Sizes in bytes: "database", "wal", "ballast"."""
        return {
            "database": self._directory.size(""),
            "wal": self._directory.size("-wal"),
            "ballast": self._ballast.size if self._ballast.held else 0,
        }

    def close(self) -> None:
        """Release everything; calls after it are errors."""
        with self._idle_guard:
            if self._closed:
                return
            self._closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()
        self._writer.close()
        self._directory.release()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


class _Lists:
    """A connection as the lists need it."""

    def __init__(self, reader: Connection) -> None:
        self._reader = reader

    def rows(self, name: str, values: Sequence[Value] = ()) -> list[Any]:
        return self._reader.rows(QUERIES[name], values)

    def records(self, ids: list[str]) -> list[Record]:
        return records(self._reader.rows(QUERIES["records"], (turns.id_list(ids),)))


def _record(reader: Connection, task_id: str, owner: str | None) -> Record | None:
    found = records(reader.rows(QUERIES["record"], (task_id,)))
    return found[0] if found and _may_see(owner, found[0].task.owner) else None


def _history(reader: Connection, task_id: str) -> list[AttemptRow]:
    return [AttemptRow._make(row) for row in reader.rows(QUERIES["history"], (task_id,))]


def _repetition(reader: Connection, task_id: str, owner: str | None) -> str | None:
    if owner is None:
        row = reader.row(QUERIES["resubmitted_as"], (task_id,))
    else:
        row = reader.row(QUERIES["resubmitted_by"], (task_id, owner))
    return None if row is None else str(row[0])


def _may_see(owner: str | None, owner_of_task: str) -> bool:
    return owner is None or owner == owner_of_task
