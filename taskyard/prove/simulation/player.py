"""Plays seeds as a program: `python -m taskyard.prove.simulation.player FOLDER TASKS CRASHES`.

It takes a seed a line on its standard input and gives a report a line on its standard output, as JSON; it ends when its
standard input does.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from taskyard.prove.oracle.violation import Violation
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.run import run


def main(folder: str, tasks: str, crashes: str) -> None:
    """Play each seed that comes; databases are made in a folder."""
    for line in sys.stdin:
        print(to_line(run(int(line), int(tasks), int(crashes), folder=Path(folder))), flush=True)


def to_line(report: Report) -> str:
    """A report as a line; whatever broke is told as a broken promise."""
    broken = report.violation
    fields: dict[str, Any] = vars(report) | {
        "violation": None if broken is None else [report.rule, str(broken)],
        "interleavings": sorted(report.interleavings),
        "tail": report.tail if broken is not None else [],
    }
    return json.dumps(fields, separators=(",", ":"))


def from_line(line: str) -> Report:
    """The report of such a line."""
    fields: dict[str, Any] = json.loads(line)
    broken = fields.pop("violation")
    for name in ("crashes", "outcomes", "reached"):
        fields[name] = Counter(fields[name])
    fields["interleavings"] = set(fields["interleavings"])
    return Report(**fields, violation=None if broken is None else Violation(*broken))


if __name__ == "__main__":
    main(*sys.argv[1:])
