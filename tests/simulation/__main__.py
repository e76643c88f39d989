"""Replays a seed: `python -m tests.simulation --seed 17 [--mutant fence_off]`."""

from __future__ import annotations

import argparse
import sys
import traceback

from tests.simulation.run import run


def main() -> int:
    """Run the seeds that the arguments name; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Replay seeds of the simulation.")
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of several")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--crashes", type=int, default=10)
    parser.add_argument("--tail", type=int, default=60, help="how many lines of the journal to show")
    asked = parser.parse_args()
    bad = 0
    for seed in range(asked.seed, asked.seed + asked.seeds):
        report = run(seed, asked.tasks, asked.crashes, tail=asked.tail)
        if report.violation is None:
            print(f"seed {seed}: kept; {report.lifecycles} tasks, {report.attempts} attempts, {report.turns} turns")
            continue
        bad += 1
        for line in report.tail:
            print(line[:400])
        if not type(report.violation).__name__ == "Violation":
            traceback.print_exception(report.violation)
        print(f"seed {seed}: broken: {report.violation}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
