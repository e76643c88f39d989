"""What is overdue on a connection, second by second."""

from taskyard.api.deadlines import STEP, Deadlines, Overdue, Phase
from taskyard.api.limits import Limits
from taskyard.settings import Settings


def answered(write_timeout_ms: int) -> Deadlines:
    """A connection whose request was read and is being answered."""
    deadlines = Deadlines(Limits.of(Settings(write_timeout=write_timeout_ms)), 0.0)
    deadlines.begin(Phase.NOTHING, 0.0)
    return deadlines


def lasts(deadlines: Deadlines, unsent: list[int]) -> int:
    """For how many seconds it is let live, when so many bytes are unsent in each of them."""
    for second, left in enumerate(unsent):
        found = deadlines.overdue(float(second), unsent=left, paused=False, serving=True)
        if found is not None:
            assert found is Overdue.ABORT
            return second
    return len(unsent)


def test_who_takes_nothing_of_an_answer_is_cut_off() -> None:
    assert lasts(answered(10_000), [8_000_000] * 100) == 10


def test_who_takes_an_answer_steadily_is_not_cut_off() -> None:
    steady = [100 * STEP - second * STEP for second in range(100)]
    assert lasts(answered(10_000), steady) == 100


def test_who_takes_it_by_the_byte_is_cut_off() -> None:
    assert lasts(answered(10_000), [8_000_000 - second for second in range(100)]) in (10, 11)


def test_a_client_that_has_taken_all_begins_anew() -> None:
    deadlines = answered(10_000)
    assert lasts(deadlines, ([5_000] * 8 + [0]) * 5) == 45
