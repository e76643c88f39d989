"""A whole proof, part after part: the disk while nothing else is done, the simulation, the torture on that disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taskyard.prove.disk import part as disk
from taskyard.prove.machine import described
from taskyard.prove.report.model import Report
from taskyard.prove.simulation import part as simulation
from taskyard.prove.simulation.players import TASKS
from taskyard.prove.torture import part as torture
from taskyard.prove.watch import Watch

# How the time is shared; what is left is for what the torture needs to settle and to be judged.
DISK, DISK_MOST_S = 0.1, 20.0
SIMULATION = 0.35
TORTURE = 0.45
# A seed has a thousand tasks, unless there is hardly time for one.
SHORT_S, TASKS_WHEN_SHORT = 10.0, 200
KILLS_A_MINUTE = 8
KILLS_LEAST = 2
# What the torture writes: logs, the database, and a copy of it.
ROOM, ROOM_A_MINUTE = 256 << 20, 64 << 20
MIB = 1 << 20


class Unable(Exception):
    """Nothing can be tried here; the message says why and what to do."""


def prove(folder: Path, seed: int, minutes: float, watch: Watch) -> Report:
    """Prove it all in a folder that is this proof's own, in about so many minutes. Raises `OSError`."""
    began_ms, begun = time.time_ns() // 1_000_000, time.monotonic()
    seconds = minutes * 60
    places = {name: folder / name for name in ("disk", "simulation", "torture")}
    for place in places.values():
        place.mkdir(mode=0o700)
    tasks = TASKS if SIMULATION * seconds >= SHORT_S else TASKS_WHEN_SHORT
    kills = max(KILLS_LEAST, int(TORTURE * minutes * KILLS_A_MINUTE))
    parts = [
        disk.prove(places["disk"], min(DISK * seconds, DISK_MOST_S), watch),
        simulation.prove(places["simulation"], seed, SIMULATION * seconds, watch, tasks),
        torture.prove(places["torture"], seed, TORTURE * seconds, watch, kills=kills),
    ]
    parts[-1].again = f"taskyard prove --minutes {minutes:g} --seed {seed}"
    return Report(began_ms, time.monotonic() - begun, seed, described(), parts)


@contextmanager
def workplace(disk: Path, minutes: float) -> Iterator[Path]:
    """A new folder on the disk under a path, which need not be there yet; removed afterwards. Raises `Unable`."""
    if os.name != "posix":
        raise Unable("prove kills and freezes processes, which it can do on Linux and macOS only")
    parent = _existing(disk)
    needed = ROOM + int(minutes * ROOM_A_MINUTE)
    try:
        made = Path(tempfile.mkdtemp(prefix="taskyard-prove-", dir=parent))
        free = shutil.disk_usage(made).free
    except OSError as error:
        raise Unable(f"{parent} cannot be written to: {error.strerror}; name another --data-dir") from error
    try:
        if free < needed:
            raise Unable(
                f"{parent} has {free // MIB} MiB of room, and {needed // MIB} MiB are needed for {minutes:g} minutes: "
                "make room, or name a --data-dir on another disk, or fewer --minutes"
            )
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _existing(path: Path) -> Path:
    """The folder itself, or the nearest one above it that is there. Raises `Unable`."""
    place = path.expanduser().absolute()
    while not place.exists():
        place = place.parent
    if not place.is_dir():
        raise Unable(f"{place} is a file: name a folder as --data-dir")
    return place
