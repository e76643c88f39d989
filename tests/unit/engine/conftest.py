"""A desk for each test: the real engine and the real store, in virtual time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from taskyard.engine.limits import Limits
from tests.support.turns import Desk


class Desks(Protocol):
    def __call__(self, limits: Limits = ...) -> Desk: ...


@pytest.fixture
def desks(tmp_path: Path) -> Iterator[Desks]:
    """Makes desks with limits of one's own."""
    opened: list[Desk] = []

    def make(limits: Limits = Limits()) -> Desk:  # noqa: B008 - immutable
        desk = Desk(tmp_path / f"desk-{len(opened)}", limits)
        opened.append(desk)
        return desk

    yield make
    for desk in opened:
        desk.close()


@pytest.fixture
def desk(desks: Desks) -> Desk:
    return desks()
