"""The disk's part of a proof: looks, measures, and says which of it is no sync at all and what nobody can tell."""

from __future__ import annotations

import os
import time
from pathlib import Path

from taskyard.prove.disk import place, preload, seen, timing
from taskyard.prove.disk.judgement import Look, broken, untold
from taskyard.prove.disk.place import Mount
from taskyard.prove.disk.timing import Times
from taskyard.prove.machine import is_virtual
from taskyard.prove.processes import Trouble
from taskyard.prove.report.model import Part
from taskyard.prove.watch import Watch

TITLE = "The disk"
# A sync of at least so long is met when one looks for it.
LONG_US = 500.0
SHARE_SYNCS, SHARE_WRITES, SHARE_SEEN = 0.4, 0.15, 0.45
ALWAYS_UNTOLD = (
    "whether the disk itself keeps what it has confirmed: one that says so too early is found only by cutting its power"
)
PROMISES = [
    "What was acknowledged has been through a sync (fdatasync of the database's log) before the answer was sent.",
    "What has been through a sync outlives a loss of power, on a disk that keeps its word.",
]


def prove(folder: Path, seconds: float, watch: Watch, sync: timing.Sync = timing.SYNC) -> Part:
    """Look at the disk under a folder that is this part's own. Raises `OSError` when it cannot be written to."""
    begun = time.monotonic()
    watch.part(TITLE, seconds)
    part = Part(TITLE, list(PROMISES))
    mount = _mount(folder)
    drives = place.drives(mount) if mount else []
    before = [place.flushes(drive) for drive in drives]
    syncs = timing.syncs(folder, SHARE_SYNCS * seconds, sync)
    counted = [
        now - then
        for drive, then in zip(drives, before, strict=True)
        if then is not None and (now := place.flushes(drive)) is not None
    ]
    watch.tell(f"{len(syncs)} syncs: {syncs}")
    writes = timing.plain_writes(folder, SHARE_WRITES * seconds)
    found = Look(mount, drives, preload.preloaded(), preload.usurpers(), syncs, writes, is_virtual())
    part.tried = [
        "Looked at the file system, its mount options, the disks under it, and at what answers a sync in this process.",
        "Measured how long a sync takes after 4 KiB were added to a file, and how long the disk needs to take 4 KiB.",
    ]
    part.figures = _figures(found)
    if counted:
        part.figures["times the disk was told to empty its cache meanwhile"] = max(counted)
    part.headline = f"{len(syncs):,} syncs, {syncs}"
    part.broken = list(broken(found))
    part.untold = list(untold(found))
    _watch_a_node(part, folder, SHARE_SEEN * seconds, syncs, watch)
    part.untold.append(ALWAYS_UNTOLD)
    part.seconds = time.monotonic() - begun
    return part


def _mount(folder: Path) -> Mount | None:
    try:
        return place.mount_of(folder, place.MOUNTS.read_text(errors="replace"))
    except OSError:
        return None


def _figures(found: Look) -> dict[str, int | str]:
    figures: dict[str, int | str] = {}
    if found.mount is not None:
        figures["file system"] = f"{found.mount.kind} at {found.mount.path}, from {found.mount.source}"
        figures["mount options"] = ", ".join(sorted(found.mount.options))
    if found.drives:
        figures["disks under it"] = "; ".join(map(str, found.drives))
    figures["syncs"] = len(found.syncs)
    figures["a sync took"] = str(found.syncs)
    if found.writes is not None:
        figures["the disk took 4 KiB in"] = str(found.writes)
    return figures


def _watch_a_node(part: Part, folder: Path, seconds: float, syncs: Times, watch: Watch) -> None:
    """Add what is seen of a real node."""
    watch.tell("a node is watched while it takes submissions")
    environment = {name: value for name, value in os.environ.items() if name == "LD_PRELOAD"}
    try:
        node = seen.watched(folder, seconds, environment, patient=syncs.at(0.5) >= LONG_US)
    except Trouble as trouble:
        part.broken.append(f"A node could not be watched: {trouble}")
        return
    part.tried.append("Watched the threads of a real node while it took one submission after the other.")
    part.figures["submissions acknowledged"] = node.acknowledged
    part.figures["of them, by samples, met in a sync of the node's log before the answer"] = node.met
    if node.problem:
        part.broken.append(f"A node did not take a submission: {node.problem}")
    elif not node.looked:
        part.untold.append(
            "whether the node syncs before it answers: this system does not show what its threads are at"
        )
    elif not node.met and syncs.at(0.5) >= LONG_US:
        part.broken.append(
            "The node was not met in a sync of its log, although a sync takes long here: it leaves them out."
        )
    elif not node.met:
        part.untold.append("whether the node syncs before it answers: its syncs are too short to be met")
