"""What is worked out once in a while is kept for its moment, and no more of it than may be."""

from collections.abc import Callable

import pytest

from taskyard.engine.memory import Memory
from taskyard.host.figures import REMEMBERED, FiguresView


@pytest.fixture
def view() -> FiguresView:
    def nothing() -> Memory:
        raise AssertionError("memory is not asked")

    return FiguresView(nothing, lambda: 0)


def counting() -> tuple[list[int], Callable[[], int]]:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    return made, make


def test_it_is_made_once_for_a_key_and_a_moment(view: FiguresView) -> None:
    made, make = counting()
    assert [view.remember(("a",), 1, make), view.remember(("a",), 1, make), view.remember(("b",), 1, make)] == [0, 0, 1]
    assert [view.remember(("a",), 2, make), view.remember(("a",), 2, make), view.remember(("b",), 1, make)] == [2, 2, 1]
    assert len(made) == 3


def test_what_nobody_asked_for_lately_goes(view: FiguresView) -> None:
    made, make = counting()
    for number in range(REMEMBERED):
        view.remember((number,), 1, make)
    view.remember((0,), 1, make)
    view.remember(("another",), 1, make)
    before = len(made)
    view.remember((0,), 1, make)
    assert len(made) == before
    view.remember((1,), 1, make)
    assert len(made) == before + 1
