"""The oracle is worth something: it finds every bug of the catalogue within a few seeds, and none without one."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, applied
from tests.simulation.run import run

SEEDS = range(1, 21)  # without a mutant they keep every promise: see `test_simulation`
TASKS = 300
CRASHES = 10


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    with applied(name):
        for seed in SEEDS:
            if run(seed, TASKS, CRASHES).violation is not None:
                return
    pytest.fail(f"{name} was not found within {len(SEEDS)} seeds of {TASKS} tasks")
