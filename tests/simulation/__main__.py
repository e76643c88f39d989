"""Replays a seed: `python -m tests.simulation --seed 17 [--mutant fence_off]`."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections import Counter
from contextlib import nullcontext

from tests.simulation.host import Shape
from tests.simulation.mutants import MUTANTS, applied
from tests.simulation.oracle_servers import Violation
from tests.simulation.run import Report, run

LINE_MOST = 400


def main() -> int:
    """Run the seeds that the arguments name; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Replay seeds of the simulation.")
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of several")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--crashes", type=int, default=10)
    parser.add_argument("--tail", type=int, default=60, help="how many lines of the journal to show")
    parser.add_argument("--mutant", choices=sorted(MUTANTS), help="run with this bug put in")
    asked = parser.parse_args()
    reports: list[Report] = []
    with applied(asked.mutant) if asked.mutant else nullcontext():
        for seed in range(asked.seed, asked.seed + asked.seeds):
            report = run(seed, asked.tasks, asked.crashes, tail=asked.tail)
            reports.append(report)
            _tell(report)
    _sum_up(reports)
    return 1 if any(report.violation for report in reports) else 0


def _tell(report: Report) -> None:
    if report.violation is None:
        print(f"seed {report.seed}: kept; {report.lifecycles} tasks, {report.attempts} attempts, {report.turns} turns")
        return
    for line in report.tail:
        print(line[:LINE_MOST])
    if not isinstance(report.violation, Violation):
        traceback.print_exception(report.violation)
    print(f"seed {report.seed}: broken: {report.violation}")


def _sum_up(reports: list[Report]) -> None:
    crashes: Counter[str] = sum((report.crashes for report in reports), Counter())
    shapes: Counter[Shape] = sum((report.shapes for report in reports), Counter())
    print(
        f"{sum(report.lifecycles for report in reports)} lifecycles, {sum(report.attempts for report in reports)} "
        f"attempts, {sum(report.turns for report in reports)} turns, {sum(crashes.values())} crash points, "
        f"{len(shapes)} distinct interleavings, {sum(report.virtual_ms for report in reports) // 1000} virtual seconds"
    )
    for stage, times in crashes.most_common():
        print(f"{times:6} x {stage}")


if __name__ == "__main__":
    sys.exit(main())
