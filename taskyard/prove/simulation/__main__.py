"""Runs seeds, counts what they came to, shrinks what fails: `python -m taskyard.prove.simulation --seed 7 --seeds 200`.

A seed that breaks a promise is shrunk to the smallest part of its script that still breaks it, and the command that
plays that part again is printed.
"""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor

from taskyard.prove.oracle.violation import Violation
from taskyard.prove.simulation.faults import FAULTS
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.run import play
from taskyard.prove.simulation.scenario import draw
from taskyard.prove.simulation.script import Script, write
from taskyard.prove.simulation.shrink import Shrinker
from taskyard.prove.simulation.total import Total

COMMAND = "python -m taskyard.prove.simulation"
LINE_MOST = 400


def main(arguments: Sequence[str] | None = None, command: str = COMMAND) -> int:
    """Run the seeds that the arguments name; 1 when a promise was broken. `command` is what plays it again."""
    parser = argparse.ArgumentParser(prog=command, description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the seed, or the first of several")
    parser.add_argument("--seeds", type=int, default=1, help="how many seeds from there on")
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--crashes", type=int, default=10)
    parser.add_argument("--nodes", type=int, default=1, help="how many nodes share one database")
    parser.add_argument("--only", metavar="PARTS", help="play these parts of the script only, as printed: m0,c2,w3")
    parser.add_argument("--without", metavar="FAULTS", help=f"leave faults out: {', '.join(sorted(FAULTS))}")
    parser.add_argument("--shrink", type=int, metavar="SECONDS", default=120, help="how long to shrink, 0: not at all")
    parser.add_argument("--tail", type=int, default=60, help="how many lines of the journal to show")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    asked = parser.parse_args(arguments)
    total = Total()
    failed: list[Report] = []
    for report in _reports(asked):
        total.add(report)
        if report.violation is None:
            print(f"seed {report.seed}: kept; {report.lifecycles} tasks, {report.attempts} attempts", flush=True)
        else:
            failed.append(report)
            print(f"seed {report.seed}: BROKEN: {str(report.violation)[:LINE_MOST]}", flush=True)
    if failed:
        _explain(asked, failed[0], command)
    print(total)
    return 1 if failed else 0


def _reports(asked: argparse.Namespace) -> Iterator[Report]:
    seeds = range(asked.seed, asked.seed + asked.seeds)
    if asked.seeds == 1 or asked.processes == 1:
        yield from (_play(asked, seed) for seed in seeds)
        return
    with ProcessPoolExecutor(asked.processes) as pool:
        yield from pool.map(_play, [asked] * len(seeds), seeds, chunksize=1)


def _play(asked: argparse.Namespace, seed: int) -> Report:
    return play(_script(asked, seed), tail=asked.tail)


def _script(asked: argparse.Namespace, seed: int) -> Script:
    script = write(draw(seed, asked.tasks, asked.crashes, asked.nodes))
    if asked.without:
        script = script.without(asked.without.split(","))
    return script.only(asked.only.split(",")) if asked.only else script


def _explain(asked: argparse.Namespace, report: Report, command: str) -> None:
    """Shrink a case, show its last entries, and say how to see it again."""
    command += f" --seed {report.seed} --tasks {asked.tasks} --crashes {asked.crashes}"
    if asked.nodes != 1:
        command += f" --nodes {asked.nodes}"
    parts = asked.only
    if asked.shrink:
        script = _script(asked, report.seed)
        before = len(script.parts())
        shrinker = Shrinker(script, report.rule, seconds=asked.shrink)
        kept, report = shrinker.shrink(tail=asked.tail)
        parts = ",".join(kept)
        print(f"shrunk from {before} parts to {len(kept)} in {shrinker.runs} runs")
    for line in report.tail:
        print(line[:LINE_MOST])
    if not isinstance(report.violation, Violation):
        traceback.print_exception(report.violation)
    print(f"broken: {report.violation}")
    print(f"replay: {command}" + (f" --only {parts}" if parts else "") + " --shrink 0")


if __name__ == "__main__":
    sys.exit(main())
