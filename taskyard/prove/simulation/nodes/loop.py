"""An event loop in virtual time, one for each simulated process: real asyncio code runs on it, deterministically.

Its clock is the world's and its timers are the world's events. It has no I/O: what asyncio hands to threads goes to
`calls`. A process that is frozen runs nothing until it thaws; one that is dead never again. Knows nothing of nodes.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from math import ceil
from typing import Any, Protocol, TypeVar
from weakref import WeakSet

from taskyard.prove.simulation.world import World

T = TypeVar("T")


class Executing(Protocol):
    """What carries out the calls that are handed to threads."""

    def run(self, executor: Any, call: Callable[[], Any]) -> asyncio.Future[Any]:
        """Have a call carried out by one of an executor's threads."""


class VirtualLoop(asyncio.BaseEventLoop):
    """The loop of one process. `entered(True)` is called before its code runs and `entered(False)` after that.

    `errors` are what its code fell over where nobody awaited it.
    """

    calls: Executing

    def __init__(self, world: World, entered: Callable[[bool], None]) -> None:
        self.frozen = self.dead = False
        super().__init__()
        self._world = world
        self._entered = entered
        self._ready: deque[asyncio.Handle] = deque()
        self._planned = False
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self.errors: list[str] = []

    # --- what the simulation does to it ------------------------------------------------------------------------------

    def freeze(self) -> None:
        """From now on nothing runs; what comes waits."""
        self.frozen = True

    def thaw(self) -> None:
        """What came meanwhile runs now."""
        self.frozen = False
        self._plan()

    def kill(self) -> None:
        """Nothing of it runs ever again."""
        self.dead = True
        self._ready.clear()
        for task in self._tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]

    def _plan(self) -> None:
        if not self._planned and self._ready:
            self._planned = True
            self._world.at(self._world.now, self._run)

    def _run(self) -> None:
        self._planned = False
        if self.frozen or self.dead:
            return
        outer = events._get_running_loop()
        events._set_running_loop(self)
        self._entered(True)
        try:
            ready = self._ready
            while ready:
                handle = ready.popleft()
                if not handle._cancelled:
                    handle._run()
        finally:
            self._entered(False)
            events._set_running_loop(outer)

    def _due(self, handle: asyncio.Handle) -> None:
        if not (self.dead or handle._cancelled):
            self._ready.append(handle)
            self._plan()

    # --- what asyncio asks of it -------------------------------------------------------------------------------------

    def time(self) -> float:
        """Virtual time in s."""
        return self._world.now / 1000

    def call_soon(self, callback: Callable[..., Any], *args: Any, context: Context | None = None) -> asyncio.Handle:  # type: ignore[override]
        """See `asyncio.AbstractEventLoop`."""
        handle = asyncio.Handle(callback, args, self, context)
        if not self.dead:
            self._ready.append(handle)
            self._plan()
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop`."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """See `asyncio.AbstractEventLoop`; to the ms, never too early."""
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        if not self.dead:
            self._world.at(ceil(when * 1000 - 1e-6), self._due, handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """See `asyncio.AbstractEventLoop`."""
        return asyncio.Future(loop=self)

    def create_task(self, coro: Coroutine[Any, Any, T], **named: Any) -> asyncio.Task[T]:  # type: ignore[override]
        """See `asyncio.AbstractEventLoop`."""
        task = asyncio.Task(coro, loop=self, **named)
        self._tasks.add(task)
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        """See `asyncio.AbstractEventLoop`."""
        return self.calls.run(executor, lambda: func(*args))

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """See `asyncio.AbstractEventLoop`."""
        if not self.dead:
            self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")

    def get_debug(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return False

    def set_debug(self, enabled: bool) -> None:
        """See `asyncio.AbstractEventLoop`; never here, since it would tell the time by another clock."""

    def is_running(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return not self.dead

    def is_closed(self) -> bool:
        """See `asyncio.AbstractEventLoop`."""
        return self.dead

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It stays among the world's events, and does nothing when its time comes."""
