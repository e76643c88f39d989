"""Looking again and again for what others have stored: soon after something was found, seldom when nothing comes.

Knows nothing of what is looked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from taskyard.store.port import StoreError

log = structlog.get_logger()
ERROR_PAUSE_S = 1.0


def _never() -> bool:
    return False


class Poller:
    """Calls `look`, which says how much it found, while it runs and is awake; `what` is looked for, for the log.

    Two looks are `pause_s` apart at most, and a quarter of that after something was found or while it is `expected`.
    """

    def __init__(
        self, what: str, look: Callable[[], Awaitable[int]], pause_s: float, *, expected: Callable[[], bool] = _never
    ) -> None:
        self._what = what
        self._look = look
        self._pause_s = pause_s
        self._expected = expected
        self._awake = asyncio.Event()
        self._awake.set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def wake(self) -> None:
        """There may be something again."""
        self._awake.set()

    def sleep(self) -> None:
        """There is nothing to look for until `wake`."""
        self._awake.clear()

    async def _run(self) -> None:
        pause = self._pause_s
        while True:
            await self._awake.wait()
            try:
                found = await self._look()
            except StoreError as error:
                log.warning("not_read", what=self._what, reason=str(error))
                pause = ERROR_PAUSE_S
            except Exception:
                log.exception("reading_failed", what=self._what)
                pause = ERROR_PAUSE_S
            else:
                soon = self._pause_s / 4
                pause = soon if found or self._expected() else min(self._pause_s, max(soon, pause) * 2)
            await asyncio.sleep(pause)
