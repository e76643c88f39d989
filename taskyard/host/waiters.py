"""Who waits for what: ends and changes of tasks, the end of a server's check. Only futures, no rules."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Waiters(Generic[K, V]):
    """Futures by key; several may wait for one, and all get the same value."""

    def __init__(self) -> None:
        self._futures: dict[K, list[asyncio.Future[V | None]]] = {}

    def __bool__(self) -> bool:
        return bool(self._futures)

    def __len__(self) -> int:
        return sum(map(len, self._futures.values()))

    def keys(self) -> list[K]:
        """What is waited for."""
        return list(self._futures)

    def has(self, key: K) -> bool:
        """Whether anybody waits for this key."""
        return key in self._futures

    def wake(self, key: K, value: V) -> None:
        """Wake all who wait for a key."""
        for future in self._futures.pop(key, ()):
            if not future.done():
                future.set_result(value)

    def release_all(self) -> None:
        """Wake everybody without what they wait for."""
        for futures in self._futures.values():
            for future in futures:
                if not future.done():
                    future.set_result(None)
        self._futures.clear()

    async def wait(self, key: K, timeout_ms: int) -> V | None:
        """Wait for a key; `None` after `timeout_ms` or when all are released."""
        future: asyncio.Future[V | None] = asyncio.get_running_loop().create_future()
        self._futures.setdefault(key, []).append(future)
        try:
            async with asyncio.timeout(timeout_ms / 1000):
                return await future
        except TimeoutError:
            return None
        finally:
            waiting = self._futures.get(key)
            if waiting is not None and future in waiting:
                waiting.remove(future)
                if not waiting:
                    del self._futures[key]
