"""A backup: the database copied into one file, while it is written to or while nobody uses it. Knows no SQL.

A running store is copied on its writer's own connection, some pages a step: SQLite then carries each later change into
the copy, whereas a copy over another connection would begin anew at each commit. The steps are driven from outside, so
that turns come between them. Until the copy is whole it stands under another name.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from taskyard.store.connection import Connection, meaning, name_of
from taskyard.store.directory import DataDirectory, sync_directory
from taskyard.store.port import StoreError, Unusable
from taskyard.store.schema import check_file

# A step's pages, 512 KiB: a few ms, during which no turn is taken.
STEP_PAGES: Final = 128
_STOPPED_PAGES: Final = 4096
# What a copy is called until it is whole.
PARTIAL: Final = ".partial"


class _Abandoned(Exception):
    """Thrown into a copy that nobody wants any more."""


class Copy:
    """A copy of an open database into a new file.

    `step` again and again until it returns true, each time while the connection is not used otherwise; then `keep`.
    `left` and `pages` say how far it is. Raises `StoreError` when the file cannot be made.
    """

    def __init__(self, connection: Connection, file: Path, pages: int = STEP_PAGES) -> None:
        self.file = file
        self.left = self.pages = 0
        self._connection = connection
        self._step_pages = pages
        self._partial = file.with_name(file.name + PARTIAL)
        # SQLite's copy is one long call: it runs on a thread of its own, which stands still between two steps.
        self._thread = threading.Thread(target=self._run, name="store-copy", daemon=True)
        self._go, self._stepped = threading.Semaphore(0), threading.Semaphore(0)
        self._abandoned = False
        self._ended = False
        self._error: BaseException | None = None
        try:
            _make_private(self._partial)
        except OSError as error:
            raise StoreError(_cannot(file, error)) from error

    def step(self) -> bool:
        """Copy the next pages; true when nothing is left. Raises `StoreError`, and the copy is of no use then."""
        if self._ended:
            return True
        if self._thread.ident is None:
            self._thread.start()
        else:
            self._go.release()
        self._stepped.acquire()
        if self._error is not None:
            self.abandon()
            raise StoreError(
                str(self.file) + ": the copy failed (" + meaning(self._error) + ")", name_of(self._error)
            ) from self._error
        return self._ended

    def sync(self) -> None:
        """Have what is copied so far written to the disk: the end need not wait for all then. Raises `StoreError`."""
        try:
            sync(self._partial)
        except OSError as error:
            raise StoreError(_cannot(self.file, error)) from error

    def keep(self) -> int:
        """Check the whole copy and put it into its place, durable; its size in bytes. Raises `StoreError`."""
        try:
            sync(self._partial)
            check_file(self._partial, self._partial.with_name(self._partial.name + "-wal"))
            self._partial.replace(self.file)
            sync_directory(self.file.parent)
            return self.file.stat().st_size
        except OSError as error:
            raise StoreError(_cannot(self.file, error)) from error

    def abandon(self) -> None:
        """Give it up, and remove what was copied."""
        self._abandoned = True
        if self._thread.ident is not None:
            self._go.release()
            self._thread.join()
        self._partial.unlink(missing_ok=True)

    def _run(self) -> None:
        try:
            self._connection.copy_into(self._partial, self._step_pages, self._between)
        except _Abandoned:
            pass
        except BaseException as error:
            self._error = error
        finally:
            self.left = 0
            self._ended = True
            self._stepped.release()

    def _between(self, left: int, pages: int) -> None:
        self.left, self.pages = left, pages
        self._stepped.release()
        self._go.acquire()
        if self._abandoned:
            raise _Abandoned


def back_up_stopped(directory: DataDirectory, file: Path, told: Callable[[int, int], None]) -> int:
    """Copy a database that no process has open, of whatever version, into a new file; its size in bytes.

    `told` is called with the pages that are left and all pages, now and then. Raises `StoreError`.
    """
    check_file(directory.database, directory.beside("-wal"))
    if not directory.size():
        raise Unusable(str(directory.database) + ": there is nothing in it yet")
    return copy_whole(directory.database, file, told)


def copy_whole(source: Path, file: Path, told: Callable[[int, int], None]) -> int:
    """Copy a database that nobody writes to into a new file, what its WAL holds included. See `back_up_stopped`."""
    try:
        connection = Connection(source, read_only=True)
    except sqlite3.Error as error:
        raise StoreError(str(source) + ": it cannot be read (" + str(error) + ")") from error
    try:
        copy = Copy(connection, file, _STOPPED_PAGES)
        try:
            while not copy.step():
                copy.sync()
                told(copy.left, copy.pages)
            return copy.keep()
        finally:
            copy.abandon()
    finally:
        connection.close()


def _make_private(file: Path) -> None:
    """An empty file for its owner alone, in the place of what a copy that was cut short left there."""
    file.unlink(missing_ok=True)
    os.close(os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def sync(path: Path) -> None:
    """Have a file on the disk when this returns. Raises `OSError`."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _cannot(file: Path, error: OSError) -> str:
    return str(file) + ": it cannot be written (" + str(error.strerror) + ")"
