"""A backup put in the place of a data directory's database, all or nothing. Knows no SQL and no keys.

The backup is first copied whole beside the database. From then on, until it is in its place, a start is refused: what
was there before may be half moved away, and nobody shall take an empty database for a restored one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final

from taskyard.store.backup import copy_whole
from taskyard.store.connection import Connection
from taskyard.store.directory import DATABASE, DataDirectory, sync_directory
from taskyard.store.port import StoreError, Unusable
from taskyard.store.schema import MOVED, RESTORED, check_file

_BESIDE: Final = ("", "-wal", "-shm", "-journal", MOVED)


def holds_data(directory: DataDirectory) -> bool:
    """Whether there is a database in it that is not an empty one to be."""
    return any(directory.size(suffix) for suffix in ("", "-wal"))


def check_backup(file: Path) -> None:
    """Check a backup's header, identity and whole structure, about a second per GiB. Raises `Unusable`."""
    if not file.is_file() or not file.stat().st_size:
        raise Unusable(str(file) + ": there is no backup in it")
    check_file(file, file.with_name(file.name + "-wal"))
    try:
        connection = Connection(file, read_only=True)
        try:
            connection.check_structure()
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unusable(str(file) + ": it is damaged (" + str(error) + "): take another backup") from error


def restore(
    file: Path, directory: DataDirectory, aside: Path, ready: Callable[[], None], told: Callable[[int, int], None]
) -> int:
    """Put a checked backup in the place of the directory's database; its size in bytes.

    What is there is moved into the folder `aside`, which is made then. `ready` is called when a start is refused
    already and nothing has been moved yet. `told`: as in `back_up_stopped`. Raises `StoreError`.
    """
    restored = directory.beside(RESTORED)
    size = copy_whole(file, restored, told)
    try:
        _make_ready(ready, restored)
        if holds_data(directory):
            aside.mkdir(mode=0o700, exist_ok=True)
            for suffix in _BESIDE:
                path = directory.beside(suffix)
                if path.exists():
                    path.replace(aside / (DATABASE + suffix))
            sync_directory(aside)
        restored.replace(directory.database)
        sync_directory(directory.path)
    except OSError as error:
        raise StoreError(str(error.filename or directory.path) + ": " + str(error.strerror)) from error
    return size


def _make_ready(ready: Callable[[], None], restored: Path) -> None:
    try:
        ready()
    except OSError:  # nothing has been moved: what was there can be started again
        restored.unlink()
        raise
