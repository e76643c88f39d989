"""The catalogue of faults in the guarantees is complete and true to its names."""

from __future__ import annotations

import re
from pathlib import Path

from taskyard.prove.simulation.behaviours import BEHAVIOURS as DONE
from taskyard.prove.simulation.faults import BEHAVIOURS, FAULTS
from tests.simulation.mutants import MUTANTS, NODES, ONLY

PAGE = Path(__file__).parents[2] / "docs" / "guarantees.md"


def _rows() -> list[tuple[list[str], list[str]]]:
    """The names in the first and in the last column of the simulator's tables: of one node, and of several."""
    page = PAGE.read_text()
    one = page.partition("\n## How this is checked\n")[2].partition("\n## ")[0]
    several = page.partition("\n### In virtual time\n")[2].partition("\n## ")[0]
    cells = [line.split("|")[1:-1] for line in (one + several).splitlines() if line.startswith("| `")]
    return [(re.findall("`([a-z_]+)`", row[0]), re.findall("`([a-z_]+)`", row[-1])) for row in cells]


def test_the_page_names_every_fault_once() -> None:
    named = [fault for faults, _ in _rows() for fault in faults]
    assert sorted(named) == sorted(FAULTS)


def test_the_page_names_mutants_that_there_are_and_the_faults_that_they_need() -> None:
    rows = _rows()
    assert {name for _, mutants in rows for name in mutants} <= {*MUTANTS, *NODES}
    for name, faults in ONLY.items():
        assert any(name in mutants and set(faults) <= set(named) for named, mutants in rows), name


def test_every_behaviour_is_one_that_backends_have() -> None:
    assert set(DONE) == {*BEHAVIOURS, "succeeds"}
