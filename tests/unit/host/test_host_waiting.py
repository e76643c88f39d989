"""How often the lanes are looked at, however often they are asked for."""

from taskyard.domain.task import Spec, Task
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.host.waiting import Board


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
