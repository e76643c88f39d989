"""A case that breaks a promise becomes a small one that breaks the same promise, and its printed command plays it."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Sequence

import pytest

from taskyard.prove.simulation.run import play
from taskyard.prove.simulation.scenario import draw
from taskyard.prove.simulation.script import Script, write
from taskyard.prove.simulation.shrink import Shrinker, smallest
from tests.simulation.mutants import applied

SECONDS = 300
TASKS = 20
CRASHES = 5


@pytest.mark.parametrize(
    ("culprits", "of"), [((), 9), ((0,), 1), ((7,), 100), ((3, 4), 64), ((0, 50, 99), 100), (tuple(range(8)), 8)]
)
def test_what_is_needed_together_is_left(culprits: tuple[int, ...], of: int) -> None:
    names = [f"w{number}" for number in range(of)]
    needed = {f"w{number}" for number in culprits}
    asked = 0

    def fails(parts: Sequence[str]) -> bool:
        nonlocal asked
        asked += 1
        return needed <= set(parts)

    assert set(smallest(names, fails)) == needed
    assert asked <= of * of


def _broken(name: str) -> tuple[Script, str]:
    """The first script in which a mutant breaks a promise, and which."""
    for seed in range(1, 100):
        script = write(draw(seed, TASKS, CRASHES))
        if (rule := play(script).rule) != "":
            return script, rule
    raise AssertionError(f"{name} was not found")


def test_a_case_is_shrunk_to_one_that_breaks_the_same_promise() -> None:
    with applied("rubbish_is_a_result"):
        script, rule = _broken("rubbish_is_a_result")
        kept, report = Shrinker(script, rule, seconds=SECONDS).shrink()
        assert report.rule == rule
        assert len(kept) <= 8 < len(script.parts())
        for left_out in kept:
            assert play(script.only([part for part in kept if part != left_out])).rule != rule
    assert play(script.only(kept)).violation is None


def test_the_printed_command_plays_the_shrunk_case() -> None:
    name = "retry_after_ignored"
    first = _run("--tasks", str(TASKS), "--crashes", str(CRASHES), "--seeds", "9", "--processes", "1", "--mutant", name)
    assert first.returncode == 1
    command = re.search(r"^replay: python (.*)$", first.stdout, re.MULTILINE)
    broken = re.search(r"^broken: .*$", first.stdout, re.MULTILINE)
    assert command is not None
    assert broken is not None
    assert "--only" in command[1]
    again = _run(*shlex.split(command[1])[2:])
    assert again.returncode == 1
    assert broken[0] in again.stdout.splitlines()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
