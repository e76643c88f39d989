"""Several nodes in virtual time: every seed keeps every promise, and each bug of what they do together is found."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from taskyard.prove.simulation.faults import TO_NODES
from taskyard.prove.simulation.run import play, run
from taskyard.prove.simulation.scenario import draw
from taskyard.prove.simulation.script import write
from tests.simulation.mutants import FOCUS, NODES, applied

NUMBER = 3
SEEDS = range(1, 21)
TASKS = 40
BLOWS = 10
# Those that take another seed than the first few; without a mutant these are kept too.
MUTANT_SEEDS = range(1, 21)


def test_every_promise_is_kept_by_several_nodes() -> None:
    blows: Counter[str] = Counter()
    interleavings: set[int] = set()
    for seed in SEEDS:
        report = run(seed, TASKS, BLOWS, NUMBER)
        assert report.violation is None, report.told()
        assert report.lifecycles >= TASKS
        blows += report.crashes
        interleavings |= report.interleavings
    for kind in TO_NODES:
        assert any(blow.startswith(kind) for blow in blows), (kind, blows)
    for what in ("commit", "take_in", "letters", "beat"):
        assert blows[f"just after its {what} was done, before it knew"], blows
    assert len(interleavings) >= 20 * len(SEEDS)


def test_a_seed_of_several_nodes_gives_the_same_run_each_time() -> None:
    first, second = (run(6, TASKS, BLOWS, NUMBER, tail=400) for _ in range(2))
    assert first == second
    assert len(first.tail) == 400


@pytest.mark.parametrize("name", NODES)
def test_a_mutant_of_nodes_is_found(name: str) -> None:
    with applied(name):
        for seed in MUTANT_SEEDS:
            script = write(draw(seed, TASKS, BLOWS, NUMBER))
            script = replace(script, blows=tuple(replace(blow, **FOCUS.get(name, {})) for blow in script.blows))
            if play(script).violation is not None:
                return
    pytest.fail(f"{name} was not found within {len(MUTANT_SEEDS)} seeds of {TASKS} tasks")
