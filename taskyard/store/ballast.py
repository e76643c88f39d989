"""The ballast: a file that does nothing but take up room, given up when the disk is full so that results can be stored.

It is made again only when twice its size is free, so that what was given up does not come and go. Knows no SQL.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from taskyard.store.directory import sync_directory

_BLOCK: Final = 512  # the unit of `st_blocks`, whatever the file system's own
_CHUNK: Final = 1 << 20


class Ballast:
    """A file of `size` bytes, really taken from the disk; with 0 there is none, and one left over is removed."""

    def __init__(self, path: Path, size: int) -> None:
        self.path = path
        self.size = size
        self.held = False  # read by other threads

    def take_over(self) -> None:
        """At a start: what is there counts if it is whole and of this size. Raises `OSError`."""
        self.held = self.size > 0 and self._is_whole()
        if not self.held:
            self.path.unlink(missing_ok=True)

    def _is_whole(self) -> bool:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return False
        # A copy of the directory may have brought it as a file of holes.
        return found.st_size == self.size and getattr(found, "st_blocks", self.size) * _BLOCK >= self.size

    def release(self) -> bool:
        """Give the room back to the disk; whether there was any to give."""
        if not self.held:
            return False
        self.held = False
        try:
            self.path.unlink()
            sync_directory(self.path.parent)  # some file systems lend freed blocks only once the removal is written
        except OSError:
            return False
        return True

    def keep(self) -> None:
        """Take the room again, if it is missing and the disk has twice as much."""
        if self.held or not self.size or shutil.disk_usage(self.path.parent).free < 2 * self.size:
            return
        try:
            file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            try:
                _fill(file, self.size)
            finally:
                os.close(file)
            self.held = True
        except OSError:  # somebody else was faster: the next time, then
            self.path.unlink(missing_ok=True)

    def missing(self) -> str | None:
        """What it means that there is no ballast now, for people; `None` while it is there or none is wanted."""
        if self.held or not self.size:
            return None
        return (
            "the disk with the data directory is full: results are still stored, and nothing new is taken until "
            + str(-(-2 * self.size >> 20))
            + " MiB are free"
        )


def _fill(file: int, size: int) -> None:
    """Take blocks from the disk for so many bytes; a hole would keep nothing."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
        return
    zeros = bytes(_CHUNK)
    while size > 0:
        size -= os.write(file, zeros[: min(size, _CHUNK)])
