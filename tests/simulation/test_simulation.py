"""Every seed keeps every promise; and the seeds reach what they are there for."""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path

import pytest

import taskyard.prove
from taskyard.prove.simulation.crashes import ARMED
from taskyard.prove.simulation.run import run

PROVE = Path(taskyard.prove.__file__).parent
JUDGES = [*sorted((PROVE / "oracle").glob("*.py")), PROVE / "torture" / "judge.py", PROVE / "torture" / "timeline.py"]
SEEDS = 200
SEEDS_A_TEST = 50  # the rarest of what is to be reached comes once in ten seeds
TASKS = 1000
CRASHES = 10
# What the seeds of each test must come to, by the oracle's own count.
OUTCOMES = ("failed", "timeout", "declined", "unreached", "misconfigured", "lost", "cancelled")
REACHED = (
    "callbacks before the answer",
    "callbacks of superseded attempts",
    "forged callbacks",
    "maintenance in mid-flight",
    "refills",
    "registered anew in mid-flight",
    "removed in mid-flight",
    "shed calls",
    "shed submissions",
    "starts with the clock put forward",
    "starts with the clock set back",
    "swept",
    "unreadable answers",
    "unstorable CalledBack",
    "unstorable Ended",
    "unstorable Submitted",
)


@pytest.mark.parametrize("first", range(1, SEEDS + 1, SEEDS_A_TEST))
def test_every_promise_is_kept(first: int) -> None:
    crashes: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    interleavings: set[int] = set()
    for seed in range(first, first + SEEDS_A_TEST):
        report = run(seed, TASKS, CRASHES)
        assert report.violation is None, report.told()
        assert report.lifecycles >= TASKS
        assert report.crashes.total() >= CRASHES
        crashes += report.crashes
        outcomes += report.outcomes
        reached += report.reached
        interleavings |= report.interleavings
    assert {str(stage) for stage in ARMED} <= set(crashes)
    assert all(outcomes[outcome] >= 10 for outcome in OUTCOMES), outcomes
    assert all(reached[what] for what in REACHED), reached
    assert len(interleavings) >= 100 * SEEDS_A_TEST


def test_a_seed_gives_the_same_run_each_time() -> None:
    first, second = (run(7, 300, 5, tail=400) for _ in range(2))
    assert first == second
    assert len(first.tail) == 400


@pytest.mark.parametrize("path", JUDGES, ids=lambda path: path.name)
def test_what_judges_shares_no_code_with_what_it_judges(path: Path) -> None:
    tree = ast.parse(path.read_text())
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {name for name in imported if name and name.split(".")[0] == "taskyard"}
    assert all(name.startswith("taskyard.prove.oracle.") for name in ours if path.parent.name == "oracle")
    assert not ours or path.parent.name == "oracle"
    assert imported - ours <= set(sys.stdlib_module_names) | {"collections.abc"}
