"""The budget of bodies in flight: which answers are read while it is used up, and that nothing waits for ever."""

import asyncio
import time

import pytest

from taskyard.host.budget import Budget
from taskyard.host.transport.port import Bounds
from tests.support.aio import run, until
from tests.support.asking import Asker, asking
from tests.support.rude import Rude

HALF, WHOLE = 100_000, 200_000  # bytes of /halves
LARGE = Bounds(total_ms=60_000, body_max=1_000_000, silence_ms=60_000, connect_ms=30_000)


async def halves(ask: Asker, rude: Rude, budget: Budget, count: int) -> "list[asyncio.Task[bytes]]":
    """Posts whose answers are half read, one after the other."""

    async def one() -> bytes:
        return (await ask.post("/halves", bounds=LARGE, connections=count)).body

    tasks = []
    for number in range(count):
        before = budget.used
        tasks.append(asyncio.create_task(one()))
        await asyncio.to_thread(rude.events.wait, "half", number + 1)
        await until(lambda before=before: budget.used == before + HALF)  # type: ignore[misc]
    return tasks


def test_a_part_of_an_answer_counts_until_it_is_whole(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(1_000_000)
        async with asking(rude.url, budget=budget) as ask:
            tasks = await halves(ask, rude, budget, 2)
            assert budget.used == 2 * HALF
            rude.events.add("open")
            assert [len(body) for body in await asyncio.gather(*tasks)] == [WHOLE, WHOLE]
            assert budget.used == 0

    run(main(), loop)


@pytest.mark.parametrize("path", ["/silent-in-body", "/reset-in-body", "/cl-too-long", "/big-until-close"])
def test_an_answer_that_fails_gives_its_bytes_back(loop: str, rude: Rude, path: str) -> None:
    async def main() -> None:
        budget = Budget(1_000_000)
        async with asking(rude.url, budget=budget) as ask:
            with pytest.raises(Exception, match="answer"):
                await ask.post(path, bounds=Bounds(total_ms=60_000, body_max=150_000, silence_ms=150))
            assert budget.used == 0

    run(main(), loop)


def test_a_cancelled_exchange_gives_its_bytes_back(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(1_000_000)
        async with asking(rude.url, budget=budget) as ask:
            (task,) = await halves(ask, rude, budget, 1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert budget.used == 0

    run(main(), loop)


def test_no_large_answer_is_read_while_others_use_the_budget_up(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(1_000_000)
        async with asking(rude.url, budget=budget) as ask:
            tasks = await halves(ask, rude, budget, 2)
            budget.add(1_000_000)
            rude.events.add("open")
            await asyncio.to_thread(rude.events.wait, "whole", 2)
            # Whatever the loop had to read by now it would have read; small answers are read nevertheless.
            small = Bounds(total_ms=30_000, body_max=1000)
            for _ in range(3):
                assert (await ask.get("/ok", bounds=small)).body == b"{}"
            assert not any(task.done() for task in tasks)
            assert budget.used == 1_000_000 + 2 * HALF
            budget.release(1_000_000)
            assert [len(body) for body in await asyncio.gather(*tasks)] == [WHOLE, WHOLE]
            assert budget.used == 0
            assert (await ask.post("/number", connections=2)).body.endswith(b".2")  # the connection is as before

    run(main(), loop)


def test_parts_that_use_the_budget_up_by_themselves_become_whole_one_after_the_other(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(9 * HALF)
        async with asking(rude.url, budget=budget) as ask:
            tasks = await halves(ask, rude, budget, 9)
            assert budget.tight
            ended: list[int] = []
            most: list[int] = []
            for number, task in enumerate(tasks):
                task.add_done_callback(lambda _, number=number: ended.append(number))  # type: ignore[misc]
                task.add_done_callback(lambda _: most.append(budget.used))
            rude.events.add("open")
            await asyncio.gather(*tasks)
            assert ended[:2] == [0, 1]  # then the budget has room for the rest
            assert most[0] <= 9 * HALF  # what is whole has gone, and only the next one is read on
            assert (budget.used, budget.tight) == (0, False)

    run(main(), loop)


def test_a_first_answer_that_fails_leaves_its_place_to_the_next(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(9 * HALF)
        async with asking(rude.url, budget=budget) as ask:
            tasks = await halves(ask, rude, budget, 9)
            tasks[0].cancel()
            await until(tasks[0].done)
            assert budget.tight
            rude.events.add("open")
            bodies = await asyncio.gather(*tasks, return_exceptions=True)
            assert [len(body) for body in bodies[1:] if isinstance(body, bytes)] == [WHOLE] * 8
            assert (budget.used, budget.tight) == (0, False)

    run(main(), loop)


def test_a_server_is_not_called_silent_while_nobody_listens(loop: str, rude: Rude) -> None:
    async def main() -> None:
        budget = Budget(1_000_000)
        async with asking(rude.url, budget=budget) as ask:
            bounds = Bounds(total_ms=60_000, body_max=1_000_000, silence_ms=1_000)
            task = asyncio.create_task(ask.post("/halves", bounds=bounds))
            await until(lambda: budget.used == HALF)
            budget.add(1_000_000)
            rude.events.add("open")
            end = time.monotonic() + 1.5
            await until(lambda: task.done() or time.monotonic() > end)
            assert not task.done()
            budget.release(1_000_000)
            assert len((await task).body) == WHOLE

    run(main(), loop)


class Part(bytes):
    """Bytes that say when they are gone."""

    gone: list[int]

    def __del__(self) -> None:
        self.gone.append(len(self))


def test_a_request_that_is_written_keeps_no_memory(loop: str, rude: Rude) -> None:
    async def main() -> None:
        async with asking(rude.url) as ask:
            part = Part(b"x" * 300_000)
            gone = part.gone = []
            exchange = ask.client.post(rude.url + "/gate", (), [part], LARGE, pool_key="server", max_connections=1)
            del part
            task = asyncio.create_task(exchange)
            del exchange
            await asyncio.to_thread(rude.events.wait, "at gate")
            await until(lambda: gone == [300_000])
            assert not task.done()
            rude.events.add("open")
            assert (await task).status == 200

    run(main(), loop)
