"""The simulation with a bug put in: `python -m tests.simulation --mutant linger_zero --seeds 40`."""

import argparse
import sys

from taskyard.prove.simulation.__main__ import main
from tests.simulation.mutants import MUTANTS, NODES, applied


def mutated() -> int:
    """Run the seeds that the arguments name with a mutant on; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__, add_help=False)
    parser.add_argument("--mutant", choices=sorted(MUTANTS | NODES), required=True)
    asked, rest = parser.parse_known_args()
    with applied(asked.mutant):
        # Another process would not have it on.
        return main([*rest, "--processes", "1"], f"python -m tests.simulation --mutant {asked.mutant}")


if __name__ == "__main__":
    sys.exit(mutated())
