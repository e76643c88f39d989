"""Where a folder lies: its file system with its mount options, and the disks under it, as Linux tells them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
SYS = Path("/sys")
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True)
class Mount:
    """A mounted file system: `device` is its number as `major:minor`, `options` are all that are in force."""

    path: str
    kind: str
    source: str
    device: str
    options: frozenset[str]


@dataclass(frozen=True)
class Drive:
    """A disk under a file system, as far as it tells; `None` is what it does not tell.

    `cache` is "write back" when it has a cache that forgets without power, and is flushed at each sync.
    """

    name: str
    model: str | None = None
    cache: str | None = None
    fua: bool | None = None
    turns: bool | None = None

    def __str__(self) -> str:
        told = [f"{self.name} ({self.model})" if self.model else self.name]
        if self.turns is not None:
            told.append("rotational" if self.turns else "not rotational")
        if self.cache is not None:
            told.append(f"write cache {self.cache!r}")
        if self.fua is not None:
            told.append("FUA" if self.fua else "no FUA")
        return ", ".join(told)


def mount_of(folder: Path, mountinfo: str) -> Mount | None:
    """The file system that a folder lies on, from what /proc/self/mountinfo says; `None` when nothing fits."""
    place = folder.resolve()
    found = None
    for mount in mounts(mountinfo):
        # A later mount at the same place lies over an earlier one.
        if place.is_relative_to(mount.path) and (found is None or len(mount.path) >= len(found.path)):
            found = mount
    return found


def mounts(mountinfo: str) -> Iterator[Mount]:
    """All that are listed, in their order."""
    for line in mountinfo.splitlines():
        left, dash, right = line.partition(" - ")
        here, system = left.split(), right.split()
        if dash and len(here) > 5 and len(system) > 2:
            options = {*here[5].split(","), *system[2].split(",")}
            yield Mount(_plain(here[4]), system[0], _plain(system[1]), here[2], frozenset(options))


def _plain(word: str) -> str:
    """A word of the list with its spaces and the like."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), word)


def drives(mount: Mount, system: Path = SYS) -> list[Drive]:
    """The disks under a file system, through all that is laid over them; nothing where that is not told."""
    found = [_entry(mount.device, system)]
    if found == [None] and mount.source.startswith("/"):
        # A file system over several disks has a number of its own, and names one of them.
        try:
            number = os.stat(mount.source).st_rdev
        except OSError:
            return []
        found = [_entry(f"{os.major(number)}:{os.minor(number)}", system)]
    bottom: dict[str, Drive] = {}
    while found:
        entry = found.pop()
        if entry is None:
            continue
        below = sorted((entry / "slaves").glob("*"))
        found += [path.resolve() for path in below]
        if not below:
            # A partition lies in the folder of its disk, which alone has a queue.
            whole = entry if (entry / "queue").is_dir() else entry.parent
            bottom[whole.name] = _drive(whole)
    return [bottom[name] for name in sorted(bottom)]


def _entry(device: str, system: Path) -> Path | None:
    path = system / "dev" / "block" / device
    return path.resolve() if path.exists() else None


def _drive(folder: Path) -> Drive:
    return Drive(
        folder.name,
        _read(folder / "device" / "model"),
        _read(folder / "queue" / "write_cache"),
        _flag(folder / "queue" / "fua"),
        _flag(folder / "queue" / "rotational"),
    )


def flushes(drive: Drive, system: Path = SYS) -> int | None:
    """How often a disk was told to empty its cache, by the system's count; `None` where there is no such count."""
    folder = system / "block" / drive.name
    told = (_read(folder / "stat") or "").split()
    # The sixteenth figure, since Linux 5.5.
    return int(told[15]) if len(told) > 15 and _flag(folder / "queue" / "iostats") else None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return None


def _flag(path: Path) -> bool | None:
    told = _read(path)
    return None if told is None else told == "1"
