"""Poison: a task that kills each backend it meets, and one that kills the node. Both end; all others are done."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskyard.prove.processes import listens, program, steady_port
from taskyard.prove.torture.field import register
from tests.support.nodes import NodeProcess, until

PATIENCE_S = 90
RETRIES = 3
MAX_LOST = 2
OTHERS = 60
SETTINGS = {"LINGER": "100ms", "RETRY_BUDGET": "1", "MAX_LOST": str(MAX_LOST)}


class Fragile:
    """A backend that dies of poison, with somebody who starts it again, as a service manager does."""

    def __init__(self, name: str, folder: Path, stack: ExitStack) -> None:
        self.name = name
        self.deaths = 0
        self.port = steady_port()
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._stack = stack
        self._process: subprocess.Popen[bytes]
        self.start()

    def start(self) -> None:
        errors = self._folder / f"{self.name}.err"
        what = ("fragile", self.port, self.log, self.deaths)
        self._process = program(self._stack, errors, "taskyard.prove.torture.backend", *what)
        until(partial(listens, self.port), what=f"{self.name} does not listen")

    def look_after(self) -> None:
        """Start it again if it has died."""
        if self._process.poll() is not None:
            self.deaths += 1
            self.start()

    def met(self, task: str) -> int:
        """How many attempts of a task came."""
        lines = map(json.loads, self.log.read_text().splitlines()) if self.log.exists() else ()
        return sum(line["event"] == "got" and line["task"] == task for line in lines)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


@pytest.fixture
def node(tmp_path: Path, stack: ExitStack) -> NodeProcess:
    made = NodeProcess(tmp_path / "data", settings=SETTINGS)
    stack.callback(made.kill)
    made.start()
    return made


def submit(client: httpx.Client, payload: dict[str, Any]) -> str:
    backoff = {"base": 50, "cap": 200}
    body = {"type": "t", "payload": payload, "maxRetries": RETRIES, "retryBackoff": backoff, "timeout": 10_000}
    return str(client.post("/api/task", json=body).raise_for_status().json()["id"])


def test_a_task_that_kills_each_backend_it_meets_ends_and_takes_none_with_it(
    node: NodeProcess, tmp_path: Path, stack: ExitStack
) -> None:
    servers = [Fragile(name, tmp_path, stack) for name in ("one", "two", "three")]
    with node.client("admin") as client:
        for server in servers:
            register(client, server.name, server.port)
        poison = submit(client, {"poison": True})
        others = [submit(client, {"key": number}) for number in range(OTHERS)]

        def all_is_well() -> bool:
            for server in servers:
                server.look_after()
            now = client.get("/api/stats").json()
            online = [server["status"] for server in client.get("/api/servers").json()["servers"]]
            return now["pendingTasks"] == now["processingTasks"] == 0 and online == ["online"] * len(servers)

        until(all_is_well, PATIENCE_S, what="it did not come to rest", every_s=0.05)
        ended = client.get(f"/api/task/{poison}").json()
        assert (ended["status"], ended["failures"]) == ("FAILED", RETRIES + 1)
        killed = [entry for entry in ended["history"] if entry["outcome"] == "failed"]
        assert len(killed) == RETRIES + 1
        assert all("closed the connection" in entry["error"] for entry in killed)
        assert len({entry["serverId"] for entry in killed}) > 1
        assert sum(server.deaths for server in servers) == RETRIES + 1
        assert sum(server.met(poison) for server in servers) == RETRIES + 1
        assert {client.get(f"/api/task/{task}").json()["status"] for task in others} == {"COMPLETED"}
        # Each of them still works.
        for server in servers:
            body = {"type": "t", "payload": {"key": 0}, "serverId": server.name, "async": False}
            assert client.post("/api/task", json=body).json()["status"] == "COMPLETED"


def test_a_task_that_kills_the_node_ends_by_max_lost(node: NodeProcess, tmp_path: Path, stack: ExitStack) -> None:
    server = Fragile("one", tmp_path, stack)
    with node.client("admin") as client:
        register(client, server.name, server.port)
        poison = submit(client, {"key": "poison", "slow": True})
        for deaths in range(1, MAX_LOST + 2):
            until(lambda deaths=deaths: server.met(poison) == deaths, PATIENCE_S, what="it was not sent again")
            node.kill()
            node.start()
        ended = client.get(f"/api/task/{poison}?wait=20000").json()
        assert ended["status"] == "FAILED", ended
        assert [entry["outcome"] for entry in ended["history"]] == ["lost"] * (MAX_LOST + 1)
        assert (ended["failures"], ended["attempts"]) == (0, MAX_LOST + 1)
        assert "the node stopped" in ended["error"]
        other = submit(client, {"key": "other"})
        assert client.get(f"/api/task/{other}?wait=20000").json()["status"] == "COMPLETED"
        until(lambda: client.get("/api/servers/one").json()["activeTasks"] == 0, what="a slot was not freed")
        assert server.met(poison) == MAX_LOST + 1
