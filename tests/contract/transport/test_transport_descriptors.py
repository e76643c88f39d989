"""A process without file descriptors: the transport waits for one, and only a long want ends as `Unreached`."""

import asyncio
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskyard.host.transport.port import Bounds, Unreached
from tests.support.aio import run
from tests.support.asking import asking
from tests.support.rude import Rude

PATIENT = Bounds(total_ms=15_000, body_max=1_000, connect_ms=10_000)
HASTY = Bounds(total_ms=15_000, body_max=1_000, connect_ms=300)
WANT_S = 0.5


@contextmanager
def no_descriptors() -> Iterator[None]:
    """None can be opened; what is open stays."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_want_of_descriptors_is_waited_out(loop: str, rude: Rude) -> None:
    async def main() -> int:
        async with asking(rude.url) as ask:
            with no_descriptors():
                asked = asyncio.create_task(ask.post("/number", bounds=PATIENT))
                done, _ = await asyncio.wait({asked}, timeout=WANT_S)
                assert not done
            return (await asked).status

    assert run(main(), loop) == 200


def test_one_that_lasts_is_told_by_its_name(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            with no_descriptors():
                await ask.post("/number", bounds=HASTY)

    with pytest.raises(Unreached, match="Too many open files"):
        run(main(), loop)
