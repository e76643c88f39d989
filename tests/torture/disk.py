"""A disk of the torture's own that can be filled: its size is set to what is on it, and back again."""

import os
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from taskyard.prove.torture.schedule import DISK
from tests.support.disks import small_disk

# A limit, not a reservation.
SIZE = 4 << 30
TRIES = 50


class Disk:
    """A tmpfs mounted at `path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _resize(self, size: int) -> bool:
        command = ["mount", "-o", f"remount,size={size}", str(self.path)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Leave no room. What is written meanwhile makes it try again."""
        for _ in range(TRIES):
            room = os.statvfs(self.path)
            if self._resize((room.f_blocks - room.f_bfree) * room.f_frsize):
                return
        raise AssertionError("the disk cannot be filled")

    def make_room(self) -> None:
        """As it was."""
        assert self._resize(SIZE)


def mounted_or_none(stack: ExitStack, path: Path, say: Callable[[str], None]) -> Disk | None:
    """A new disk at a new directory, until the stack ends; none where there can be none, and `say` is told why."""
    try:
        stack.enter_context(small_disk(path, SIZE))
    except pytest.skip.Exception as reason:
        say(f"{DISK}: skipped: {reason}")
        return None
    return Disk(path)
