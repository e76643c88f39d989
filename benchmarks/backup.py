"""What a backup costs the turns, and how long it takes: a yard of many ended tasks, copied while it works.

`python -m benchmarks.backup [--tasks 500000] [--bytes 2000] [--rate 1000] [--data-dir DIR]`

The node's own backups and storage run beside turns at a constant rate of tasks; first without a backup, then with it.
With --data-dir a loaded yard is kept and used again. The copy is checked and removed. Not a test: figures depend on the
machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import store as one
from benchmarks.retention import Turns, load, report
from taskyard.host.backup import Backups
from taskyard.host.node import SWITCH_INTERVAL_S
from taskyard.host.storage import Storage
from taskyard.store.check import STRUCTURE, check
from taskyard.store.sqlite import SqliteStore

ALONE_S = 15


async def measure(path: Path, rate: float) -> Path:
    """Turns without a backup, then with one; the copy."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    print(f"fsync p50 {one.fsync_p50_ms(path):.2f} ms")
    storage = Storage(SqliteStore(path), 256)
    turns = Turns(storage, rate)
    try:
        await turns.run(ALONE_S)
        report("without a backup", turns)
        turns.clear()
        backups = Backups(storage, path / "backups", lambda: time.time_ns() // 1_000_000, 1 << 30)
        began = time.perf_counter()
        backup = await backups.start("benchmark")
        while backup.state == "running":
            await turns.run(0.5)
        took = time.perf_counter() - began
        report("with a backup", turns)
        mib = backup.size / 2**20
        print(f"  {backup.state}: {mib:,.0f} MiB in {took:.1f} s: {mib / took:,.0f} MiB/s")
    finally:
        await storage.close()
    return backup.file


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=500_000, help="ended tasks to load")
    parser.add_argument("--bytes", type=int, default=2000, help="payload and result of each")
    parser.add_argument("--rate", type=float, default=1000, help="tasks a second through the turns")
    parser.add_argument("--data-dir", type=Path, help="keep the loaded yard there, or use the one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data_dir or Path(folder, "data")
        if not (path / "taskyard.db").exists():
            load(path, options.tasks, options.bytes)
        copy = asyncio.run(measure(path, options.rate))
        began = time.perf_counter()
        faults = check(copy, lambda rule: None).faults
        took = time.perf_counter() - began
        # The counters that the benchmark's turns write are made up: of them nothing is asked here.
        wrong = [fault.places for fault in faults if fault.rule == STRUCTURE]
        print(f"check of the copy: {took:.1f} s, {wrong or 'its structure is sound'}")
        copy.unlink()


if __name__ == "__main__":
    main()
