"""How long a sync takes here, beside what the same disk needs only to take the data."""

from __future__ import annotations

import mmap
import os
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

# A frame of SQLite's log: a page and its head.
FRAME = 4096 + 24
BLOCK = 4096
LEAST = 50
MOST = 5000
Sync = Callable[[int], None]
SYNC: Sync = getattr(os, "fdatasync", os.fsync)


@dataclass(frozen=True)
class Times:
    """Many times one thing, in µs, in the order of their length; never empty."""

    sorted_us: tuple[float, ...]

    def at(self, share: float) -> float:
        """The time that so great a share (0-1) of them did not exceed."""
        return self.sorted_us[min(len(self.sorted_us) - 1, int(share * len(self.sorted_us)))]

    def __len__(self) -> int:
        return len(self.sorted_us)

    def __str__(self) -> str:
        return f"p50 {_told(self.at(0.5))}, p99 {_told(self.at(0.99))}"


def syncs(folder: Path, seconds: float, sync: Sync = SYNC) -> Times:
    """Append a frame and sync it, again and again for about so long; the time of each sync. Raises `OSError`."""
    file = folder / "syncs"
    handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    frame = os.urandom(FRAME)
    try:

        def once() -> float:
            os.write(handle, frame)
            return _timed(lambda: sync(handle))

        return _many(once, seconds)
    finally:
        os.close(handle)
        file.unlink()


def plain_writes(folder: Path, seconds: float) -> Times | None:
    """Write a block to the disk past the system's memory, without a sync; `None` where that cannot be done."""
    direct = getattr(os, "O_DIRECT", 0)
    if not direct:
        return None
    file = folder / "writes"
    try:
        # Where the block is shall be settled, so that nothing else is written.
        with closing(mmap.mmap(-1, BLOCK)) as block:
            block.write(os.urandom(BLOCK))
            file.write_bytes(block[:])
            handle = os.open(file, os.O_RDWR | direct)
            try:
                SYNC(handle)
                return _many(lambda: _timed(lambda: os.pwritev(handle, [block], 0)), seconds)
            finally:
                os.close(handle)
    except OSError:
        return None
    finally:
        with suppress(OSError):
            file.unlink()


def _timed(do: Callable[[], object]) -> float:
    begun = time.perf_counter_ns()
    do()
    return (time.perf_counter_ns() - begun) / 1000


def _many(once: Callable[[], float], seconds: float) -> Times:
    end = time.monotonic() + seconds
    found: list[float] = []
    while len(found) < LEAST or (time.monotonic() < end and len(found) < MOST):
        found.append(once())
    return Times(tuple(sorted(found)))


def _told(us: float) -> str:
    return f"{us / 1000:.2f} ms" if us >= 1000 else f"{us:.1f} µs"
