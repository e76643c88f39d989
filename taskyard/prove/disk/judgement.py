"""What can be told of a disk's word from a look at it: what is no sync at all, and what nobody can tell."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass

from taskyard.prove.disk.place import Drive, Mount
from taskyard.prove.disk.timing import Times

IN_MEMORY = {"tmpfs", "ramfs", "devtmpfs", "hugetlbfs"}
OVER_THE_NETWORK = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "afs", "ceph", "glusterfs", "lustre", "fuse.sshfs", "davfs"}
# Others write a block and the log of it in ways of their own, so that the two times cannot be compared.
PLAIN = {"ext2", "ext3", "ext4", "xfs"}
WITHOUT_FLUSH = {"nobarrier", "barrier=0"}
# No disk takes 4 KiB and makes it last in so short a time; the fastest ones need some 10 µs.
TOO_SHORT_US = 5.0
# A sync that takes less than so much of what the disk needs only to take a block has not been there.
TOO_SMALL = 0.25
# A platter turns once in 4 ms or more.
TURN_US = 1000.0


@dataclass
class Look:
    """All that was seen of a folder's disk."""

    mount: Mount | None
    drives: list[Drive]
    preloaded: list[str]
    usurpers: dict[str, str]
    syncs: Times
    writes: Times | None
    virtual: bool


def broken(found: Look) -> Iterator[str]:
    """Why a sync here is none; each in words that say what to do."""
    mount, syncs, writes = found.mount, found.syncs, found.writes
    if mount is not None:
        where = f"{mount.path} ({mount.kind})"
        if mount.kind in IN_MEMORY:
            yield f"{where} is in memory: all on it is gone without power. Take a folder on a disk."
        if mount.kind in OVER_THE_NETWORK:
            yield f"{where} is on another machine, for which nothing is promised. Take a local disk."
        for option in sorted(mount.options & WITHOUT_FLUSH):
            yield f"{where} is mounted with {option}: a sync does not empty the disk's cache. Mount it without that."
        if mount.kind == "overlay" and "volatile" in mount.options:
            yield f"{where} is mounted as volatile: it leaves syncs out. Mount it without that."
    for drive in found.drives:
        if drive.name.startswith(("zram", "ram")):
            yield f"{drive.name} is a disk in memory: all on it is gone without power. Take another one."
    for name, file in found.usurpers.items():
        yield f"{name} is answered by {file} and not by the C library: start Taskyard without it (LD_PRELOAD)."
    for library in found.preloaded:
        if "eatmydata" in library:
            yield f"{library} is preloaded, which leaves syncs out: start Taskyard without it (LD_PRELOAD)."
    if syncs.at(0.5) < TOO_SHORT_US:
        yield f"Half of all syncs took less than {TOO_SHORT_US:g} µs ({syncs}); no disk is so fast: they are left out."
    elif (
        writes is not None and mount is not None and mount.kind in PLAIN and syncs.at(0.5) < TOO_SMALL * writes.at(0.5)
    ):
        yield f"A sync ({syncs}) is shorter than the disk needs only to take the data ({writes}): it is left out."


def untold(found: Look) -> Iterator[str]:
    """What this look cannot tell, and what may be wrong without being sure."""
    mount = found.mount
    if mount is None:
        yield f"on which file system the folder lies, and what is under it: {sys.platform} does not say so to programs"
    if sys.platform == "darwin":
        yield "whether the drive's cache is emptied: on macOS a sync leaves that to the drive"
    for library in found.preloaded:
        if "eatmydata" not in library:
            yield f"what {library} does, which is preloaded (LD_PRELOAD)"
    if mount is not None and mount.kind == "overlay":
        yield "what is under this overlay; if it is a container's own layer, it goes with the container: use a volume"
    elif mount is not None and not found.drives and mount.kind not in IN_MEMORY | OVER_THE_NETWORK:
        yield f"what is under {mount.source} ({mount.kind}), and whether syncs get there"
    if mount is not None and mount.kind == "zfs":
        yield f"whether syncs are switched off: ask `zfs get sync {mount.source}`, it must not be `disabled`"
    for drive in found.drives:
        if drive.cache == "write through":
            yield f"whether {drive.name} is right in saying that it has no cache that must be emptied at a sync"
        if drive.turns and drive.cache == "write back" and not found.virtual and found.syncs.at(0.5) < TURN_US:
            yield f"how {drive.name}, which turns, can sync in {found.syncs}; a controller with a battery can"
    if found.virtual:
        yield "what the host of this virtual machine does with the data that its disk has taken"
