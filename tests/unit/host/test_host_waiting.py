"""How often the lanes are looked at, and memory is copied for trials, however often they are asked for."""

import asyncio

from taskyard.domain.task import Spec, Task
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.host.port import Outlook
from taskyard.host.promises import Promises
from taskyard.host.waiting import Board, Trials


class Ticking:
    """A clock that goes on by `step` ns whenever it is read."""

    def __init__(self) -> None:
        self.now, self.step = 0, 0

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def queue(memory: Memory, number: int) -> None:
    spec = Spec(id=f"task_{number}", owner="ann", type="t", created_at=number, capabilities=(f"c{number}",))
    lane = memory.fleet.lane(frozenset(spec.capabilities), "", "")
    memory.enqueue(Task(id=spec.id, spec=spec, lane=lane, rank=number, queued_at=number))


def test_a_look_that_took_long_is_shown_again_for_a_while() -> None:
    clock, memory = Ticking(), Memory(Limits(), "n")
    board = Board(clock)
    clock.step = 50
    queue(memory, 1)
    first = board.look(memory, 9, 1_000, None)
    assert (first.as_of, len(first.lanes)) == (1_000, 1)
    clock.step = 0
    queue(memory, 2)
    clock.now += 50 * (Board.SHARE - 1) - 1
    assert board.look(memory, 9, 2_000, None) is first
    clock.now += 1
    second = board.look(memory, 9, 3_000, None)
    assert (second.as_of, len(second.lanes)) == (3_000, 2)


def test_a_look_that_took_no_time_is_taken_anew() -> None:
    board, memory = Board(Ticking()), Memory(Limits(), "n")
    assert board.look(memory, 9, 1_000, None).lanes == []
    queue(memory, 1)
    assert len(board.look(memory, 9, 1_000, None).lanes) == 1


def test_memory_is_copied_for_no_more_than_may_ask_and_for_one_after_the_other() -> None:
    memory, asked = Memory(Limits(), "n"), []
    queue(memory, 1)
    (task,) = memory.tasks.values()

    async def main() -> list[Outlook]:
        trials = Trials(2, Promises(lambda: 0))

        def known() -> Memory:
            asked.append(trials._one.locked())
            return memory

        return await asyncio.gather(*(trials.outlook(task, known, lambda: 1_000) for _ in range(9)))

    assert len(asyncio.run(main())) == 9
    assert asked == [True, True]
