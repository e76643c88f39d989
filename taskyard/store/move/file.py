"""A data directory as one side of a move. It is held for the whole time, so that no node can run on it.

As a source its mark is a file beside the database. As a target the database grows beside its place, with the mark in
it from the first; only the whole one, without the mark, is put there. So what lies beside the place with tables and
without a mark is whole.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from taskyard.store.connection import Connection, read_failure
from taskyard.store.directory import DataDirectory, sync_directory
from taskyard.store.move.sides import STAYS, Key, Live, Mark, Row, Table
from taskyard.store.move.statements import FILE, filled, listed, quoted
from taskyard.store.port import StoreError, Unusable
from taskyard.store.schema import ARRIVING, MOVED, check_sound, migrate

# Tables of the file that are no part of a yard: where the mark stands, and SQLite's own.
_OTHERS = ("move", "sqlite_")


class _File:
    """What both directions have in common. Raises `StoreError`, `InUse` among them."""

    def __init__(self, path: Path, *, create: bool) -> None:
        self._directory = DataDirectory(path, create=create)
        self._opened: Connection | None = None

    @property
    def shown(self) -> str:
        """The yard in words."""
        return "sqlite://" + str(self._directory.path)

    @property
    def _file(self) -> Path:
        raise NotImplementedError

    @property
    def _connection(self) -> Connection:
        if self._opened is None:
            with _failures():
                self._opened = Connection(self._file, writer=True)
        return self._opened

    def hold(self) -> None:
        """Nobody else can have the directory."""

    def prepare(self) -> None:
        """Bring the schema up to date."""
        with _failures():
            migrate(self._connection)

    def tables(self) -> dict[str, Table]:
        """The tables that are to be moved, by name."""
        names = [name for (name,) in self._rows(FILE["tables"])]
        return {name: self._table(name) for name in names if name not in STAYS and not name.startswith(_OTHERS)}

    def _table(self, name: str) -> Table:
        columns = self._rows(FILE["columns"], (name,))
        key = sorted((place, column) for column, place in columns if place)
        return Table(name, tuple(column for column, _ in columns), tuple(column for _, column in key))

    def count(self, table: Table) -> int:
        """How many rows a table has."""
        ((count,),) = self._rows(filled(FILE["count"], table=quoted(table.name)))
        return int(count)

    def whole(self, table: Table) -> Iterator[Row]:
        """All rows of a table in the order of its key."""
        own = [column for column, _ in self._rows(FILE["columns"], (table.name,))]
        places = [own.index(name) for name in table.columns]
        for row in self._each(filled(FILE["whole"], table=quoted(table.name), key=listed(table.key))):
            yield tuple([row[place] for place in places])

    def live(self) -> Live:
        """What is under way."""
        return Live._make(self._rows(FILE["live"])[0])

    def sealed(self) -> list[tuple[str, str]]:
        """The servers that have encrypted apiKeys, and these."""
        return self._rows(FILE["sealed"])

    def close(self) -> None:
        """Close the file, its WAL copied into it, and let others have the directory."""
        self._shut()
        self._directory.release()

    def _shut(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _rows(self, statement: str, values: Sequence[int | str] = ()) -> list[Row]:
        with _failures():
            return self._connection.rows(statement, values)

    def _each(self, statement: str, values: Sequence[int | str] = ()) -> Iterator[Row]:
        with _failures():
            yield from self._connection.each(statement, values)


class FileSource(_File):
    """A data directory that is left."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, create=False)
        try:
            if not self._directory.size() and not self._directory.size("-wal"):
                raise Unusable(str(self._file) + ": there is nothing in it yet")
            check_sound(self._file, self._directory.beside("-wal"))
        except BaseException:
            self._directory.release()
            raise

    @property
    def _file(self) -> Path:
        return self._directory.database

    @property
    def _mark_file(self) -> Path:
        return self._directory.beside(MOVED)

    def mark(self) -> Mark | None:
        """The mark of a move out of this directory. Durable, also when its writer died early."""
        try:
            mark = Mark.of(self._mark_file.read_text("utf-8"))
            sync_directory(self._directory.path)
            return mark
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise Unusable(str(self._mark_file) + ": it cannot be read (" + str(error) + ")") from error

    def begin(self, mark: Mark) -> None:
        """Mark it."""
        new = self._mark_file.with_name(self._mark_file.name + ".new")
        with _changing(self._mark_file):
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
                file.write(mark.text())
                file.flush()
                os.fsync(file.fileno())
            new.replace(self._mark_file)
            sync_directory(self._directory.path)

    def rows(self, table: Table, after: Key) -> Iterator[Row]:
        """The rows behind a key in the order of the key."""
        statement = filled(
            FILE["read_on" if after else "read"],
            table=quoted(table.name), columns=listed(table.columns), key=listed(table.key), values=_marks(after),
        )  # fmt: skip
        return self._each(statement, after)

    def finish(self, mark: Mark) -> None:
        """Mark it for good."""
        self.begin(mark)

    def release(self) -> None:
        """Take the mark away."""
        with _changing(self._mark_file):
            self._mark_file.unlink(missing_ok=True)
            sync_directory(self._directory.path)


class FileTarget(_File):
    """A data directory that is filled; made when it is not there."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, create=True)

    def prepare(self) -> None:
        """Bring the schema of a file that was begun up to date."""
        if self._file.exists():
            super().prepare()

    @property
    def _file(self) -> Path:
        return self._directory.beside(ARRIVING)

    def mark(self) -> Mark | None:
        """The mark of a move into this directory."""
        if not self._file.exists():
            return None
        try:
            return Mark.of(self._rows(FILE["read_mark"])[0][0])
        except (StoreError, IndexError):
            self._shut()  # cut short at the beginning, with nothing in it, or at the very end
            return None
        except (ValueError, TypeError, KeyError) as error:
            raise Unusable(str(self._file) + ": its mark cannot be read (" + str(error) + ")") from error

    def check_empty(self) -> None:
        """Raises `Unusable` when there is a database."""
        if self._directory.size() or self._directory.size("-wal"):
            raise Unusable(str(self._directory.path) + ": there is a database in it: choose another directory")

    def begin(self, mark: Mark) -> None:
        """Make the file, with the mark in it before anything else."""
        self.clear()
        with _changing(self._file):
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with self._connection.writing():
            self._connection.change(FILE["make_mark"])
            self._connection.change(FILE["first_mark"], (mark.text(),))
        super().prepare()

    def put(self, table: Table, rows: Sequence[Row], mark: Mark) -> None:
        """Store rows and the mark in one transaction."""
        statement = filled(
            FILE["put"], table=quoted(table.name), columns=listed(table.columns), values=_marks(table.columns)
        )
        with self._connection.writing():
            self._connection.change_each(statement, rows)
            self._connection.change(FILE["set_mark"], (mark.text(),))

    def finish(self) -> bool:
        """Put the file into its place, unless it is there already."""
        arrived = self._file.exists() and bool(self.tables())
        if arrived:
            with self._connection.writing():
                self._connection.change(FILE["drop_mark"])
            with _failures():
                self._connection.trim_wal()
                self._shut()
        with _changing(self._directory.database):
            if arrived:
                self._file.replace(self._directory.database)
            sync_directory(self._directory.path)
        return arrived

    def clear(self) -> None:
        """Remove the file."""
        self._shut()
        for suffix in ("", "-wal", "-shm", "-journal"):
            file = self._file.with_name(self._file.name + suffix)
            with _changing(file):
                file.unlink(missing_ok=True)


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


@contextmanager
def _changing(file: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(str(file) + ": it cannot be written: " + str(error.strerror)) from error


@contextmanager
def _failures() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise read_failure(error) from error
