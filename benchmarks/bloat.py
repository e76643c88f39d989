"""Days of work on PostgreSQL in minutes: do tables swell, do turns slow down, beside an idle transaction or not?

`python -m benchmarks.bloat [--seconds 240] [--batch 100] [--per-day 10000] [--keep-days 2]` runs twice, so long each:
once alone, and once beside a transaction that has read another table and stays open all the time, so that no dead row
can be vacuumed. One node takes tasks in, each with a key; the decider takes the lines, hands the tasks out by letters,
and ends them: the whole way of a task among many nodes, by the store's own methods. Time is virtual: `--per-day` tasks
make a day, after so many days tasks and keys are swept and days are dropped. Printed: turns and tasks, what they took
at the beginning and at the end, and what the tables weigh then. Not a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing, nullcontext
from pathlib import Path

from benchmarks.postgres import old_snapshot
from benchmarks.store import LANES, SERVERS, TYPES, counters, ended_task, fsync_p50_ms, new_task, queue_row, run_row
from taskyard.engine.plan import Plan, Post, Writes
from taskyard.engine.rows import KeyRow, LaneRow
from taskyard.store.nodes import Line
from taskyard.store.postgres import sweep
from taskyard.store.postgres.store import PostgresStore
from tests.support.postgres import Cluster, cluster

DAY_MS = 86_400_000
HOT = ("queue", "run", "inbox", "letter", "idempotency", "stats_part", "lease_beat")
# What is done once a minute else, in days that last for some seconds.
KEEP_UP_EVERY_S = 0.5
SWEEP_TURNS = 5
# Turns at the beginning are those of the second day: the first one makes files and plans.
SHARE = 10


class Days:
    """The life of tasks over virtual days, the last of which is before today. `most` is how many there can be."""

    def __init__(self, per_day: int, most: int) -> None:
        self._step_ms = DAY_MS / per_day
        self._first = (time.time_ns() // 1_000_000 // DAY_MS - most - 2) * DAY_MS
        self.most = most

    def at(self, number: int) -> int:
        """When a task is created."""
        return self._first + int(number * self._step_ms)

    def id(self, number: int) -> str:
        """Its id."""
        return f"task_{self.at(number):012x}7{number:019x}"

    def taken_in(self, numbers: range, payload: str) -> Writes:
        """What a node stores of them."""
        return Writes(
            tasks=[new_task(n)._replace(id=self.id(n), created_at=self.at(n)) for n in numbers],
            payloads=[(self.id(n), payload) for n in numbers],
            keys=[KeyRow("ann", f"key-{n}", "h", self.id(n), self.at(n), self.at(n) + DAY_MS) for n in numbers],
        )

    def turn(self, batches: Sequence[range], lines: list[tuple[str, int]], node: str) -> Plan:
        """The decider's turn: queues the first, sends the second, has the third accepted and ends the fourth."""
        new, queued, sent, accepted = batches
        runs = [run_row(n)._replace(task_id=self.id(n), started_at=self.at(n)) for n in (*queued, *sent)]
        hour = self.at(new[0]) // 3_600_000
        plan = Plan(
            self.at(new[0]),
            Writes(
                queued=[queue_row(n)._replace(task_id=self.id(n), queued_at=self.at(n)) for n in new],
                unqueued=[(self.id(n),) for n in queued],
                runs=[row._replace(accepted=int(number >= len(queued))) for number, row in enumerate(runs)],
                stopped=[(self.id(n), 1) for n in accepted],
                ended=[ended_task(n)._replace(id=self.id(n), completed_at=self.at(n)) for n in accepted],
                results=[(self.id(n), '{"text":"done"}') for n in accepted],
                stats=[
                    row._replace(hour=hour)
                    for row in (
                        counters("yard", ""),
                        *(counters("type", name) for name in TYPES),
                        *(counters("server", f"server-{server}") for server in range(SERVERS)),
                    )
                ],
            ),
        )
        plan.post = Post(taken=lines, letters=[(node, "dispatch", self.id(n), "{}") for n in queued])
        return plan


def live(store: PostgresStore, other: PostgresStore, days: Days, options: argparse.Namespace) -> list[float]:
    """Turns for so long, or until the days are over; what each took in ms, what the other node stored included."""
    size: int = options.batch
    payload = '{"prompt":"' + "x" * 500 + '"}'
    node = other.nodes.id
    took: list[float] = []
    after, end = 0, time.monotonic() + options.seconds
    for number in itertools.count(3):
        batches = [range((number - age) * size, (number - age + 1) * size) for age in range(4)]
        now = days.at(batches[0][-1])
        if time.monotonic() > end or now >= days.at(0) + days.most * DAY_MS:
            return took
        before = time.perf_counter()
        lines = [Line(node, n + 1, "Submitted", days.id(n), 0, "") for n in batches[0]]
        other.nodes.take_in(days.taken_in(batches[0], payload), lines)
        store.commit(days.turn(batches, [(node, line.seq) for line in lines], node))
        letters = other.nodes.letters(after, size, 1 << 20)
        after = letters[-1].id if letters else after
        took.append((time.perf_counter() - before) * 1e3)
        if number % SWEEP_TURNS == 0:
            past = now - options.keep_days * DAY_MS
            while store.sweep(past, past, 2 * SWEEP_TURNS * size) >= 2 * SWEEP_TURNS * size:
                pass
    raise AssertionError


def show(server: Cluster, name: str, took: list[float], days: Days, size: int) -> None:
    """What came of a run."""
    tenth = max(1, len(took) // SHARE)
    for words, part in (("at the beginning", took[tenth : 2 * tenth]), ("at the end", took[-tenth:])):
        ordered = sorted(part)
        p99 = ordered[len(ordered) * 99 // 100]
        print(f"  a turn {words}: p50 {statistics.median(ordered):.1f} ms, p99 {p99:.1f} ms")
    passed = (days.at(len(took) * size) - days.at(0)) / DAY_MS
    ((kept,),) = server.execute("SELECT count(*) FROM day", name)
    print(
        f"  {len(took)} turns, {len(took) * size} tasks, {passed:.1f} days passed, partitions of {kept} days are there"
    )
    rows = server.execute(
        "SELECT relname, n_live_tup, n_dead_tup, pg_table_size(relid), pg_indexes_size(relid) "
        f"FROM pg_stat_user_tables WHERE relname IN {HOT} ORDER BY 4 DESC", name
    )  # fmt: skip
    print(f"  {'table':12} {'rows':>8} {'dead':>8} {'table':>11} {'indexes':>11}")
    for table, alive, dead, own, indexes in rows:
        print(f"  {table:12} {alive:8} {dead:8} {int(str(own)) >> 10:7} KiB {int(str(indexes)) >> 10:7} KiB")


def run(options: argparse.Namespace, *, idle: bool) -> None:
    """One run on a server of its own."""
    print("beside an idle transaction that holds an old snapshot:" if idle else "alone:", flush=True)
    days = Days(options.per_day, options.most_days)
    with cluster("shared_buffers=512MB", "max_wal_size=4GB") as server:
        name = server.database()
        url = server.url(name)
        with closing(PostgresStore(url)) as store, closing(PostgresStore(url)) as other:
            store.recover(1)
            store.commit(Plan(0, Writes(lanes=[LaneRow(lane, "[]", "", "") for lane in range(LANES)])))
            first = [range(n * options.batch, (n + 1) * options.batch) for n in range(3)]
            for numbers in first:
                writes = days.taken_in(numbers, "{}")
                writes.queued = [queue_row(n)._replace(task_id=days.id(n)) for n in numbers]
                store.commit(Plan(0, writes))
            with old_snapshot(url) if idle else nullcontext():
                took = live(store, other, days, options)
                show(server, name, took, days, options.batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=240, help="of each run")
    parser.add_argument("--batch", type=int, default=100, help="tasks a turn")
    parser.add_argument("--per-day", type=int, default=10_000, help="tasks a day")
    parser.add_argument("--keep-days", type=int, default=2)
    parser.add_argument("--most-days", type=int, default=100)
    options = parser.parse_args()
    sweep._KEEP_UP_EVERY_S = KEEP_UP_EVERY_S  # type: ignore[misc]
    with tempfile.TemporaryDirectory() as folder:
        fsync = fsync_p50_ms(Path(folder))
    print(f"load before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores; fsync p50 {fsync:.2f} ms")
    for idle in (False, True):
        run(options, idle=idle)
    print(f"load after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
