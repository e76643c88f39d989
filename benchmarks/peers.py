"""Taskyard beside other queues on PostgreSQL, on the same server in the same run, with and without an old snapshot.

`make bench-peers`, or `python -m benchmarks.peers [--seconds 10] [--runs 1]`. The same work for each: 64 submissions of
1 kB under way, each stored before it is acknowledged; 50 jobs at once, each a POST to the same nginx and its answer. Of
Taskyard a submission is an HTTP call to a node; of the others a call of their library, in a process of its own.

Printed: jobs a second from the first submission to the last one that ended, CPU of the queue's own processes and of the
database. With an old snapshot, a transaction that has seen the database stays open for the whole run. Not a test.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import psycopg

from benchmarks.peer import PEERS
from benchmarks.yard import fsync_p50_ms, process, register, stub, task_body, until, workplace, wrk, yard
from tests.support.postgres import Cluster, cluster

CONNECTIONS = 64
SLOTS = 50
PATIENCE_S = 300
# How many have ended, in each one's own tables.
ENDED = {
    "procrastinate": "SELECT count(*) FROM procrastinate_jobs WHERE status NOT IN ('todo', 'doing')",
    "awa": "SELECT count(*) FROM awa.jobs WHERE state NOT IN ('available', 'running', 'scheduled', 'retryable')",
}


class Figures(NamedTuple):
    """Of a run: jobs a second, and CPU in µs a job of the queue's processes and of the database."""

    rate: float
    own_us: float
    database_us: float


@contextmanager
def snapshot(url: str, *, held: bool) -> Iterator[None]:
    """With `held`, a transaction that has looked at the database and stays open."""
    if not held:
        yield
        return
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute("SELECT count(*) FROM pg_class")
        yield


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def peer(name: str, server: Cluster, stub_port: int, seconds: int, folder: Path, *, held: bool) -> Figures:
    """A run of another queue."""
    url = server.url(server.database())
    arguments = (url, f"http://127.0.0.1:{stub_port}/0", str(seconds))
    python = (sys.executable, "-m", "benchmarks.peer", name)
    subprocess.run([*python, "schema", *arguments], check=True)
    log = folder / f"{name}.log"
    with snapshot(url, held=held), process(*python, "worker", *arguments, log=log) as worker:
        until(lambda: worker.poll() is not None or "ready" in log.read_text())
        before, began = server.cpu_seconds(), time.monotonic()
        sent = subprocess.run([*python, "producer", *arguments], check=True, capture_output=True, text=True)
        count = int(sent.stdout)
        with psycopg.connect(url, autocommit=True) as database:
            statement = ENDED[name].encode()
            until(lambda: (database.execute(statement).fetchone() or (0,))[0] >= count, PATIENCE_S)
        took = time.monotonic() - began
        own, used = cpu_seconds(worker.pid), server.cpu_seconds() - before
    return Figures(count / took, own / count * 1e6, used / count * 1e6)


def taskyard(server: Cluster, stub_port: int, seconds: int, folder: Path, *, held: bool) -> Figures:
    """A run of one node."""
    url = server.url(server.database())
    place = folder / f"yard{time.monotonic_ns()}"
    place.mkdir()
    settings = {"TASKYARD_DATABASE": url, "TASKYARD_SECRET_KEY": "a secret key of the benchmarks that is long enough"}
    with yard(place, **settings) as node, snapshot(url, held=held):
        register(node, stub_port, 1, SLOTS)
        before, cpu, began = server.cpu_seconds(), node.cpu_seconds(), time.monotonic()
        wrk(node.url + "/api/task", task_body(), node.token, seconds, CONNECTIONS, folder)
        until(lambda: node.waiting() == 0, PATIENCE_S)
        took = time.monotonic() - began
        done = int(str(node.call("GET", "/api/stats")["successfulTasks"]))
        own, used = node.cpu_seconds() - cpu, server.cpu_seconds() - before
    return Figures(done / took, own / done * 1e6, used / done * 1e6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=1)
    options = parser.parse_args()
    with workplace() as folder, cluster("shared_buffers=512MB", "max_wal_size=4GB") as server, stub(folder) as port:
        print(f"fsync p50 {fsync_p50_ms(folder):.2f} ms; PostgreSQL {server.execute('SHOW server_version')[0][0]}")
        print(f"{'':16} {'old snapshot':12} {'jobs/s':>8} {'own CPU':>10} {'database':>10}   (µs a job)")
        for _ in range(options.runs):
            for held in (False, True):
                for name in ("taskyard", *PEERS):
                    if name == "taskyard":
                        found = taskyard(server, port, options.seconds, folder, held=held)
                    else:
                        found = peer(name, server, port, options.seconds, folder, held=held)
                    told = "held" if held else "none"
                    print(
                        f"{name:16} {told:12} {found.rate:8.0f} {found.own_us:10.0f} {found.database_us:10.0f}",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
