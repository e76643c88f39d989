"""What removing ended tasks costs the turns: a yard of many ended tasks, all past their retention, under load.

`python -m benchmarks.retention [--tasks 1000000] [--bytes 2000] [--seconds 60] [--rate 2000] [--data-dir DIR]`

A direct loader writes the ended tasks by SQL of its own. Then the node's own sweeper and storage run beside turns at a
constant rate of tasks, each through its whole life; first without the sweeper, then with it. Printed: how long turns
waited for the sweeper, how long their commits took, how large the WAL became, how many tasks a second were removed.
With --data-dir a loaded yard is kept and used again; one that was loaded without tags, histories, keys and failures can
be used still, and shows less. Not a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import store as one
from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import LaneRow
from taskyard.host.node import SWITCH_INTERVAL_S
from taskyard.host.storage import Storage
from taskyard.host.sweeper import Sweeper
from taskyard.store.sqlite import SqliteStore

# The loaded tasks ended in this span before the benchmark's own begin.
SPAN_MS = 7 * 86_400_000
CHUNK = 200_000
TURN_TASKS = 100
PAYLOAD_SHARE = 0.7

# Ids in order of time, as the node gives them; each in its order, as a node would have written them.
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :end)"
AT = ":start + i * :span / :tasks"
ID = f"printf('task_%012x7%019x', {AT}, i)"
# One in so many tasks has a tag, a history, a key, has failed: all that a sweep has to look for.
TAGGED, RETRIED, KEYED, FAILED = 4, 10, 5, 20
TAG = "tag of some"
STATUS = f"CASE WHEN i % {FAILED} = 0 THEN 3 ELSE 2 END"
LOAD = (
    f"""{NUMBERS} INSERT INTO task (
        id, owner, type, priority, lane, capabilities, group_name, pin, run_async, timeout, max_retries, backoff_base,
        backoff_cap, hops, created_at, status, attempts, server_id, started_at, responded_at, completed_at, http_status,
        ended_by, tags, error)
    SELECT {ID}, 'user-' || i % {one.OWNERS}, 'type-' || i % 6, 0, i % {one.LANES}, '["gpu"]', '', '', 1, 3600000, 3,
        1000, 30000, 0, {AT}, {STATUS}, 1, 'server-' || i % {one.SERVERS}, {AT} + 5, {AT} + 900, {AT} + 900, 200, 1,
        CASE WHEN i % {TAGGED} = 0 THEN '["{TAG}"]' END, CASE {STATUS} WHEN 3 THEN 'HTTP 500' END
    FROM n""",
    f"{NUMBERS} INSERT INTO task_tag (tag, task_id) SELECT '{TAG}', {ID} FROM n WHERE i % {TAGGED} = 0",
    f"""{NUMBERS} INSERT INTO attempt (
        task_id, attempt, last, server_id, started_at, ended_at, outcome, count, http_status, error)
    SELECT {ID}, 1, 1, 'server-' || i % {one.SERVERS}, {AT} + 5, {AT} + 900, 'failed', 1, 500, 'HTTP 500'
    FROM n WHERE i % {RETRIED} = 0""",
    f"{NUMBERS} INSERT INTO failed_task (task_id, failure) SELECT {ID}, 'fail_' || i % 6 FROM n WHERE {STATUS} = 3",
    f"""{NUMBERS} INSERT INTO idempotency (owner, key, hash, task_id, created_at, expires_at)
    SELECT 'user-' || i % {one.OWNERS}, printf('key-%d', i), '{"0" * 64}', {ID}, {AT}, {AT} + 86400000
    FROM n WHERE i % {KEYED} = 0""",
    f"""{NUMBERS} INSERT INTO payload (task_id, body)
    SELECT {ID}, printf('{{"n":%d,"x":"%.*c"}}', i, :payload, 'x') FROM n""",
    f"""{NUMBERS} INSERT INTO result (task_id, body)
    SELECT {ID}, printf('{{"n":%d,"y":"%.*c"}}', i, :result, 'y') FROM n WHERE {STATUS} = 2""",
)
COUNTERS = """INSERT INTO stats_hour (
        hour, scope, key, created, completed, failed, cancelled, timed_out, retried, attempts_ok, attempts_failed,
        run_ms, responses, response_ms, waits, wait_ms, online_ms, last_at)
    SELECT completed_at / 3600000, :scope, key, count(*), sum(status = 2), sum(status = 3), 0, 0, 0, sum(status = 2),
        sum(status = 3), sum(900), count(*), sum(900), count(*), 0, 0, max(completed_at)
    FROM (
        SELECT completed_at, status,
            CASE :scope WHEN 'type' THEN type WHEN 'server' THEN server_id ELSE '' END AS key FROM task
    ) GROUP BY 1, key"""


def load(path: Path, tasks: int, size: int) -> None:
    """Make a data directory with so many ended tasks, `size` bytes of payload and result each."""
    store = SqliteStore(path)
    store.commit(Plan(one.CREATED, Writes(lanes=[LaneRow(lane, '["gpu"]', "", "") for lane in range(one.LANES)])))
    store.close()
    database = sqlite3.connect(path / "taskyard.db", isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {pragma}")
    payload = round(size * PAYLOAD_SHARE) - 20
    values = {
        "start": one.CREATED - SPAN_MS - 1,
        "span": SPAN_MS,
        "tasks": tasks,
        "payload": payload,
        "result": size - payload - 40,
    }
    began = time.perf_counter()
    for first in range(0, tasks, CHUNK):
        database.execute("BEGIN")
        for statement in LOAD:
            database.execute(statement, values | {"first": first, "end": min(first + CHUNK, tasks)})
        database.execute("COMMIT")
        if sys.stderr.isatty():
            print(f"\rloaded {first + CHUNK:,}", end="", file=sys.stderr)
    for scope in ("yard", "type", "server"):
        database.execute(COUNTERS, {"scope": scope})
    database.close()
    took = time.perf_counter() - began
    gib = (path / "taskyard.db").stat().st_size / 2**30
    print(f"loaded {tasks:,} ended tasks in {took:.0f} s: {gib:.1f} GiB", flush=True)


class Turns:
    """Turns at a constant pace, as the node's loop takes them, and what each of them saw."""

    def __init__(self, storage: Storage, tasks_per_s: float) -> None:
        self._storage = storage
        self._pause = TURN_TASKS / tasks_per_s / 3
        self._number = int(time.time() - one.CREATED / 1000) * 100_000  # ids that no run before has used
        self.waits: list[float] = []
        self.commits: list[float] = []
        self.wal = 0

    async def run(self, seconds: float) -> None:
        """Take turns for so long."""
        payload = '{"prompt":"' + "x" * 1000 + '"}'
        loop = asyncio.get_running_loop()
        due = loop.time()
        end = due + seconds
        while due < end:
            self._number += TURN_TASKS
            numbers = range(self._number, self._number + TURN_TASKS)
            for make in (one.submit, one.dispatch, one.end):
                await asyncio.sleep(due - loop.time())
                await self._turn(make(numbers, payload))
                due = max(due + self._pause, loop.time())

    async def _turn(self, plan: Plan) -> None:
        asked = time.perf_counter()
        async with self._storage.turn:
            began = time.perf_counter()
            await self._storage.write(lambda store: store.commit(plan))
        self.waits.append((began - asked) * 1000)
        self.commits.append((time.perf_counter() - began) * 1000)
        self.wal = max(self.wal, self._storage.store.sizes()["wal"])

    def clear(self) -> None:
        """Begin a new count."""
        self.waits, self.commits, self.wal = [], [], 0


def told(name: str, values: list[float]) -> str:
    """A line of quantiles in ms."""
    cuts = statistics.quantiles(values, n=1000)
    return (
        f"  {name:22} p50 {cuts[499]:7.2f}  p99 {cuts[989]:7.2f}  p99.9 {cuts[998]:7.2f}  longest {max(values):7.2f} ms"
    )


async def measure(path: Path, seconds: float, rate: float) -> None:
    """Turns without the sweeper, then with it."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    print(f"fsync p50 {one.fsync_p50_ms(path):.2f} ms")
    storage = Storage(SqliteStore(path), 256)
    turns = Turns(storage, rate)
    try:
        await turns.run(min(seconds, 15))
        report("without the sweeper", turns)
        turns.clear()
        swept: list[tuple[int, float]] = []
        storage.store.sweep = counting(storage.store.sweep, swept)  # type: ignore[method-assign]
        # All that was loaded is past its retention; what the turns end is not.
        sweeper = Sweeper(storage, lambda: one.CREATED, lambda: 0, retention_ms=0, count=None)
        began = time.perf_counter()
        sweeper.start()
        await turns.run(seconds)
        await sweeper.stop()
        took = time.perf_counter() - began
        report("with the sweeper", turns)
        removed = sum(count for count, _ in swept)
        print(told("bite", [held for _, held in swept]))
        print(f"  removed {removed:,} tasks in {took:.0f} s: {removed / took:,.0f}/s, in {len(swept):,} bites")
    finally:
        await storage.close()


def counting(sweep: Callable[[int, int, int], int], swept: list[tuple[int, float]]) -> Callable[[int, int, int], int]:
    """A sweep that notes how many tasks it removed and how many ms that took."""

    def counted(ended_before: int, keys_before: int, most: int) -> int:
        began = time.perf_counter()
        removed = sweep(ended_before, keys_before, most)
        swept.append((removed, (time.perf_counter() - began) * 1000))
        return removed

    return counted


def report(title: str, turns: Turns) -> None:
    print(f"{title}: {len(turns.commits):,} turns, WAL at most {turns.wal / 2**20:.0f} MiB")
    print(told("waited for the store", turns.waits))
    print(told("commit", turns.commits))
    print(told("both", [wait + commit for wait, commit in zip(turns.waits, turns.commits, strict=True)]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200_000, help="ended tasks to load")
    parser.add_argument("--bytes", type=int, default=2000, help="payload and result of each")
    parser.add_argument("--seconds", type=float, default=30, help="how long to measure with the sweeper")
    parser.add_argument("--rate", type=float, default=1000, help="tasks a second through the turns")
    parser.add_argument("--data-dir", type=Path, help="keep the loaded yard there, or use the one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data_dir or Path(folder, "data")
        if not (path / "taskyard.db").exists():
            load(path, options.tasks, options.bytes)
        asyncio.run(measure(path, options.seconds, options.rate))


if __name__ == "__main__":
    main()
