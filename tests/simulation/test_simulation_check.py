"""`taskyard check` at each crash of simulated yards: what real turns leave behind breaks none of its rules."""

from __future__ import annotations

import tempfile
from pathlib import Path

from taskyard.prove.simulation.run import Run, memory_directory
from taskyard.prove.simulation.scenario import draw
from taskyard.prove.simulation.script import Script, write
from taskyard.store.check import RULES, Report, check

SEEDS = range(1, 5)
TASKS = 300
CRASHES = 10


class Checked(Run):
    """A run whose database is checked whenever the node is down."""

    def __init__(self, script: Script, directory: Path) -> None:
        super().__init__(script, directory)
        self.reports: list[Report] = []

    def _at_rest(self, moment: str) -> None:
        super()._at_rest(moment)
        if moment == "down":
            self.reports.append(check(self._database, lambda rule: None))


def test_a_yard_that_crashed_is_sound() -> None:
    reports: list[Report] = []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory(dir=memory_directory(), prefix="taskyard-check-") as folder:
            run = Checked(write(draw(seed, TASKS, CRASHES)), Path(folder))
            outcome = run.go(60)
        assert outcome.violation is None, outcome.told()
        reports += run.reports
    for report in reports:
        assert report.faults == []
        assert report.rules == len(RULES) + 1
    # They were looked at in the midst of things.
    for name in ("waiting", "running", "ended"):
        assert sum(getattr(report, name) > 0 for report in reports) >= CRASHES
