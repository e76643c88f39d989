"""The threads of nodes: a beat waits behind nothing else."""

import asyncio
import threading

from taskyard.host.nodes.threads import THREADS, Threads
from tests.support import aio


def test_a_beat_does_not_wait_for_reads_that_take_long() -> None:
    async def crowd() -> None:
        threads, over = Threads(), threading.Event()
        reads = [asyncio.create_task(threads.run(over.wait, 60)) for _ in range(2 * THREADS)]
        await asyncio.sleep(0)  # all of them are begun or wait for a thread
        try:
            assert await threads.beat(over.is_set) is False
        finally:
            over.set()
        assert await asyncio.gather(*reads) == [True] * len(reads)
        await threads.close()

    aio.run(crowd())
