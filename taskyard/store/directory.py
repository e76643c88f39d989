"""The data directory: who may look into it, and the lock that one process holds on it for life. Knows no SQL."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from taskyard.store.port import InUse, Unusable

DATABASE: Final = "taskyard.db"
_LOCK: Final = "lock"
_OTHERS: Final = 0o077
_ANOTHER: Final = ": choose another data folder by --data-dir"


class DataDirectory:
    """A directory with mode 0700 and a database file with mode 0600, held by this process until `release`.

    With `create` what is missing is made. Raises `Unusable` with a line that says what to do.
    """

    def __init__(self, path: Path, *, create: bool) -> None:
        self.path = path
        self.database = path / DATABASE
        self._lock = FileLock(path / _LOCK, timeout=0, mode=0o600, thread_local=False)
        try:
            if create and not path.exists():
                _make(path)
            self._check()
            if not create and not self.database.is_file():
                raise _unusable(self.database, "there is no such database")
            self._lock.acquire()
        except Timeout:
            words = ": another process uses it: stop that one, or choose another data folder by --data-dir"
            raise InUse(str(path) + words) from None
        except OSError as error:
            place = Path(error.filename) if error.filename else path
            raise _unusable(place, str(error.strerror), _ANOTHER, ", or give it to this user") from error
        try:
            self._check_files()
        except BaseException:
            self._lock.release()
            raise

    def _check(self) -> None:
        if not self.path.is_dir():
            raise _unusable(self.path, "it is a file" if self.path.exists() else "there is no such directory", _ANOTHER)
        _check_private(self.path, "700")
        if not os.access(self.path, os.R_OK | os.W_OK | os.X_OK):
            raise _unusable(self.path, "this user cannot write to it", _ANOTHER, ", or give it to this user")

    def _check_files(self) -> None:
        """Make the database file when there is none, readable by its owner alone, and check what is there."""
        try:
            # SQLite gives the WAL the mode of the database, so the umask does not matter.
            os.close(os.open(self.database, os.O_RDWR | os.O_CREAT, 0o600))
            for file in (self.database, self.beside("-wal"), self.beside("-shm")):
                if file.exists():
                    _check_private(file, "600")
        except OSError as error:
            raise _unusable(self.database, str(error.strerror), ": give it to this user") from error

    def beside(self, suffix: str) -> Path:
        """The file that SQLite keeps beside the database under this suffix."""
        return self.database.with_name(DATABASE + suffix)

    def size(self, suffix: str = "") -> int:
        """The size in bytes of the database, or of the file beside it; 0 when there is none."""
        try:
            return self.beside(suffix).stat().st_size
        except FileNotFoundError:
            return 0

    def free_bytes(self) -> int:
        """The room that is left for files of this user, in bytes."""
        return shutil.disk_usage(self.path).free

    def release(self) -> None:
        """Let others have the directory."""
        self._lock.release()


def _make(path: Path) -> None:
    """Make a directory with what is missing above it, so that it is there after a power loss too."""
    missing = [path, *(parent for parent in path.parents if not parent.exists())]
    path.mkdir(mode=0o700, parents=True)
    for made in missing:
        with suppress(PermissionError):  # a directory that one may write to and not read
            sync_directory(made.parent)


def sync_directory(path: Path) -> None:
    """Make durable which files a directory has. Raises `OSError`."""
    if os.name != "posix":  # elsewhere a directory cannot be opened
        return
    directory = os.open(path, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_private(path: Path, mode: str) -> None:
    """Refuse what other users could read."""
    if os.name == "posix" and stat.S_IMODE(path.stat().st_mode) & _OTHERS:
        raise _unusable(path, "other users could read it: chmod ", mode, " ", str(path))


def _unusable(path: Path, *words: str) -> Unusable:
    return Unusable(str(path) + ": " + "".join(words))
