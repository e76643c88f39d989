"""Runs a test's coroutine on a chosen event loop, with a limit so that a lost wake-up fails instead of hanging."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


def run(main: Coroutine[Any, Any, T], loop: str = "asyncio", limit_s: float = 60) -> T:
    """Returns what `main` returns. What the loop would only have logged (an unhandled exception) fails the run."""
    unhandled: list[dict[str, Any]] = []

    async def limited() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with asyncio.timeout(limit_s):
            return await main

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        result = runner.run(limited())
    assert not unhandled, unhandled
    return result


async def until(condition: Callable[[], bool], limit_s: float = 30) -> None:
    """Returns as soon as `condition` holds; fails with TimeoutError when it does not within `limit_s`."""
    async with asyncio.timeout(limit_s):
        while not condition():  # noqa: ASYNC110 - what changes it sets no event
            await asyncio.sleep(0.002)
