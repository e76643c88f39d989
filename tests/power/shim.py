"""A SQLite VFS that writes down what SQLite does to its files, and a port that lets the real store use it.

It is apsw's, which brings a SQLite of its own: the store's statements, transactions and settings are the real ones, the
driver below them is not. Only to record: what is left after a power loss is opened by the product as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import apsw

from taskyard.store.connection import Connection
from tests.power.disk import Cut, Event, Made, Removed, Synced, SyncedNames, Wrote

VFS = "recording"
# With the first sync of a new one of these, SQLite syncs the directory too.
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL


class Recorder(apsw.VFS):
    """Calls `tell` with each event."""

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self.tell = tell
        super().__init__(VFS, "")

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        assert path is not None, "a temporary file on the disk is not expected"
        file = Path(path)
        new = not file.exists()
        if new or not file.stat().st_size:  # the product makes the database's file itself
            self.tell(Made(file.name))
        return _File(name, flags, file.name, self.tell, sync_names=new and flags[0] & _JOURNALS != 0)

    def xDelete(self, name: str, sync: bool) -> None:  # noqa: N802
        super().xDelete(name, sync)
        self.tell(Removed(Path(name).name))
        if sync:
            self.tell(SyncedNames())


class _File(apsw.VFSFile):
    def __init__(
        self,
        name: str | apsw.URIFilename | None,
        flags: list[int],
        file: str,
        tell: Callable[[Event], None],
        *,
        sync_names: bool,
    ) -> None:
        super().__init__("", name, flags)
        self._file = file
        self._tell = tell
        self._sync_names = sync_names

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
        super().xWrite(data, offset)
        self._tell(Wrote(self._file, offset, bytes(data)))

    def xTruncate(self, size: int) -> None:  # noqa: N802
        super().xTruncate(size)
        self._tell(Cut(self._file, size))

    def xSync(self, flags: int) -> None:  # noqa: N802
        super().xSync(flags)
        self._tell(Synced(self._file))
        if self._sync_names:
            self._sync_names = False
            self._tell(SyncedNames())


class _Driver:
    """The part of `sqlite3.Connection` that the port to SQLite uses, on apsw."""

    def __init__(self, uri: str) -> None:
        self._db = apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI, vfs=VFS)

    def execute(self, statement: str, values: Sequence[Any] = ()) -> _Rows:
        rows = self._db.execute(statement, values).fetchall()
        return _Rows(rows, self._db.changes())

    def executemany(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._db.executemany(statement, rows)

    def executescript(self, script: str) -> None:
        self._db.execute(script).fetchall()

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()


class _Rows:
    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows = rows
        self.rowcount = rowcount

    def fetchall(self) -> list[Any]:
        return self._rows


class RecordedConnection(Connection):
    """The port over the recording VFS, which must be there. `synchronous` is the product's unless a test breaks it.

    Checkpoints come often, since a power loss within one is what a WAL is most delicate about.
    """

    synchronous = ""
    checkpoint_pages = 64

    def __init__(self, path: Path, *, writer: bool = False, read_only: bool = False) -> None:
        super().__init__(path, writer=writer, read_only=read_only)
        if writer:
            self._pragma(f"PRAGMA wal_autocheckpoint = {self.checkpoint_pages}")
            if self.synchronous:
                self._pragma(f"PRAGMA synchronous = {self.synchronous}")

    def _open(self, uri: str) -> Any:
        return _Driver(uri)
