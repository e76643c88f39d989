"""What the dashboard's calls cost beside very many ended tasks: each of them, on a node of its own.

`python -m benchmarks.pages [--tasks 200000] [--servers 1000] [--times 20] [--data-dir DIR]`

A direct loader writes the ended tasks, and 24 hours of figures as full as they may be: series, 200 groups of failures
in each hour, spans and changes of so many servers, values of filters, an audit log. Then a node is started on it, with
a stub that answers its health checks, and each call is made again and again, by an admin and by the owner of a share of
the tasks. Printed: ms and bytes of each, and the ms of CPU that the node took for it, the first time and on average:
less what it takes meanwhile by itself, for checks and turns, as seen while nobody asked.
With --data-dir a loaded yard is kept and used again. Not a test: figures depend on the machine.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

from benchmarks import store as one
from benchmarks.retention import CHUNK, COUNTERS, LOAD
from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import (
    AuditRow,
    FacetRow,
    FailureRow,
    HealthRow,
    LaneRow,
    LoadRow,
    SeriesRow,
    ServerRow,
    StatRow,
)
from taskyard.store.sqlite import SqliteStore
from taskyard.tokens import sign

DAY_MS, HOUR_MS = 86_400_000, 3_600_000
SPAN_MS = 7 * DAY_MS
BODY = 100
GROUPS, TAGS, AUDITED = 200, 10_000, 20_000
SPREAD = ", ".join(f"{step}: {step}" for step in range(40, 80))
PATIENCE_S = 120.0
SETTLING_S, ALONE_S = 5.0, 10.0
CALLS = (
    "/api/overview?window=5m",
    "/api/overview?window=1h",
    "/api/overview?window=24h",
    "/api/failures?window=5m",
    "/api/failures?window=1h",
    "/api/failures?window=24h",
    "/api/facets?field=type",
    "/api/facets?field=tag&prefix=tag-99",
    "/api/facets?field=capability",
    "/api/servers/server-1/history?window=1h",
    "/api/servers/server-1/history?window=24h",
    "/api/fleet?window=1h",
    "/api/fleet?window=24h",
    "/api/servers",
    "/api/lanes",
    "/api/stats",
    "/api/tasks",
    "/api/tasks?type=type-1&status=FAILED",
    "/api/tasks?serverId=server-1&status=COMPLETED",
    "/api/tasks?failureGroup=fail_1",
    "/api/settings",
    "/api/audit",
    "/api/audit?who=ops&action=server.",
)
ADMINS = ("/api/settings", "/api/audit")


def load_tasks(database: sqlite3.Connection, tasks: int, now: int) -> None:
    """So many ended tasks of the last week, and the counters that tell of them."""
    values = {"start": now - SPAN_MS, "span": SPAN_MS, "tasks": tasks, "payload": BODY // 2, "result": BODY // 2}
    for first in range(0, tasks, CHUNK):
        database.execute("BEGIN")
        for statement in LOAD:
            database.execute(statement, values | {"first": first, "end": min(first + CHUNK, tasks)})
        database.execute("COMMIT")
    for scope in ("yard", "type", "server"):
        database.execute(COUNTERS, {"scope": scope})


def series(step: int, points: int, now: int) -> list[SeriesRow]:
    first = now // step - points
    return [
        SeriesRow(step, (first + n) * step, now - SPAN_MS, 9, 8, 1, 0, 0, SPREAD, SPREAD, 5, 5) for n in range(points)
    ]


def failures(now: int) -> list[FailureRow]:
    minutes = "{" + ", ".join(f'"{minute}": [2, 3]' for minute in range(60)) + "}"
    servers = "{" + ", ".join(f'"server-{n}": {n}' for n in range(50)) + "}"
    samples = str([f"task_{n:032x}" for n in range(5)]).replace("'", '"')
    return [
        FailureRow(
            f"user-{group % one.OWNERS}",
            now // HOUR_MS - hour,
            f"fail_{group}",
            f"type-{group % 6}",
            "failed",
            500,
            None,
            f"error of kind {group}: no room for … bytes",
            120,
            180,
            minutes,
            servers,
            samples,
            now - hour * HOUR_MS,
            now - hour * HOUR_MS,
            60_000,
            None,
        )
        for hour in range(25)
        for group in range(GROUPS)
    ]


class Stub(BaseHTTPRequestHandler):
    """A backend that is healthy."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answers a health check."""
        body = b'{"status": "healthy"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle(self) -> None:
        """A check that was given up is none of its concern."""
        with suppress(ConnectionError):
            super().handle()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def server(number: int, now: int, port: int) -> ServerRow:
    return ServerRow(
        f"server-{number}", f"server {number}", "ops", f"http://127.0.0.1:{port}/{number}",
        f"http://127.0.0.1:{port}/health",
        None, None, None, '["gpu"]', 0, "[]", 10, 1, 0, 0, None, 0, None, now, now, "online", now, "{}", 0, None, 0,
        0,
    )  # fmt: skip


def loads(number: int, now: int) -> list[LoadRow]:
    outcomes = "{" + ", ".join(f'"type-{kind}": [90, 5, 5, 1]' for kind in range(6)) + "}"
    first = now // 288_000 - 300
    return [
        LoadRow(f"server-{number}", (first + n) * 288_000, 9, 99, 600, 540, 30, 9000, 600, 900, outcomes)
        for n in range(300)
    ]


def load_figures(store: SqliteStore, servers: int, tasks: int, now: int, port: int) -> None:
    """A day of figures, as full as they may be."""
    kept = StatRow(0, "kept", "", tasks, tasks, *[0] * 12, now)
    changes = [
        HealthRow(f"server-{n}", now - DAY_MS + (n + at) % 1440 * 60_000 + n, status, None)
        for n in range(servers)
        for at, status in enumerate(("online", "degraded") * 5)
    ]
    facets = [FacetRow("tag", owner, f"tag-{n}", now) for n in range(TAGS) for owner in ("", "user-1")]
    facets += [FacetRow("type", owner, f"type-{n}", now) for n in range(6) for owner in ("", "user-1")]
    writes = Writes(
        servers=[server(n, now, port) for n in range(servers)],
        lanes=[LaneRow(lane, '["gpu"]', "", "") for lane in range(one.LANES)],
        series=[*series(1_000, 600, now), *series(12_000, 600, now), *series(288_000, 600, now)],
        failures=failures(now),
        health=changes,
        facets=facets,
        stats=[kept, kept._replace(key="user-1", created=tasks // one.OWNERS)],
        audit=[
            AuditRow(now - n, "ops" if n % 2 else "ann", "server.change", f"server-{n}", None) for n in range(AUDITED)
        ],
    )
    store.commit(Plan(now, writes))
    for first in range(0, servers, 100):
        rows = [row for n in range(first, min(first + 100, servers)) for row in loads(n, now)]
        store.commit(Plan(now, Writes(loads=rows)))


def load(path: Path, tasks: int, servers: int, port: int) -> None:
    """Make the data directory."""
    now, began = int(time.time() * 1000), time.perf_counter()
    store = SqliteStore(path)
    load_figures(store, servers, tasks, now, port)
    store.close()
    database = sqlite3.connect(path / "taskyard.db", isolation_level=None)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -262144", "locking_mode = EXCLUSIVE"):
        database.execute(f"PRAGMA {pragma}")
    load_tasks(database, tasks, now)
    database.close()
    size = (path / "taskyard.db").stat().st_size / 2**20
    print(f"loaded {tasks:,} ended tasks in {time.perf_counter() - began:.0f} s: {size:,.0f} MiB", flush=True)


def port_of(path: Path) -> int:
    """The stub's port that a loaded yard knows; 0 for one that is yet to be loaded."""
    if not (path / "taskyard.db").exists():
        return 0
    database = sqlite3.connect(path / "taskyard.db")
    ((predict,),) = database.execute("SELECT predict FROM server LIMIT 1")
    database.close()
    return urlsplit(predict).port or 0


class Node:
    """A node on the data directory, as a process."""

    def __init__(self, path: Path) -> None:
        self._secret = secrets.token_hex(32)
        environment = {**os.environ, "JWT_SECRET": self._secret, "TASKYARD_RETENTION": "30d"}
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-m", "taskyard", "serve", "--data-dir", str(path), "--port", "0"],
            env=environment,
            stderr=self._log,
        )
        self._port = self._listens()

    def _listens(self) -> int:
        """The port, once it does."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end and self._process.poll() is None:
            self._log.seek(0)
            for line in self._log:
                event = json.loads(line)
                if event.get("event") == "listening":
                    return int(event["port"])
            time.sleep(0.05)
        raise SystemExit("the node does not listen")

    def token(self, subject: str, role: str) -> str:
        return sign(self._secret, subject, [role], HOUR_MS, int(time.time() * 1000))

    def get(self, path: str, token: str) -> tuple[int, int, float]:
        """Status, bytes and ms of a call."""
        connection = HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        connection.connect()
        began = time.perf_counter()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        size = len(answer.read())
        took = (time.perf_counter() - began) * 1000
        connection.close()
        return answer.status, size, took

    def cpu_ms(self) -> float:
        """CPU time so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) * 1000 / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)
        self._log.close()


def alone(node: Node) -> float:
    """CPU that the node takes by itself, in ms a ms."""
    time.sleep(SETTLING_S)
    cpu, began = node.cpu_ms(), time.perf_counter()
    time.sleep(ALONE_S)
    return (node.cpu_ms() - cpu) / ((time.perf_counter() - began) * 1000)


def measure(path: Path, times: int) -> None:
    """Make each call so many times."""
    node = Node(path)
    try:
        idle = alone(node)
        print(f"the node alone: {idle:.1%} of a core", flush=True)
        for role, subject in (("admin", "root"), ("user", "user-1")):
            token = node.token(subject, role)
            print(
                f"as {role}: {'':34} {'first':>8} {'p50':>8} {'longest':>8} {'CPU 1st':>8} {'CPU':>8} ms {'bytes':>10}"
            )
            for call in CALLS:
                if role != "admin" and call.startswith(ADMINS):
                    continue
                answers, cpu = [], []
                for _ in range(times):
                    before = node.cpu_ms()
                    answers.append(node.get(call, token))
                    cpu.append(node.cpu_ms() - before - idle * answers[-1][2])
                assert {status for status, _, _ in answers} == {200}, (call, answers[0])
                size, took = answers[0][1], [ms for _, _, ms in answers]
                print(
                    f"  {call:42} {took[0]:8.1f} {statistics.median(took):8.1f} {max(took):8.1f} "
                    f"{max(0, cpu[0]):8.1f} {max(0, statistics.mean(cpu)):8.1f}    {size:10,}",
                    flush=True,
                )
    finally:
        node.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=200_000, help="ended tasks to load")
    parser.add_argument("--servers", type=int, default=1000, help="registered servers")
    parser.add_argument("--times", type=int, default=20, help="how often each call is made")
    parser.add_argument("--data-dir", type=Path, help="keep the loaded yard there, or use the one that is there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = options.data_dir or Path(folder, "data")
        stub = ThreadingHTTPServer(("127.0.0.1", port_of(path)), Stub)
        Thread(target=stub.serve_forever, daemon=True).start()
        try:
            if not (path / "taskyard.db").exists():
                load(path, options.tasks, options.servers, stub.server_port)
            measure(path, options.times)
        finally:
            stub.shutdown()


if __name__ == "__main__":
    main()
