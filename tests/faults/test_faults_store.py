"""The store away and back, 100 times: another process holds the write lock of the database, as a tool left open does.

Each time the node says so, refuses what it cannot keep, answers what it can read, and goes on by itself; what a
backend has to tell meanwhile is heard afterwards.
"""

import sqlite3
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx

from taskyard.prove.processes import listens, program, steady_port
from taskyard.prove.torture.field import register
from tests.support.nodes import NodeProcess, until

TIMES = 100
PATIENCE_S = 60


def submit(client: httpx.Client, key: str) -> httpx.Response:
    body = {"type": "t", "payload": {"key": key}, "idempotencyKey": key, "maxRetries": 0}
    return client.post("/api/task", json=body)


def test_the_store_away_and_back_a_hundred_times(tmp_path: Path) -> None:
    node = NodeProcess(tmp_path / "data", settings={"TASKYARD_LOG_LEVEL": "info"})
    with ExitStack() as stack:
        stack.callback(node.kill)
        node.start()
        port = steady_port()
        what = ("taskyard.prove.torture.backend", "callback", port, tmp_path / "backend.log", 1)
        program(stack, tmp_path / "backend.err", *what)
        until(partial(listens, port), what="the backend does not listen")
        client = stack.enter_context(node.client("admin"))
        register(client, "callback", port)
        tasks = []
        for number in range(TIMES):
            in_flight = submit(client, f"{number} before").json()["id"]
            other = sqlite3.connect(node.data_dir / "taskyard.db", isolation_level=None, timeout=PATIENCE_S)
            other.execute("BEGIN IMMEDIATE")
            refused = submit(client, f"{number} meanwhile")
            assert refused.status_code == 503, refused.text
            assert int(refused.headers["retry-after"]) >= 1
            ready = client.get("/ready")
            assert ready.status_code == 503
            assert "the store is away" in ready.json()["details"]
            assert client.get("/health").status_code == 200
            assert client.get(f"/api/task/{in_flight}").status_code == 200
            other.close()
            until(node.ready, PATIENCE_S, what="the node did not go on by itself")
            again = submit(client, f"{number} meanwhile")
            assert again.status_code == 200, again.text
            tasks += [in_flight, again.json()["id"]]

        def ended() -> bool:
            now = client.get("/api/stats").json()
            return now["pendingTasks"] == now["processingTasks"] == 0

        until(ended, PATIENCE_S, what="not everything ended")
        found = [client.get(f"/api/task/{task}").json() for task in tasks]
        assert len({task["id"] for task in found}) == 2 * TIMES
        assert {task["attempts"] for task in found} == {1}
        # The backend fails a few on purpose.
        assert {(task["status"], task["error"]) for task in found} <= {("COMPLETED", None), ("FAILED", "could not")}
    log = node.log.read_text()
    assert log.count('"event": "store_back"') == TIMES
    assert log.count('"event": "store_away"') >= TIMES
