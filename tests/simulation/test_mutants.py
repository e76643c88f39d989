"""The oracle is worth something: it finds every bug of the catalogue within a few seeds, and none without one.

And the faults are: a bug that shows only where one fault happens is not found by the same seeds without that fault.
"""

from __future__ import annotations

import pytest

from taskyard.prove.simulation.run import play
from taskyard.prove.simulation.scenario import draw
from taskyard.prove.simulation.script import write
from tests.simulation.mutants import MUTANTS, ONLY, applied

SEEDS = range(1, 41)  # without a mutant they keep every promise: see `test_simulation`
TASKS = 200
CRASHES = 10


@pytest.mark.parametrize("name", MUTANTS)
def test_a_mutant_is_found(name: str) -> None:
    scripts = []
    with applied(name):
        for seed in SEEDS:
            scripts.append(write(draw(seed, TASKS, CRASHES)))
            if play(scripts[-1]).violation is not None:
                break
        else:
            pytest.fail(f"{name} was not found within {len(SEEDS)} seeds of {TASKS} tasks")
        for script in scripts if name in ONLY else ():
            report = play(script.without(ONLY[name]))
            assert report.violation is None, f"{name} was found without {ONLY[name]}: {report.violation}"
