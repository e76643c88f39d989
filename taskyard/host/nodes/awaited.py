"""Tasks that clients of this node wait for while another node decides: their ends and changes are looked up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from taskyard.domain.outcomes import Status
from taskyard.host.nodes.poller import Poller
from taskyard.host.nodes.threads import Threads
from taskyard.host.port import End
from taskyard.host.waiters import Waiters
from taskyard.store.nodes import NodeStore

# A change of so short a time ago may be one that the client has not seen; that it sees a state twice is no harm.
BEFORE_MS = 2_000
# The node that decides tells its clients itself; this is for those that came to wait before it did.
SELDOM_S = 1.0
# Of so many tasks one look asks.
BITE = 1_000


class Awaited:
    """Wakes who waits in `ended` and `changed`, while it runs; a look follows the other after `poll_s` at least.

    Results are read by `page` bytes.
    """

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
        page: int,
    ) -> None:
        self._store = store
        self._threads = threads
        self._ended = ended
        self._changed = changed
        self._now = now
        self._deciding = deciding
        self._poller = Poller("waits", self._look, poll_s)
        self._page = page
        self._since: dict[str, int] = {}
        self._looked_at = 0.0

    def start(self) -> None:
        """Begin."""
        self._poller.start()

    async def stop(self) -> None:
        """End."""
        await self._poller.stop()

    async def _look(self) -> int:
        """Look at all; none is to be looked at sooner again for what was found."""
        now = asyncio.get_running_loop().time()
        if not (self._ended or self._changed) or (self._deciding() and now - self._looked_at < SELDOM_S):
            return 0
        self._looked_at = now
        ids = list(dict.fromkeys([*self._ended.keys(), *self._changed.keys()]))
        since = self._now() - BEFORE_MS
        self._since = {task_id: self._since.get(task_id, since) for task_id in ids}
        for start in range(0, len(ids), BITE):
            await self._look_at(ids[start : start + BITE])
        return 0

    async def _look_at(self, ids: list[str]) -> None:
        over: list[str] = []
        for task_id, status, since in await self._threads.run(self._store.standings, ids):
            if Status(status).ended and self._ended.has(task_id):
                over.append(task_id)
            if since > self._since.get(task_id, since) or Status(status).ended:
                self._changed.wake(task_id, Status(status))
        while over:
            found = {
                row.id: End(row, result) for row, result in await self._threads.run(self._store.ends, over, self._page)
            }
            if not found:
                return  # retention has removed them meanwhile
            for task_id, end in found.items():
                self._ended.wake(task_id, end)
            over = [task_id for task_id in over if task_id not in found]
