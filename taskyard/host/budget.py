"""The budget of bodies in flight, both ways: requests being read, backends' answers, and results that wait for a turn.

It is tight from the moment it is used up until an eighth of it is free again: meanwhile no request's body is taken, no
task is sent, and answers are read one at a time at most (`transport.reading`). Knows sizes only, never bodies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

FREE_AGAIN = 8  # one part in so many must be free before the budget is no longer tight


class Budget:
    """Counts bytes up to `most`. `low` is the use below which it is no longer tight."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.low = most - most // FREE_AGAIN
        self.used = 0
        self.tight = False
        self._listeners: list[Callable[[], None]] = []
        self._room = asyncio.Event()
        self._room.set()

    def reserve(self, size: int) -> bool:
        """Take so many bytes; false when they are not to be had now."""
        if size and (self.tight or self.used + size > self.most):
            return False
        self.add(size)
        return True

    def add(self, size: int) -> None:
        """Count bytes that are there already, whether or not there was room for them."""
        self.used += size
        if self.used >= self.most and not self.tight:
            self.tight = True
            self._room.clear()
            self._tell()

    def release(self, size: int) -> None:
        """Give bytes back."""
        self.used -= size
        if self.tight and self.used < self.low:
            self.tight = False
            self._room.set()
            self._tell()

    async def room(self) -> None:
        """Wait until the budget is not tight."""
        await self._room.wait()

    def listen(self, call: Callable[[], None]) -> None:
        """Have `call` called whenever `tight` has changed."""
        self._listeners.append(call)

    def _tell(self) -> None:
        for call in self._listeners:
            call()
