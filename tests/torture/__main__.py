"""`make torture MINUTES=n`: the ordeal for so long; ends with 0 when nothing was lost, doubled or in excess."""

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from taskyard.prove.torture.ordeal import RATE, Ordeal, timeline
from tests.torture.disk import mounted_or_none

KILLS_A_MINUTE = 15


def main() -> int:
    parser = argparse.ArgumentParser(prog="make torture", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=0, help="of the schedule and of all programs; 0: another each time")
    parser.add_argument("--rate", type=float, default=RATE, help="tasks a second")
    parser.add_argument("--keep", type=Path, help="an absent folder, for the evidence and the logs")
    arguments = parser.parse_args()
    seed = arguments.seed or time.time_ns() % 1_000_000
    print(f"seed {seed}; again: make torture MINUTES={arguments.minutes:g} SEED={seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="torture-") as made:
        folder = arguments.keep or Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            disk = mounted_or_none(stack, folder / "disk", _say)
            ordeal = stack.enter_context(Ordeal(folder, seed, rate=arguments.rate, say=_say, disk=disk))
            ordeal.run(arguments.minutes * 60, int(arguments.minutes * KILLS_A_MINUTE))
            evidence = ordeal.evidence()
        verdicts = [evidence.judged(), timeline(evidence)]
    for verdict in verdicts:
        print(verdict.stdout + verdict.stderr, end="")
    return max(verdict.returncode for verdict in verdicts)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
