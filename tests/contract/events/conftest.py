"""A node whose events come fast, and clients that read streams."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.api.yard import Yard
from tests.contract.events.streams import Listener


@pytest.fixture
def own_yard(tmp_path: Path) -> Iterator[Callable[..., Yard]]:
    """Makes nodes with settings of their own."""
    made: list[Yard] = []

    def make(**settings: Any) -> Yard:
        made.append(Yard(tmp_path / f"data{len(made)}", **{"event_interval": 50} | settings))
        return made[-1]

    yield make
    for running in made:
        running.stop()


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Opens streams; they are closed again."""
    made: list[Listener] = []

    def make(yard: Yard, query: str, *roles: str, **how: Any) -> Listener:
        made.append(Listener(yard, query, *roles, **how))
        return made[-1]

    yield make
    for listener in made:
        listener.close()
