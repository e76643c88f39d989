"""What others feel of slow clients and of a backend that hangs: the 99th percentiles, with and without the fault.

`python -m benchmarks.overload [--runs 5] [--connections 20000]`

First as many connections as 60 % of the hard limit of descriptors (at most `--connections`), half of them silent, the
others sending head or body a byte at a time: how long `/ready` and a synchronous task take while they are open and
while they are ended. Then ten backends of which one hangs: how long the tasks take that were not sent to it, after the
same load without the fault. Medians of the runs. Needs the tests' environment. Not a test: it asserts nothing.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.yard import workplace
from tests.overload.test_overload_connections import MARGIN_S, ROUNDS, times_of
from tests.overload.test_overload_fleet import PATIENCE_S, TEN, calls_of
from tests.overload.yard import Yard, p99, running
from tests.support.nodes import ROOT, token

LIMIT_S = 60


def slow_clients(folder: Path, count: int) -> dict[str, float]:
    """The 99th percentiles in ms by name: without them, while they are open, and while they are ended."""
    settings = {f"TASKYARD_{name}_TIMEOUT": f"{LIMIT_S}s" for name in ("HEAD", "BODY", "IDLE")}
    folder.mkdir()
    figures: dict[str, float] = {}

    def measure(yard: Yard, when: str, goes_on: Callable[[int], bool]) -> None:
        ready, tasks = running(times_of(yard.node.url, goes_on), 2 * (LIMIT_S + MARGIN_S))
        figures.update({f"/ready p99, {when}": p99(ready), f"task p99, {when}": p99(tasks)})

    with Yard.of(folder, settings) as yard:
        yard.add("one", maxConcurrent=10)
        measure(yard, "without them", lambda rounds: rounds < ROUNDS)
        command = [sys.executable, "-m", "tests.overload.crowd", str(yard.node.port), str(count), token("user")]
        crowd = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        yard.stack.callback(crowd.wait)
        yard.stack.callback(crowd.kill)
        assert crowd.stdout is not None
        figures["connections open"] = json.loads(crowd.stdout.readline())["open"]
        measure(yard, "open", lambda rounds: rounds < ROUNDS)
        measure(yard, "while they end", lambda rounds: rounds < 1 or crowd.poll() is None)
    return figures


def one_hangs(folder: Path) -> tuple[float, float]:
    """The 99th percentile in ms of all tasks, and of those not caught while one backend of ten hangs."""
    folder.mkdir()
    with Yard.of(folder, {"LINGER": "200ms"}) as yard:
        machines = [yard.add(f"m{number}", maxConcurrent=4) for number in range(TEN)]
        running(calls_of(yard.node.url), PATIENCE_S)  # connections are made, averages learnt
        calm = running(calls_of(yard.node.url), PATIENCE_S)
        machines[0].freeze()
        try:
            found = running(calls_of(yard.node.url), PATIENCE_S)
        finally:
            machines[0].thaw()
    others = [took for took, said in found if said["attempts"] == 1]
    return p99([took for took, _ in calm]), p99(others)


def main() -> None:
    """Run it all and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--connections", type=int, default=20_000)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = options.connections if hard == resource.RLIM_INFINITY else min(options.connections, hard * 6 // 10)
    with workplace() as folder:
        crowds = [slow_clients(folder / f"crowd-{run}", count) for run in range(options.runs)]
        print(f"slow clients, medians of {options.runs} runs")
        for name in crowds[0]:
            print(f"  {name:28} {statistics.median(figures[name] for figures in crowds):10.1f}")
        pairs = [one_hangs(folder / f"hang-{run}") for run in range(options.runs)]
        calm, others = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(other / before for before, other in pairs)
        print(f"one of ten hangs, medians of {options.runs} runs")
        print(f"  all tasks without it p99 {calm:.1f} ms; the others' beside it {others:.1f} ms; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
