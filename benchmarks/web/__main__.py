"""The dashboard against its budgets, before nodes of several sizes: real Chromium, real nodes, a load that lasts.

`python -m benchmarks.web [--servers 0 14 1000] [--tasks 1000000] [--seconds 20] [--rounds 3] [--only first_load ...]`

Printed: for each size a table of budget, measured and within, medians with what lay around them, and how busy the
machine was before and after. The largest yard has the ended tasks. Times in the browser are CPU times where they can
be; when a page is ready is told by a clock, and means little on a busy machine. With --data-dir loaded yards are kept
and used again. Not a test: it asserts nothing, figures depend on the machine.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from benchmarks.web.browser import Chromium
from benchmarks.web.budgets import load_now, table
from benchmarks.web.measures import Measures
from benchmarks.web.scene import Size, scene

MEASURES = ("first_load", "ready", "at_rest", "tour", "by_hand", "stream")
# Of a small fleet each server is given so many tasks a second, of a large one a task.
BUSY, RATE_MOST = 4, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, nargs="+", default=[0, 14, 1000], help="sizes of the fleet, in order")
    parser.add_argument("--tasks", type=int, default=1_000_000, help="ended tasks of the largest")
    parser.add_argument("--seconds", type=float, default=20, help="length of what is measured over time")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--only", nargs="+", choices=MEASURES, default=MEASURES)
    parser.add_argument("--data-dir", type=Path, help="keep the loaded yards there, or use those that are there")
    options = parser.parse_args()
    largest = max(options.servers)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright, Chromium(playwright) as browser:
        for servers in options.servers:
            tasks = options.tasks if servers == largest else 0
            size = Size(servers, tasks, min(RATE_MOST, BUSY * servers))
            place = (options.data_dir or Path(folder)) / f"{servers}-{tasks}"
            print(f"{load_now()}; {size}", flush=True)
            with scene(place, size) as node:
                measures = Measures(browser, node, options.seconds)
                for _ in range(options.rounds):
                    for name in options.only:
                        if name == "stream":
                            measures.stream(options.viewers)
                        elif name != "by_hand" or servers:
                            getattr(measures, name)()
                print(table(f"{size}; Chromium {browser.version}", measures.lines), flush=True)
            print(f"{load_now()}\n", flush=True)


if __name__ == "__main__":
    main()
