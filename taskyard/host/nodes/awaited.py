"""Tasks that clients of this node wait for while another node decides: their ends and changes are looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from taskyard.domain.outcomes import Status
from taskyard.host.nodes.threads import Threads
from taskyard.host.port import End
from taskyard.host.waiters import Waiters
from taskyard.store.nodes import NodeStore
from taskyard.store.port import StoreError

log = structlog.get_logger()
# A change of so short a time ago may be one that the client has not seen; that it sees a state twice is no harm.
BEFORE_MS = 2_000
# The node that decides tells its clients itself; this is for those that came to wait before it did.
SELDOM_S = 1.0
# Of so many tasks one look asks.
BITE = 1_000


class Awaited:
    """Wakes who waits in `ended` and `changed`, while it runs; a look follows the other after `poll_s` at least."""

    def __init__(
        self,
        store: NodeStore,
        threads: Threads,
        ended: Waiters[str, End],
        changed: Waiters[str, Status],
        *,
        now: Callable[[], int],
        deciding: Callable[[], bool],
        poll_s: float,
    ) -> None:
        self._store = store
        self._threads = threads
        self._ended = ended
        self._changed = changed
        self._now = now
        self._deciding = deciding
        self._poll_s = poll_s
        self._since: dict[str, int] = {}
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            pause = SELDOM_S if self._deciding() else self._poll_s
            try:
                if self._ended or self._changed:
                    await self._look()
            except StoreError as error:
                log.warning("waits_unread", reason=str(error))
                pause = SELDOM_S
            except Exception:
                log.exception("waits_broken")
                pause = SELDOM_S
            await asyncio.sleep(pause)

    async def _look(self) -> None:
        ids = list(dict.fromkeys([*self._ended.keys(), *self._changed.keys()]))
        now = self._now()
        self._since = {task_id: self._since.get(task_id, now - BEFORE_MS) for task_id in ids}
        for start in range(0, len(ids), BITE):
            await self._look_at(ids[start : start + BITE])

    async def _look_at(self, ids: list[str]) -> None:
        over: list[str] = []
        for task_id, status, since in await self._threads.run(self._store.standings, ids):
            if Status(status).ended and self._ended.has(task_id):
                over.append(task_id)
            if since > self._since.get(task_id, since) or Status(status).ended:
                self._changed.wake(task_id, Status(status))
        if over:
            for row, result in await self._threads.run(self._store.ends, over):
                self._ended.wake(row.id, End(row, result))
