"""`taskyard move` with everything under way, killed in the middle, into PostgreSQL and back: the work goes on there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg

from taskyard.host.keys import fingerprint
from taskyard.store.postgres.store import PostgresStore
from tests.support.accepting import Accepting
from tests.support.nodes import PATIENCE_S, ROOT, NodeProcess, environment, serve, until
from tests.support.postgres import cluster

ALLOW = {"ENDPOINT_ALLOW": "127.0.0.0/8,::1"}
SLOTS = 2
QUEUED = 160
TEXT = "x" * 20_000
COUNTS = """
    SELECT (SELECT count(*) FROM queue), (SELECT count(*) FROM run), (SELECT count(*) FROM task),
        (SELECT count(*) FROM payload), (SELECT sum(length(body)) FROM payload), (SELECT count(*) FROM idempotency)
"""


def command(source: str, target: str, *flags: str) -> list[str]:
    return [sys.executable, "-m", "taskyard", "move", source, target, "--json", *flags]


def move(source: str, target: str, *flags: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        command(source, target, *flags), cwd=ROOT, env=own(key), capture_output=True, text=True, timeout=PATIENCE_S * 2,
        check=False,
    )  # fmt: skip


def own(key: str | None) -> dict[str, str]:
    return environment({"TASKYARD_SECRET_KEY": key} if key else None)


@contextmanager
def locked(url: str, table: str, mode: str) -> Iterator[None]:
    """Nobody comes past a table meanwhile."""
    with psycopg.connect(url) as connection:
        connection.execute(f"LOCK TABLE {table} IN {mode} MODE".encode())
        yield


def killed_in_the_middle(url: str, source: str, target: str, table: str, mode: str, key: str | None) -> None:
    """Start a move, and kill it where it has come to a table that is locked."""
    with locked(url, table, mode), psycopg.connect(url, autocommit=True) as looking:
        process = subprocess.Popen(command(source, target), cwd=ROOT, env=own(key), stderr=subprocess.PIPE)
        assert process.stderr is not None
        try:
            until(
                lambda: bool(
                    process.poll() is not None
                    or looking.execute("SELECT 1 FROM pg_locks WHERE NOT granted AND relation IS NOT NULL").fetchall()
                ),
                what="the move did not come to the table",
            )
            assert process.poll() is None, process.stderr.read()
        finally:
            process.kill()
            process.wait()
            process.stderr.close()


def submit(client: httpx.Client, count: int, **members: object) -> list[str]:
    tasks = [{"type": "slow", "payload": {"text": TEXT, "n": n}, **members} for n in range(count)]
    ids = []
    for start in range(0, count, 40):
        answer = client.post("/api/tasks", json={"tasks": tasks[start : start + 40]})
        ids += [result["id"] for result in answer.json()["results"]]
    return ids


def call_back(order: dict[str, str]) -> None:
    """What the backend says of an order at last, at the address that it was given before the move."""
    answer = httpx.post(
        order["callback_url"], json={"status": "completed", "result": {"of": order["task_id"]}}, trust_env=False
    )
    assert answer.status_code == 200, answer.text


def check_result(client: httpx.Client, order: dict[str, str]) -> None:
    task = client.get(f"/api/task/{order['task_id']}").json()
    assert (task["status"], task["result"]) == ("COMPLETED", {"of": order["task_id"]})


def test_a_yard_moves_out_and_back_with_all_that_is_under_way(tmp_path: Path) -> None:
    with cluster() as server, Accepting() as backend:
        url = server.url(server.database())
        file = f"sqlite://{tmp_path / 'data'}"
        node = NodeProcess(tmp_path / "data", settings=ALLOW)
        nodes = [node]
        try:
            node.start()
            with node.client("admin") as client:
                body = {
                    "id": "slow", "name": "slow", "endpoints": backend.endpoints, "capabilities": ["slow"],
                    "maxConcurrent": SLOTS, "apiKey": "a-key-of-the-tests",
                }  # fmt: skip
                assert client.post("/api/servers", json=body).status_code in (200, 201)
                running = submit(client, SLOTS + 1, capabilities=["slow"])
                orders = [backend.order() for _ in range(SLOTS)]
                submit(client, QUEUED, capabilities=["nobody"])
                once = client.post(
                    "/api/task", json={"type": "t", "payload": {}}, headers={"Idempotency-Key": "once"}
                ).json()
            # While it runs, it is not moved.
            busy = move(file, url)
            assert (busy.returncode, "another process uses it" in busy.stderr) == (2, True), busy.stderr
            assert node.stop() == 0
            key = (node.data_dir / "secret_key").read_text().strip()
            wrong = move(file, url, key="another key that is long enough for this")
            assert (wrong.returncode, "holds another key" in wrong.stderr) == (2, True), wrong.stderr

            PostgresStore(url, (fingerprint(key),)).close()
            killed_in_the_middle(url, file, url, "queue", "SHARE", None)
            refused = serve(node.data_dir)
            assert (refused.returncode, "taskyard move" in refused.stderr) == (2, True), refused.stderr
            settings = ALLOW | {"TASKYARD_DATABASE": url, "TASKYARD_SECRET_KEY": key}
            refused = serve(tmp_path / "no-data", settings=settings)
            assert (refused.returncode, "taskyard move" in refused.stderr) == (2, True), refused.stderr
            done = move(file, url)
            assert done.returncode == 0, done.stderr
            told = json.loads(done.stdout)
            assert told["resumed"]
            assert (told["waiting"], told["running"], told["accepted"]) == (QUEUED + 2, SLOTS, SLOTS)
            with psycopg.connect(url) as database:
                whole = QUEUED + 2 + SLOTS
                waiting, runs, tasks, payloads, size, keys = database.execute(COUNTS.encode()).fetchone() or ()
                assert (waiting, runs, tasks, payloads, keys) == (QUEUED + 2, SLOTS, whole, whole, 1)
                assert int(size) > (QUEUED + SLOTS + 1) * len(TEXT)

            other = NodeProcess(tmp_path / "other", port=node.port, settings=settings)
            nodes.append(other)
            other.start()
            with other.client("admin") as client:
                call_back(orders[0])
                check_result(client, orders[0])
                orders.append(backend.order())  # the slot was free: the one that waited came
                assert {order["task_id"] for order in orders} == set(running)
                again = client.post("/api/task", json={"type": "t", "payload": {}}, headers={"Idempotency-Key": "once"})
                assert again.json()["id"] == once["id"]
            busy = move(url, f"sqlite://{tmp_path / 'back'}", key=key)
            assert (busy.returncode, "a node runs on it" in busy.stderr) == (2, True), busy.stderr
            other.kill()

            back = f"sqlite://{tmp_path / 'back'}"
            killed_in_the_middle(url, url, back, "task_tag", "ACCESS EXCLUSIVE", key)
            refused = serve(tmp_path / "back")
            assert (refused.returncode, "taskyard move" in refused.stderr) == (2, True), refused.stderr
            done = move(url, back, key=key)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["accepted"] == SLOTS

            last = NodeProcess(tmp_path / "back", port=node.port, settings=ALLOW)
            nodes.append(last)
            last.start()
            with last.client("admin") as client:
                for order in orders[1:]:
                    call_back(order)
                    check_result(client, order)
                check_result(client, orders[0])
                # Its turn has come too; those that nobody can do wait on.
                assert backend.order()["task_id"] == once["id"]
                assert client.get("/api/stats").json()["pendingTasks"] == QUEUED
            assert last.stop() == 0
            checked = subprocess.run(
                [sys.executable, "-m", "taskyard", "check", "--data-dir", str(tmp_path / "back")],
                cwd=ROOT, env=own(None), capture_output=True, text=True, timeout=PATIENCE_S, check=False,
            )  # fmt: skip
            assert checked.returncode == 0, checked.stdout + checked.stderr
            assert os.stat(tmp_path / "back" / "secret_key").st_mode & 0o077 == 0
        finally:
            for started in nodes:
                started.kill()
