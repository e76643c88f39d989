"""The poller: it looks again and again, whatever a look comes to, and only while it is awake."""

import asyncio

import pytest

from taskyard.host.nodes import poller
from taskyard.store.port import StoreError
from tests.support import aio


def test_it_goes_on_after_a_look_that_failed_and_rests_while_it_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poller, "ERROR_PAUSE_S", 0)
    looks = 0

    async def look() -> int:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise StoreError("it is away")
        if looks == 2:
            raise ValueError("a defect")
        if looks == 4:
            looker.sleep()
        return looks % 2

    looker = poller.Poller("things", look, 0)

    async def follow() -> None:
        looker.start()
        await aio.until(lambda: looks == 4)
        for _ in range(100):
            await asyncio.sleep(0)
        assert looks == 4
        looker.wake()
        await aio.until(lambda: looks > 6)
        await looker.stop()
        seen = looks
        for _ in range(100):
            await asyncio.sleep(0)
        assert looks == seen

    aio.run(follow())
