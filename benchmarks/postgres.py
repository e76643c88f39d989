"""The store on PostgreSQL over time: turns one after the other on a server of its own, beside an old snapshot or not.

`python -m benchmarks.postgres [--seconds 180] [--batch 50] [--idle] [--payload 1000]` takes turns as fast as the server
does; each takes tasks in, hands out those of the turn before, has those before them accepted and ends the next. With
`--idle` a transaction stays open for the whole run and sees all that it saw at first, so that no dead row can be
vacuumed: the known killer of queues in PostgreSQL. Printed: rate, CPU and commit times at the beginning and at the end,
what reads take at the end, and what the tables weigh. Not a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from benchmarks.store import (
    CREATED,
    LANES,
    SERVERS,
    TYPES,
    counters,
    ended_task,
    fsync_p50_ms,
    new_task,
    queue_row,
    run_row,
    task_id,
)
from taskyard.domain.window import rank_of
from taskyard.engine.plan import Plan, Refill, Writes
from taskyard.engine.rows import LaneRow
from taskyard.store.port import TaskQuery
from taskyard.store.postgres.store import PostgresStore
from tests.support.postgres import Cluster, cluster

WINDOW_S = 10.0
SWEEP_EVERY_S = 5.0


def turn(number: int, size: int, payload: str) -> Plan:
    """Turn number `number` of a yard that is never idle: four batches of tasks are under way at once."""
    new, queued, sent, accepted = (
        range(max(0, (number - age) * size), max(0, (number - age + 1) * size)) for age in range(4)
    )
    writes = Writes(
        tasks=[new_task(n) for n in new],
        payloads=[(task_id(n), payload) for n in new],
        unqueued=[(task_id(n),) for n in queued],
        queued=[queue_row(n) for n in new],
        stopped=[(task_id(n), 1) for n in accepted],
        runs=[
            *(run_row(n) for n in queued),
            *(run_row(n)._replace(accepted=1, responded_at=CREATED + n) for n in sent),
        ],
        ended=[ended_task(n) for n in accepted],
        results=[(task_id(n), payload[:300]) for n in accepted],
        stats=[
            counters("yard", ""),
            *(counters("type", name) for name in TYPES),
            *(counters("server", f"server-{server}") for server in range(SERVERS)),
        ],
    )
    return Plan(
        CREATED,
        writes,
        refills=[Refill(number % LANES, "", "", rank_of(0, new[0]), 64)],
        payloads=[task_id(n) for n in queued],
    )


@contextmanager
def old_snapshot(url: str) -> Iterator[None]:
    """A transaction that is open and idle."""
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM server")
        yield


@contextmanager
def nothing() -> Iterator[None]:
    yield


def took_ms(call: Callable[[], object]) -> float:
    """The median time of five calls."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


@dataclass
class Window:
    """Some seconds of turns: the times of their commits in ms, and the server's CPU in s."""

    commits: list[float] = field(default_factory=list)
    server_cpu: float = 0.0


def take_turns(store: PostgresStore, server: Cluster, seconds: float, size: int, payload: str) -> list[Window]:
    """Turns for so long, by windows of `WINDOW_S`."""
    windows: list[Window] = []
    number = itertools.count()
    for _ in range(max(1, int(seconds / WINDOW_S))):
        window = Window()
        windows.append(window)
        swept = began = time.perf_counter()
        cpu = server.cpu_seconds()
        while (now := time.perf_counter()) - began < WINDOW_S:
            plan = turn(next(number), size, payload)
            before = time.perf_counter()
            store.commit(plan)
            window.commits.append((time.perf_counter() - before) * 1e3)
            if now - swept > SWEEP_EVERY_S:
                store.sweep(0, 0, 200)
                swept = now
        window.server_cpu = server.cpu_seconds() - cpu
    return windows


def show(name: str, window: Window, size: int) -> None:
    ordered = sorted(window.commits)
    p50, p99 = statistics.median(ordered), ordered[len(ordered) * 99 // 100]
    tasks = len(ordered) * size
    cpu = window.server_cpu / tasks * 1e6
    print(f"{name:12} {tasks / WINDOW_S:6.0f} tasks/s, {cpu:4.0f} µs of the server's CPU a task;", end=" ")
    print(f"commit p50 {p50:.2f} ms, p99 {p99:.2f} ms")


def show_tables(server: Cluster, database: str) -> None:
    rows = server.execute(
        "SELECT regexp_replace(relname, '_[0-9]+$', ''), sum(n_live_tup), sum(n_dead_tup), sum(n_tup_hot_upd), "
        "sum(pg_table_size(relid)), sum(pg_indexes_size(relid)), sum(autovacuum_count) "
        "FROM pg_stat_user_tables GROUP BY 1 HAVING sum(n_tup_ins) > 0 ORDER BY 5 DESC",
        database,
    )
    print(f"{'table':16} {'rows':>9} {'dead':>9} {'table':>9} {'indexes':>9} {'vacuums':>7}")
    for name, live, dead, _, table, indexes, vacuums in rows:
        print(f"{name:16} {live:9} {dead:9} {int(str(table)) >> 10:6} KiB {int(str(indexes)) >> 10:6} KiB {vacuums:7}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=180)
    parser.add_argument("--batch", type=int, default=50)
    parser.add_argument("--payload", type=int, default=1000, help="bytes")
    parser.add_argument("--idle", action="store_true", help="hold an old snapshot for the whole run")
    options = parser.parse_args()
    payload = '{"prompt":"' + "x" * (options.payload - 13) + '"}'
    with cluster("shared_buffers=512MB", "max_wal_size=4GB") as server:
        print(f"fsync p50 {fsync_p50_ms(Path(server.folder)):.2f} ms; {server.execute('SHOW server_version')[0][0]}")
        name = server.database()
        with closing(PostgresStore(server.url(name))) as store:
            store.commit(Plan(CREATED, Writes(lanes=[LaneRow(lane, "[]", "", "") for lane in range(LANES)])))
            with old_snapshot(server.url(name)) if options.idle else nothing():
                windows = take_turns(store, server, options.seconds, options.batch, payload)
                for number, window in enumerate(windows):
                    if number in (0, 1, len(windows) // 2, len(windows) - 1):
                        show(f"from {number * WINDOW_S:.0f} s", window, options.batch)
                reads: dict[str, Callable[[], object]] = {
                    "a task": lambda: store.task(task_id(1000), None),
                    "tasks": lambda: store.tasks(TaskQuery(None)),
                    "those that wait": lambda: store.tasks(TaskQuery(None, statuses=(0,))),
                    "those that run": lambda: store.tasks(TaskQuery(None, statuses=(1,))),
                    "counters": lambda: store.stats_total("yard", ""),
                    "a sweep": lambda: store.sweep(0, 0, 200),
                    "a recovery": lambda: store.recover(20_000),
                }
                print("reads now, p50 in ms:", ", ".join(f"{key} {took_ms(call):.1f}" for key, call in reads.items()))
                show_tables(server, name)


if __name__ == "__main__":
    main()
