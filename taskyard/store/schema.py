"""Whether a file is a database of ours in good order, and the steps that bring it up to date.

Everything is checked on a connection that cannot write: a file that is refused keeps every byte.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from taskyard.store.connection import Connection
from taskyard.store.port import Unusable
from taskyard.store.queries import QUERIES, load_migrations

# "Tyrd", in the file's header: whose it is.
APPLICATION: Final = 0x54797264
# Up to this size the whole structure is checked at each start (some 30 ms); above, the header and each table's root.
_FULL_CHECK_BYTES: Final = 32 << 20
# A restored database that is not in its place yet stands beside it under this suffix.
RESTORED: Final = ".restored"
# Beside a database that was moved elsewhere, or is being moved, stands the mark of that; one that is on its way into
# this place grows under the other suffix.
MOVED: Final = ".moved"
ARRIVING: Final = ".arriving"
_MAGIC: Final = b"SQLite format 3\0"
_HEADER_BYTES: Final = 100
_RESTORE: Final = ": restore it from a backup, or move it away"


def check_file(path: Path, wal: Path) -> None:
    """Refuse a file that is foreign, newer or damaged, or is moved or replaced. An empty one is a database to be.

    Raises `Unusable`.
    """
    if path.with_name(path.name + RESTORED).exists():
        raise Unusable(str(path) + ": a restore was cut short: run `taskyard restore` again")
    if path.with_name(path.name + ARRIVING).exists():
        raise Unusable(
            str(path) + ": a move into it was cut short: run `taskyard move` again, or with --give-up to end it"
        )
    mark = path.with_name(path.name + MOVED)
    if mark.exists():
        words = ": the tasks were moved elsewhere, as this file says: serve that one; or, if the move was cut short, "
        raise Unusable(str(mark) + words + "run `taskyard move` again, or with --give-up to end it")
    check_sound(path, wal)


def check_sound(path: Path, wal: Path) -> None:
    """Refuse a file that is foreign, newer or damaged. Raises `Unusable`."""
    journal = path.with_name(path.name + "-journal")
    if journal.exists() and journal.stat().st_size:
        _check_rolled_back(path, journal)
    else:
        _check(path, wal)


def _check_rolled_back(path: Path, journal: Path) -> None:
    """Check what SQLite would make of a file and the journal of a change that was cut off, on a copy of both.

    A first start that dies before there is a WAL leaves such a pair, so it is small if it is ours.
    """
    if path.stat().st_size + journal.stat().st_size > _FULL_CHECK_BYTES:
        raise Unusable(
            str(path) + ": beside it lies a journal that is not ours: choose another data folder by --data-dir"
        )
    with TemporaryDirectory(prefix="check-", dir=path.parent) as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        shutil.copyfile(journal, Path(folder) / journal.name)
        try:
            connection = Connection(copy)
            try:
                connection.identity()  # the first read rolls back
            finally:
                connection.close()
            _check(copy, copy.with_name(copy.name + "-wal"))
        except (sqlite3.Error, Unusable) as error:
            words = str(error).removeprefix(str(copy) + ": ")
            raise Unusable(str(path) + ": it cannot be recovered (" + words + ")" + _RESTORE) from error


def _check(path: Path, wal: Path) -> None:
    size = path.stat().st_size
    if size == 0:
        return
    wal_bytes = wal.stat().st_size if wal.exists() else 0
    try:
        _check_header(path, size, wal_bytes)
        connection = Connection(path, read_only=True)
        try:
            _check_identity(path, connection)
            if size + wal_bytes <= _FULL_CHECK_BYTES:
                connection.check_structure()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unusable(str(path) + ": it is damaged (" + str(error) + ")" + _RESTORE) from error


def _check_header(path: Path, size: int, wal_bytes: int) -> None:
    with path.open("rb") as file:
        header = file.read(_HEADER_BYTES)
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise Unusable(str(path) + ": it is no database, or a damaged one" + _RESTORE)
    page = int.from_bytes(header[16:18], "big")
    pages = int.from_bytes(header[28:32], "big")
    # While the WAL holds pages, the file itself may lag behind.
    if size < pages * (65_536 if page == 1 else page) and not wal_bytes:
        raise sqlite3.DatabaseError("it was cut short")


def _check_identity(path: Path, connection: Connection) -> None:
    application, version, entries = connection.identity()
    if application == 0 and version == 0 and entries == 0:
        return  # a first start that was cut short
    if application != APPLICATION or version < 1:
        raise Unusable(str(path) + ": it belongs to another application: choose another data folder by --data-dir")
    migrations = load_migrations()
    if version > migrations[-1].number:
        raise Unusable(str(path) + ": it was written by a newer taskyard: upgrade this one")
    connection.row(QUERIES["readable"])


def migrate(connection: Connection) -> None:
    """Carry out the steps that the database lacks, each in a transaction of its own."""
    _, version, _ = connection.identity()
    for migration in load_migrations():
        if migration.number > version:
            connection.migrate(APPLICATION, migration.number, migration.statements)
