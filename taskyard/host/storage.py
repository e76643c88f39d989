"""The store on its threads: one that writes, a few that read. Translates the store's errors into the host's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import structlog

from taskyard.host.errors import Unavailable
from taskyard.store.port import Store, StoreError

log = structlog.get_logger()
T = TypeVar("T")
READERS = 2


class Storage:
    """Runs a store's calls off the event loop. `write` keeps the store's one-writer rule; reads run beside it.

    At most `reads_most` reads run or wait.
    """

    def __init__(self, store: Store, reads_most: int) -> None:
        self.store = store
        self._reads_most = reads_most
        self._writer = ThreadPoolExecutor(1, "store-writer")
        self._readers = ThreadPoolExecutor(READERS, "store-reader")
        self._reads = 0
        self._was_tight = False
        self._closed = False
        self.turn = asyncio.Lock()  # held from a turn's lookup to its commit: nothing may be written in between

    async def write(self, call: Callable[[Store], T]) -> T:
        """Run a call that belongs to the writer: lookup, commit, recover, sweep. Raises the store's own errors."""
        return await self.begin_write(call)

    def begin_write(self, call: Callable[[Store], T]) -> asyncio.Future[T]:
        """The same, handed to the writer at once; the future has what came of it."""
        writing = asyncio.get_running_loop().run_in_executor(self._writer, call, self.store)
        writing.add_done_callback(self._note_room)
        return writing

    def tight(self) -> str | None:
        """Why nothing new should be taken in now, though results can be stored; `None`: all is well."""
        return self.store.tight()

    def _note_room(self, _: object) -> None:
        tight = self.store.tight()
        if (tight is not None) is self._was_tight:
            return
        self._was_tight = tight is not None
        if tight is not None:
            log.error("disk_full", reason=tight)
        else:
            log.info("disk_has_room")

    async def read(self, query: Callable[[Store], T]) -> T:
        """Run a read. Raises `Unavailable` when the store cannot answer, is closed, or too many reads wait."""
        if self._closed:
            raise Unavailable("the node stops")
        if self._reads >= self._reads_most:
            raise Unavailable("too many reads are waiting for the store")
        self._reads += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, query, self.store)
        except StoreError as error:
            log.warning("not_read", reason=str(error), detail=error.detail)
            raise Unavailable(f"the store is away: {error}") from error
        finally:
            self._reads -= 1

    async def close(self) -> None:
        """Let running calls end, then close the store. Who still has a connection may ask for a read meanwhile."""
        self._closed = True
        await asyncio.to_thread(self._readers.shutdown)
        await asyncio.get_running_loop().run_in_executor(self._writer, self.store.close)
        await asyncio.to_thread(self._writer.shutdown)
