"""What the store costs per task: its whole life in three turns, in batches, with the figures of the disk beside.

`python benchmarks/store.py [--tasks 20000] [--batch 100] [--payload 1000] [--queued 0]` prints, per phase, CPU and wall
time per task. With `--queued 1000000` so many tasks wait already, and the time of a start is printed too. Not a test:
figures depend on the machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from taskyard.domain.window import rank_of
from taskyard.engine.plan import Plan, Refill, Writes
from taskyard.engine.rows import EndedTask, LaneRow, NewTask, QueueRow, RunRow, StatRow
from taskyard.store.sqlite import SqliteStore

CREATED = 1_760_000_000_000
LANES = 8
SERVERS = 10
OWNERS = 20
TYPES = ("chat-completion", "txt2img", "speech-to-text", "text-classification", "object-detection", "ocr")


def task_id(number: int) -> str:
    """The id of a task that was created `number` tenths of a ms after the first."""
    return f"task_{CREATED + number // 10:012x}7{number:019x}"


def new_task(number: int) -> NewTask:
    return NewTask(
        id=task_id(number), owner=f"user-{number % OWNERS}", type=TYPES[number % len(TYPES)], priority=0,
        lane=number % LANES, capabilities='["gpu"]', group_name="", pin="", run_async=1, run_at=None, timeout=3_600_000,
        ttl=None, queue_timeout=None, heartbeat_timeout=None, max_retries=3, backoff_base=1000, backoff_cap=30_000,
        tags=None, metadata=None, resubmit_of=None, hops=0, traceparent=None, created_at=CREATED + number // 10,
    )  # fmt: skip


def queue_row(number: int) -> QueueRow:
    return QueueRow(
        task_id=task_id(number), owner=f"user-{number % OWNERS}", lane=number % LANES, limit_key="", avoid="",
        rank=rank_of(0, number), due_at=None, wake_at=None, attempts=0, failures=0, lost=0, deadline=None,
        queue_deadline=None, queued_at=CREATED, last_server="", last_outcome=None, updated_at=CREATED,
    )  # fmt: skip


def run_row(number: int) -> RunRow:
    return RunRow(
        task_id=task_id(number), attempt=1, server_id=f"server-{number % SERVERS}", node="node-1",
        rank=rank_of(0, number), avoid="", failures=0, lost=0, deadline=None, started_at=CREATED + number,
        limit_at=CREATED + 3_600_000, accepted=0, responded_at=None, beat_at=CREATED, progress=None, message=None,
        linger_until=None, updated_at=CREATED,
    )  # fmt: skip


def ended_task(number: int) -> EndedTask:
    return EndedTask(
        status=2, attempts=1, failures=0, lost=0, server_id=f"server-{number % SERVERS}", started_at=CREATED + number,
        responded_at=CREATED + number, completed_at=CREATED + number, deadline=None, error=None, error_code=None,
        error_details=None, result_metadata=None, progress=None, message=None, http_status=200, ended_by=1,
        id=task_id(number),
    )  # fmt: skip


def counters(scope: str, key: str) -> StatRow:
    return StatRow._make((CREATED // 3_600_000, scope, key, *[1] * 14, CREATED))


def submit(numbers: range, payload: str) -> Plan:
    """A turn that takes tasks into the queue."""
    writes = Writes(
        tasks=[new_task(number) for number in numbers],
        payloads=[(task_id(number), payload) for number in numbers],
        queued=[queue_row(number) for number in numbers],
        stats=[counters("yard", ""), *(counters("type", name) for name in TYPES)],
    )
    return Plan(CREATED, writes)


def dispatch(numbers: range, _: str) -> Plan:
    """A turn that gives them to servers, and reads their payloads and the next of the queue."""
    ids = [task_id(number) for number in numbers]
    return Plan(
        CREATED,
        Writes(unqueued=[(name,) for name in ids], runs=[run_row(number) for number in numbers]),
        refills=[Refill(numbers[0] % LANES, "", "", rank_of(0, numbers[-1] + 1), 64)],
        payloads=ids,
    )


def end(numbers: range, payload: str) -> Plan:
    """A turn that ends them with a result."""
    writes = Writes(
        stopped=[(task_id(number), 1) for number in numbers],
        ended=[ended_task(number) for number in numbers],
        results=[(task_id(number), payload[:300]) for number in numbers],
        stats=[counters("yard", ""), *(counters("server", f"server-{server}") for server in range(SERVERS))],
    )
    return Plan(CREATED, writes)


def batches(first: int, count: int, size: int) -> Iterator[range]:
    for start in range(first, first + count, size):
        yield range(start, min(start + size, first + count))


def fsync_p50_ms(folder: Path) -> float:
    """The median time of a 4 KiB append with fsync."""
    times = []
    with (folder / "probe").open("wb", buffering=0) as file:
        for _ in range(100):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def measure(store: SqliteStore, make: Callable[[range, str], Plan], turns: list[range], payload: str) -> list[float]:
    """CPU and wall time per task in µs, and the wall time of the median and the slowest commit in ms."""
    cpu, walls = 0.0, []
    for numbers in turns:
        plan = make(numbers, payload)
        began, began_cpu = time.perf_counter(), time.process_time()
        store.commit(plan)
        cpu += time.process_time() - began_cpu
        walls.append(time.perf_counter() - began)
    tasks = sum(map(len, turns))
    return [cpu / tasks * 1e6, sum(walls) / tasks * 1e6, statistics.median(walls) * 1e3, max(walls) * 1e3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--payload", type=int, default=1000, help="bytes")
    parser.add_argument("--queued", type=int, default=0, help="tasks that wait already")
    options = parser.parse_args()
    payload = '{"prompt":"' + "x" * (options.payload - 13) + '"}'
    with tempfile.TemporaryDirectory() as folder:
        print(f"fsync p50 {fsync_p50_ms(Path(folder)):.2f} ms")
        path = Path(folder, "data")
        store = SqliteStore(path)
        store.commit(Plan(CREATED, Writes(lanes=[LaneRow(lane, '["gpu"]', "", "") for lane in range(LANES)])))
        for numbers in batches(0, options.queued, 1000):
            store.commit(submit(numbers, payload))
        turns = list(batches(options.queued, options.tasks, options.batch))
        total = 0.0
        for make in (submit, dispatch, end):
            cpu, wall, median, slowest = measure(store, make, turns, payload)
            total += cpu
            print(
                f"{make.__name__:9} {cpu:6.1f} µs CPU, {wall:6.1f} µs wall per task; "
                f"commit p50 {median:.2f} ms, slowest {slowest:.1f} ms"
            )
        sizes = store.sizes()
        print(f"life      {total:6.1f} µs CPU per task")
        print(f"file {sizes['database'] / 2**20:.0f} MiB, WAL {sizes['wal'] / 2**20:.0f} MiB")
        store.close()
        began = time.perf_counter()
        store = SqliteStore(path)
        opened = time.perf_counter()
        snapshot = store.recover(20_000)
        print(f"open {opened - began:.3f} s, recover {time.perf_counter() - opened:.3f} s", end=" ")
        print(f"with {sum(snapshot.lane_queued.values()):,} queued")
        store.close()


if __name__ == "__main__":
    main()
