"""The sweeper: removes ended tasks past their retention and expired idempotency keys, a small batch at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from taskyard.host.storage import Storage
from taskyard.store.port import StoreError

log = structlog.get_logger()
BATCH = 200
IDLE_S = 60.0
# How often it is looked whether a full disk has room again.
TIGHT_S = 5.0
BETWEEN_S = 0.05


class Sweeper:
    """Sweeps while it runs. `retention_ms` is how long ended tasks are kept; `now` the node's clock."""

    def __init__(self, storage: Storage, now: Callable[[], int], retention_ms: int) -> None:
        self._storage = storage
        self._now = now
        self._retention_ms = retention_ms
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End after the batch that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            now = self._now()
            try:
                async with self._storage.turn:
                    gone = await self._storage.write(lambda store: store.sweep(now - self._retention_ms, now, BATCH))  # noqa: B023
            except StoreError as error:
                log.warning("sweep_failed", reason=str(error))
                gone = 0
            await self._pause(BETWEEN_S if gone >= BATCH else IDLE_S)

    async def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, TIGHT_S))
            if self._storage.tight() is not None:
                return
