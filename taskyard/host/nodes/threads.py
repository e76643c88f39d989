"""The threads on which nodes use the store beside the turn. Knows nothing of what they do there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
# One for beats, one for what is taken in, one for what is read.
THREADS = 3


class Threads:
    """Runs calls off the event loop."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(THREADS, "store-nodes")

    async def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of a call; raises what it does."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: call(*args, **kwargs))

    async def close(self) -> None:
        """Let what runs end."""
        await asyncio.to_thread(self._pool.shutdown)
