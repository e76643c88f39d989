"""That this node lives, told each second, and what that tells of the others: who decides, where, who is dead."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from taskyard.host.nodes.threads import Threads
from taskyard.host.nodes.watch import Watch
from taskyard.store.nodes import NodeRow, NodeStore, Seen
from taskyard.store.port import StoreError

log = structlog.get_logger()
BEAT_S = 1.0


class Membership:
    """Beats while it runs. `row` says how this node is, `on_seen` hears what each beat has found.

    A node that says nothing for `silence_ms` is taken for dead by the others; half of that before, this one stops to
    send anything (`fresh`), so that it is never still at it when it was given up.
    """

    def __init__(
        self,
        store: NodeStore,
        threads: Threads,
        row: Callable[[], NodeRow],
        on_seen: Callable[[Seen], None],
        silence_ms: int,
    ) -> None:
        self._store = store
        self._threads = threads
        self._row = row
        self._on_seen = on_seen
        self._silence_ms = silence_ms
        self._watch = Watch(store.id, silence_ms, store.died)
        self._told_at: float | None = None
        self._now_at = 0
        self._again = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.seen = Seen(False, 0, "", 0, [])
        self.failure: str | None = None  # why the last beat came to nothing

    async def start(self) -> None:
        """Become known, and begin. Raises `StoreError`."""
        await self.beat()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, *, leave: bool) -> None:
        """End; with `leave` the others need not wait to see that this node is gone."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if leave:
            try:
                await self._threads.beat(self._store.leave)
            except StoreError as error:
                log.warning("not_left", reason=str(error))

    def soon(self) -> None:
        """Beat at once: something changed that others should know."""
        self._again.set()

    async def beat(self) -> None:
        """Say that this node lives. Raises `StoreError`."""
        began = time.monotonic()
        seen = await self._threads.beat(self._store.beat, self._row())
        # A beat that came back long after it began says nothing of now; and those that were lost on the way may come.
        self._told_at = began
        self.seen = seen
        self._watch.look(int(time.monotonic() * 1000), seen.now, seen.nodes)
        self.failure = None
        self._on_seen(seen)

    @property
    def fresh(self) -> bool:
        """Whether nobody can have taken this node for dead."""
        return self._told_at is not None and (time.monotonic() - self._told_at) * 1000 < self._silence_ms / 2

    @property
    def gone(self) -> set[str]:
        """The nodes that have died."""
        return self._watch.gone

    @property
    def alive(self) -> set[str]:
        """The others that have not."""
        return {row.id for row in self.seen.nodes if row.id != self._store.id} - self._watch.gone

    @property
    def decider_url(self) -> str | None:
        """Where the one that decides listens, when that is known."""
        return next((row.url for row in self.seen.nodes if row.id == self.seen.decider), None)

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    await self._again.wait()
            except TimeoutError:
                pass
            self._again.clear()
            try:
                await self.beat()
            except StoreError as error:
                self.failure = str(error)
                log.warning("beat_failed", reason=self.failure)
            except Exception:
                log.exception("beat_broken")
