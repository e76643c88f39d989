"""The threads on which nodes use the store beside the turn. Knows nothing of what they do there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# One for what is taken in, and two for what is read.
THREADS = 3


class Threads:
    """Runs calls off the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "store-nodes")
        self._beats = ThreadPoolExecutor(1, "store-beats")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call; raises what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def beat(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As `run`, for what says that this node lives: it waits behind nothing else."""
        return await asyncio.get_running_loop().run_in_executor(self._beats, lambda: call(*args, **kwargs))

    async def close(self) -> None:
        """Let what runs end."""
        for pool in (self._pool, self._beats):
            await asyncio.to_thread(pool.shutdown)
