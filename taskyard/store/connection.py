"""The port to SQLite: the only place that knows PRAGMA, BEGIN and sqlite3's errors. Knows nothing of tasks.

Another way in (the conformance suite has one that refuses what other databases could not do) is a subclass.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Final

from taskyard.store.damage import DamagedRows, read_text
from taskyard.store.port import BadData, DiskFull, OutcomeUnknown, StoreError, Unusable
from taskyard.store.queries import widened

Value = int | str | None

# A checkpoint costs two fsyncs and each page once, however often it changed: seldom is cheaper, and a start reads the
# WAL. 32 MiB; a WAL that long reads have let grow past the second figure is cut by waiting for the readers.
WAL_PAGES: Final = 8_000
WAL_MOST_BYTES: Final = 64 << 20
# How many rows one step of a change takes: the interpreter is let go, and must be waited for, at each step.
_WIDTHS: Final = (64, 16, 4)
_WRITER_CACHE_KIB: Final = 65_536
_READER_CACHE_KIB: Final = 4_096
# Nobody else writes, so only the cutting of the WAL ever waits, for reads.
_BUSY_S: Final = 0.25
_COPY_AGAIN_S: Final = 0.001

_DATA_ERRORS: Final = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeEncodeError,
)
# What SQLite's errors mean, by how their names begin. Its own words may quote what is stored.
_MEANINGS: Final = (
    ("SQLITE_CORRUPT", "the file is damaged"),
    ("SQLITE_NOTADB", "the file is damaged"),
    ("SQLITE_BUSY", "another process has locked it"),
    ("SQLITE_LOCKED", "another process has locked it"),
    ("SQLITE_FULL", "the disk is full"),
    ("SQLITE_IOERR", "the disk has failed"),
    ("SQLITE_CANTOPEN", "a file cannot be opened"),
    ("SQLITE_READONLY", "it may not be written"),
    ("SQLITE_PERM", "it may not be opened"),
    ("SQLITE_NOMEM", "there is no memory left"),
)


def name_of(error: BaseException) -> str:
    """SQLite's name for an error, or that of its kind: for logs."""
    name: str = getattr(error, "sqlite_errorname", "")
    if name == "unknown":  # newer than Python
        return "SQLITE " + str(getattr(error, "sqlite_errorcode", ""))
    return name or type(error).__name__


def _is_of_text(error: BaseException) -> bool:
    """Whether it is Python's word that a text is no UTF-8: SQLite's own errors have a code."""
    return not hasattr(error, "sqlite_errorcode") and str(error).startswith("Could not decode to UTF-8")


def meaning(error: BaseException) -> str:
    """What an error says, in words of ours."""
    if _is_of_text(error):
        return "a text in it is no UTF-8: `taskyard check` says where"
    name = name_of(error)
    return next((words for start, words in _MEANINGS if name.startswith(start)), "SQLite reports " + name)


def read_failure(error: sqlite3.Error) -> StoreError:
    """What a failed read means."""
    name = name_of(error)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return Unusable("the database is damaged: restore it from a backup", name)
    return StoreError("the database cannot be read (" + meaning(error) + ")", name)


def write_failure(error: sqlite3.Error) -> OutcomeUnknown:
    """What a failed commit means."""
    name = name_of(error)
    reason = "the database cannot be written (" + meaning(error) + ")"
    # A frame of the WAL found no room, so the commit's own, the last one, is not there.
    return DiskFull(reason, name) if name == "SQLITE_FULL" else OutcomeUnknown(reason, name)


def _refused(error: Exception) -> BadData:
    if isinstance(error, UnicodeEncodeError):
        why = "a text that is no Unicode"
    elif isinstance(error, OverflowError):
        why = "a number that is too large"
    elif isinstance(error, sqlite3.IntegrityError):
        why = "what contradicts what is stored"
    else:
        why = "a value of a wrong kind"
    return BadData("the store refuses " + why, name_of(error))


def _is_text(stored: bytes) -> bool:
    try:
        stored.decode()
    except UnicodeDecodeError:
        return False
    return True


def _untouched(path: Path) -> str:
    """How to open a file that is only looked at. Where no journal is open, SQLite shall make none beside it either."""
    for suffix in ("-wal", "-journal"):
        journal = path.with_name(path.name + suffix)
        if journal.exists() and journal.stat().st_size:
            return "?mode=ro"
    return "?mode=ro&immutable=1"


class Connection:
    """One connection. `writer` may change the database; without it, every change is refused by SQLite.

    `read_only` opens the file so that not even a checkpoint can touch it; nobody else may have it open.
    """

    most_values: ClassVar[int] = 32_766  # in one statement

    def __init__(self, path: Path, *, writer: bool = False, read_only: bool = False) -> None:
        self.path = path
        self._wide: dict[str, list[tuple[int, str]]] = {}
        self._db = self._open(path.absolute().as_uri() + (_untouched(path) if read_only else "?mode=rw"))
        if writer:
            # Before the first table: a file's form is settled then.
            self._pragma("PRAGMA auto_vacuum = INCREMENTAL")
            self._pragma("PRAGMA journal_mode = WAL")
            self._pragma("PRAGMA synchronous = FULL")
            self._pragma("PRAGMA foreign_keys = OFF")
            self._pragma("PRAGMA secure_delete = FAST")
            self._pragma("PRAGMA wal_autocheckpoint = " + str(WAL_PAGES))
            self._pragma("PRAGMA journal_size_limit = " + str(WAL_MOST_BYTES))
        else:
            self._pragma("PRAGMA query_only = ON")
        self._pragma("PRAGMA cache_size = -" + str(_WRITER_CACHE_KIB if writer else _READER_CACHE_KIB))

    def _open(self, uri: str) -> sqlite3.Connection:
        return sqlite3.connect(
            uri,
            uri=True,
            timeout=_BUSY_S,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )

    def _pragma(self, statement: str) -> Any:
        row = self._db.execute(statement).fetchall()
        return row[0][0] if row else None

    # --- statements --------------------------------------------------------------------------------------------------

    def rows(self, statement: str, values: Sequence[Value] = ()) -> list[Any]:
        """All rows of a query, as tuples: `DamagedRows` with `Damaged` in them where a text cannot be read."""
        try:
            return self._db.execute(statement, values).fetchall()
        except sqlite3.OperationalError as error:
            if not _is_of_text(error):
                raise
        return self._damaged_rows(statement, values)

    def _damaged_rows(self, statement: str, values: Sequence[Value]) -> DamagedRows:
        """The same, where a text is no UTF-8; a call for each text is too dear for every day."""
        self._db.text_factory = read_text
        try:
            return DamagedRows(self._db.execute(statement, values).fetchall())
        finally:
            self._db.text_factory = str

    def each(self, statement: str, values: Sequence[Value] = ()) -> Iterator[Any]:
        """The rows of a query one after the other, for more than memory holds."""
        return self._db.execute(statement, values)

    def row(self, statement: str, values: Sequence[Value] = ()) -> Any:
        """The first row of a query, or `None`."""
        found = self.rows(statement, values)
        return found[0] if found else None

    def change(self, statement: str, values: Sequence[Value] = ()) -> int:
        """Carry out one change; returns how many rows it changed."""
        return self._db.execute(statement, values).rowcount

    def change_each(self, statement: str, rows: Iterable[Sequence[Value]]) -> None:
        """Carry out a change for each row of values, in their order."""
        left = list(rows)
        for wide, text in self._widths(statement):
            while len(left) >= wide and wide * len(left[0]) <= self.most_values:
                self._db.execute(text, tuple(chain.from_iterable(left[:wide])))
                del left[:wide]
        if left:
            # sqlite3 reads a plain tuple a quarter faster than a named one.
            self._db.executemany(statement, map(tuple, left))

    def _widths(self, statement: str) -> list[tuple[int, str]]:
        """The statement for many rows at once, the widest first; nothing for one that takes them one by one."""
        known = self._wide.get(statement)
        if known is None:
            known = self._wide[statement] = [
                (wide, text) for wide in _WIDTHS if (text := widened(statement, wide)) is not None
            ]
        return known

    # --- transactions ------------------------------------------------------------------------------------------------

    @contextmanager
    def writing(self) -> Iterator[None]:
        """A durable transaction. Raises `BadData` (a value was refused) or `OutcomeUnknown` (the database failed)."""
        try:
            if self._db.in_transaction:  # what a failure left behind
                self._db.execute("ROLLBACK")
            self._db.execute("BEGIN IMMEDIATE")
            yield
            self._db.execute("COMMIT")
        except _DATA_ERRORS as error:
            self._rollback()
            raise _refused(error) from error
        except sqlite3.Error as error:
            self._rollback()
            raise write_failure(error) from error
        except BaseException:
            self._rollback()
            raise

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One state of the database for several reads. Raises `StoreError`, or `BadData` for an unusable value."""
        try:
            self._db.execute("BEGIN")
            yield
        except _DATA_ERRORS as error:
            raise _refused(error) from error
        except sqlite3.Error as error:
            raise read_failure(error) from error
        finally:
            self._rollback()

    def _rollback(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the first error says more; `writing` tries again

    # --- the file ----------------------------------------------------------------------------------------------------

    def identity(self) -> tuple[int, int, int]:
        """The application's number, the schema's number, and how many tables and indexes there are."""
        (entries,) = self.row("SELECT count(*) FROM sqlite_schema")
        return self._pragma("PRAGMA application_id"), self._pragma("PRAGMA user_version"), entries

    def check_structure(self) -> None:
        """Check the structure of the whole file, about a second per GiB. Raises `sqlite3.DatabaseError`."""
        verdict = self._pragma("PRAGMA quick_check(1)")
        if verdict != "ok":
            raise sqlite3.DatabaseError(str(verdict).splitlines()[-1])

    def migrate(self, application: int, number: int, statements: Iterable[str]) -> None:
        """Carry out one step of the schema and note its number, all or nothing."""
        with self.writing():
            for statement in statements:
                self._db.execute(statement)
            self._pragma("PRAGMA application_id = " + str(application))
            self._pragma("PRAGMA user_version = " + str(number))

    def check_whole(self, most: int) -> list[str]:
        """Check structure, indexes and columns of the whole file, some seconds per GiB; at most so many faults."""
        rows = self.rows("PRAGMA integrity_check(" + str(most) + ")")
        return [] if rows == [("ok",)] else [line for (text,) in rows for line in str(text).splitlines()]

    def know_text(self) -> None:
        """From now on `is_text(blob)` in a statement tells whether bytes are UTF-8."""
        self._db.create_function("is_text", 1, _is_text, deterministic=True)

    def copy_into(self, path: Path, pages: int, between: Callable[[int, int], None]) -> None:
        """Copy the database into an empty file, so many pages at a time.

        After each time but the last `between` is called with how many pages are left and how many there are; while it
        runs this connection may be written to (by another thread), and the copy follows. What `between` raises ends it.
        A file that is not copied to its end is of no use, and nothing is synced. Raises `sqlite3.Error`.
        """
        target = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            target.execute("PRAGMA cache_size = -" + str(_READER_CACHE_KIB))

            def look(status: int, left: int, pages: int) -> None:
                if status != sqlite3.SQLITE_DONE:
                    between(left, pages)

            self._db.backup(target, pages=pages, progress=look, sleep=_COPY_AGAIN_S)
        finally:
            target.close()

    @contextmanager
    def checkpointing_at(self, pages: int) -> Iterator[None]:
        """Within, a commit that leaves the WAL with so many pages copies them into the database, if not with fewer."""
        usual = self._pragma("PRAGMA wal_autocheckpoint")
        self._pragma("PRAGMA wal_autocheckpoint = " + str(min(pages, usual)))
        try:
            yield
        finally:
            self._pragma("PRAGMA wal_autocheckpoint = " + str(usual))

    def trim_wal(self) -> None:
        """Cut the WAL, waiting a while for the readers that hold it. What is committed is so whatever comes of it."""
        with suppress(sqlite3.Error):  # the disk is full or fails: the next commit finds out, and can be refused
            self._pragma("PRAGMA wal_checkpoint(TRUNCATE)")

    def release(self, pages: int) -> None:
        """Give at most so many free pages back to the file system, when more than a quarter of the file is free."""
        if self._pragma("PRAGMA freelist_count") * 4 > self._pragma("PRAGMA page_count"):
            # Works a page per step, and only a script is stepped to its end.
            self._db.executescript("PRAGMA incremental_vacuum(" + str(pages) + ")")

    def close(self) -> None:
        """Close; a transaction that is open is rolled back."""
        self._db.close()
