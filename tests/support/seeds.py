"""The seed of a test whose moments are drawn."""

import os
import time


def seed_of_this_run() -> int:
    """Another one each time; the environment can name it: KILL_SEED=7."""
    return int(os.environ.get("KILL_SEED", "0")) or time.time_ns() % 1_000_000
