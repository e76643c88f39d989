"""Nodes with settings of their own, within the process of the tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.api.yard import Yard


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Makes nodes with settings of their own."""
    made: list[Yard] = []

    def make(**settings: Any) -> Yard:
        made.append(Yard(tmp_path / f"data{len(made)}", **settings))
        return made[-1]

    yield make
    for running in made:
        running.stop()
