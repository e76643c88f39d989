"""The sweeper: removes ended tasks by age and by number, and expired idempotency keys, in bites between two turns.

A bite is as large as fits into a few ms. While there is more to remove, bites follow each other with rests; how fast
that goes follows from the disk, not from a number here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from taskyard.host.background import keep_doing
from taskyard.host.errors import Unavailable
from taskyard.host.storage import Storage
from taskyard.store.figures import Keep
from taskyard.store.port import Store, StoreError

# A bite's size in tasks.
FIRST = 50
LEAST, MOST = 20, 1_000
# How many rows of a kind of figures one bite takes.
FIGURES = 200
# A value that filters offer is noted once an hour at most.
HOUR_MS = 3_600_000
# How much the last bite weighs in what one task is taken to cost: now and then a bite empties the WAL too.
WEIGHT = 0.2
# The rest after a bite that left something, as a multiple of its time.
REST = 1.0
# Once all is removed: the pause, doubled each time that nothing was due.
IDLE_FIRST_S, IDLE_MOST_S = 1.0, 60.0
# How often it is looked whether a full disk has room again.
TIGHT_S = 5.0
# The pause after a round that came to nothing.
FAILED_PAUSE_S = 5.0


def _unheard(_: str) -> None:
    pass


class Sweeper:
    """Sweeps while it runs. `now` is the node's clock, `live` how many tasks have not ended.

    Ended tasks are kept for `retention_ms`, and no more than `count` of them (`None`: any number), the newest; series,
    failures and servers' histories for `history_ms`, the audit log for `audit_ms`. A bite shall take `hold_ms`.
    `failed` hears of each round that came to nothing.
    """

    def __init__(
        self,
        storage: Storage,
        now: Callable[[], int],
        live: Callable[[], int],
        *,
        retention_ms: int,
        count: int | None,
        hold_ms: int = 10,
        history_ms: int = 7 * 86_400_000,
        audit_ms: int = 90 * 86_400_000,
        failed: Callable[[str], None] = _unheard,
    ) -> None:
        self._storage = storage
        self._now = now
        self._live = live
        self._retention_ms = retention_ms
        self._count = count
        self._hold_s = hold_ms / 1000
        self._history_ms = history_ms
        self._audit_ms = audit_ms
        self._failed = failed
        self._idle_s = IDLE_FIRST_S
        self._bite = FIRST
        self._cost_s = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        sweeping = keep_doing(
            "sweep", self._sweep, self._failed, expected=(StoreError, Unavailable), pause_s=FAILED_PAUSE_S
        )
        self._task = asyncio.get_running_loop().create_task(sweeping)

    async def stop(self) -> None:
        """End after the bite that is under way."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _sweep(self) -> None:
        """Remove what is due, and rest."""
        removed = await self._remove_all()
        await self._forget()
        self._idle_s = IDLE_FIRST_S if removed else min(2 * self._idle_s, IDLE_MOST_S)
        await self._pause(self._idle_s)

    async def _remove_all(self) -> bool:
        """Bite until nothing is due; whether anything was. Raises `StoreError`, `Unavailable`."""
        removed = False
        surplus = await self._surplus()
        while True:
            now = self._now()
            before, most = now - self._retention_ms, self._bite
            if surplus > 0:
                before, most = now, min(most, surplus)
            gone, held = await self._take(lambda store: store.sweep(before, now, most))  # noqa: B023
            removed = removed or gone > 0
            surplus -= gone
            if gone < most:
                return removed
            self._fit(held, gone)
            await asyncio.sleep(held * REST)

    async def _forget(self) -> None:
        """Remove figures that are kept no longer. Raises `StoreError`, `Unavailable`."""
        while True:
            now = self._now()
            keep = Keep(now, now - self._history_ms, now - self._retention_ms - HOUR_MS, now - self._audit_ms, FIGURES)
            gone, held = await self._take(lambda store: store.forget(keep))  # noqa: B023
            if gone < FIGURES:
                return
            await asyncio.sleep(held * REST)

    async def _take(self, bite: Callable[[Store], int]) -> tuple[int, float]:
        """Take a bite between two turns; what it removed, and how many seconds it took. A cancel waits for its end."""
        async with self._storage.turn:
            began = time.monotonic()
            taken = asyncio.ensure_future(self._storage.write(bite))
            try:
                return await asyncio.shield(taken), time.monotonic() - began
            except asyncio.CancelledError:
                await asyncio.gather(taken, return_exceptions=True)
                raise

    def _fit(self, held_s: float, gone: int) -> None:
        """Fit the next bite to what the last ones took; it grows by steps."""
        cost_s = held_s / gone
        self._cost_s += (WEIGHT if self._cost_s else 1) * (cost_s - self._cost_s)
        fitting = self._hold_s / max(self._cost_s, 1e-9)
        self._bite = round(min(MOST, max(LEAST, min(fitting, self._bite * 1.25 + 1))))

    async def _surplus(self) -> int:
        """How many ended tasks there are beyond those that are kept whatever their age."""
        if self._count is None:
            return 0
        return await self._storage.read(_kept) - self._live() - self._count

    async def _pause(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, TIGHT_S))
            if self._storage.tight() is not None:
                return


def _kept(store: Store) -> int:
    """How many tasks the store has, by its counters."""
    return store.stats_total("yard", "").created - sum(row.created for row in store.stats(0, 1, "removed"))
