"""Backups of a running node: the database copied into a file, a few pages between two turns. Knows nothing of HTTP.

Files go into one folder, which is the operator's to choose: whoever may ask for a backup must not thereby be able to
write anywhere. Names are made here. One backup runs at a time, and what is known of it ends with the node.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import structlog

from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.storage import Storage
from taskyard.store.backup import PARTIAL
from taskyard.store.port import Copyable, Copying, StoreError

log = structlog.get_logger("taskyard.backup")

# For how long steps follow each other before a turn may come, and then a rest as long: where the database grows faster
# than it is copied, longer, and without a rest.
_HOLD_FIRST_S = 0.005
_HOLD_MOST_S = 0.04
_REST_LEAST_S = 0.001
# How much is copied before it is synced: a disk that must write much at once makes commits wait. And how often it is
# looked whether less is left than the last time.
_SYNC_BYTES = 8 << 20
_LOOK_S = 1.0
# A copy that has not grown for so long belongs to nobody.
_LEFT_MS = 24 * 3_600_000


class Refused(Exception):
    """No backup can be made as things stand; the message says why and what to do."""


@dataclass(slots=True)
class Backup:
    """One backup: `state` is running, done, failed or stopped; sizes in bytes, times in ms."""

    file: Path
    who: str
    started_at: int
    state: str = "running"
    copied: int = 0
    size: int = 0
    error: str | None = None
    ended_at: int | None = None


class Backups:
    """The backups of a node, into `folder` (made when missing, for this user alone).

    None is begun that would leave less than `room` bytes on that disk, and none goes on with less than a quarter of it.
    """

    def __init__(self, storage: Storage, folder: Path, now: Callable[[], int], room: int) -> None:
        self._storage = storage
        self._folder = folder.absolute()
        self._now = now
        self._room = room
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        self.latest: Backup | None = None

    async def start(self, who: str) -> Backup:
        """Begin one. Raises `Refused`, `Unavailable`, or `Overloaded` while another one runs."""
        if self.latest is not None and self.latest.state == "running":
            raise Overloaded(f"a backup is under way ({self.latest.file}); wait for it or stop it", 5000)
        store = self._storage.store
        if not isinstance(store, Copyable):
            raise Refused("this node keeps its tasks in a database server: back that up by its own tools")
        now = self._now()
        name = datetime.fromtimestamp(now / 1000, UTC).strftime("%Y%m%dT%H%M%S") + f".{now % 1000:03d}Z"
        backup = self.latest = Backup(self._folder / f"taskyard-{name}.db", who, now)
        self._stopping = False
        begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run(backup, store, begun), name="backup")
        await asyncio.wait([begun])
        begun.result()
        return backup

    async def stop(self) -> None:
        """Stop the one that runs, if any, and remove what it has copied; one that is whole already is kept."""
        self._stopping = True
        if self._task is not None:
            await self._task

    def _make_room(self, size: int) -> None:
        """Raises `Refused` when there is no folder, or too little room in it."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._clear()
            free = shutil.disk_usage(self._folder).free
        except OSError as error:
            raise Refused(f"{self._folder}: {error.strerror}; choose another BACKUP_DIR") from error
        if free < size + self._room:
            raise Refused(
                f"{self._folder} has {free >> 20} MiB of room, and {(size + self._room) >> 20} MiB are needed: make "
                "room, or choose a BACKUP_DIR on another disk"
            )

    def _clear(self) -> None:
        """Remove what a node that died in the midst of a copy left; other nodes may copy into this folder now."""
        for left in self._folder.glob("taskyard-*" + PARTIAL):
            if left.stat().st_mtime * 1000 < self._now() - _LEFT_MS:
                left.unlink(missing_ok=True)

    async def _run(self, backup: Backup, store: Copyable, begun: asyncio.Future[None]) -> None:
        copy: Copying | None = None
        try:
            await asyncio.to_thread(self._make_room, self._storage.store.sizes()["database"])
            async with self._storage.turn:
                copy = await self._storage.write(lambda _: store.copy(backup.file))
            log.info("backup_started", file=str(backup.file), who=backup.who)
            begun.set_result(None)
            if await self._copy(backup, copy):
                backup.size = backup.copied = await asyncio.to_thread(copy.keep)
                self._end(backup, "done")
            else:
                self._end(backup, "stopped")
        except (Refused, StoreError) as error:
            self._end(backup, "failed", str(error))
            if not begun.done():
                begun.set_exception(Unavailable(str(error)) if isinstance(error, StoreError) else error)
        except Exception as error:
            log.exception("backup_broke")
            self._end(backup, "failed", "an internal error, see the log")
            if not begun.done():
                begun.set_exception(error)
        finally:
            if copy is not None:
                await asyncio.to_thread(copy.abandon)

    async def _copy(self, backup: Backup, copy: Copying) -> bool:
        """Copy all; false when it was stopped before."""
        hold_s = _HOLD_FIRST_S
        synced, looked, left = 0, time.monotonic(), sys.maxsize
        while not self._stopping:
            async with self._storage.turn:
                began = time.monotonic()
                done = await self._storage.write(lambda _: _steps(copy, hold_s))  # noqa: B023
                now = time.monotonic()
            if done:
                return True
            self._progress(backup, copy)
            if now - looked > _LOOK_S:
                if copy.left >= left:
                    hold_s = min(2 * hold_s, _HOLD_MOST_S)
                looked, left = now, copy.left
            if abs(backup.copied - synced) >= _SYNC_BYTES:
                await asyncio.to_thread(copy.sync)
                self._check_room()
                synced = backup.copied
            await asyncio.sleep(max(_REST_LEAST_S, now - began) if hold_s == _HOLD_FIRST_S else _REST_LEAST_S)
        return False

    def _check_room(self) -> None:
        """Raises `Refused` when the disk is nearly full."""
        if shutil.disk_usage(self._folder).free < self._room // 4:
            raise Refused(f"the disk with {self._folder} is nearly full: make room, or choose another BACKUP_DIR")

    def _progress(self, backup: Backup, copy: Copying) -> None:
        backup.size = self._storage.store.sizes()["database"]
        if copy.pages:
            backup.copied = backup.size * (copy.pages - copy.left) // copy.pages

    def _end(self, backup: Backup, state: str, error: str | None = None) -> None:
        backup.state, backup.error, backup.ended_at = state, error, self._now()
        told = log.info if error is None else log.error
        told("backup_" + state, file=str(backup.file), who=backup.who, bytes=backup.copied, reason=error)


def _steps(copy: Copying, hold_s: float) -> bool:
    """Steps one after the other for so long; whether nothing is left."""
    end = time.monotonic() + hold_s
    while not copy.step():
        if time.monotonic() >= end:
            return False
    return True
