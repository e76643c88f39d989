"""Nodes of this version and of the one before work on one database under load: each is replaced, forward and back.

The version before is a wheel of its own in `versions/`, run as it is; nothing of this checkout is in its processes.
"""

import itertools
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.nodes.backend import Backend, backend
from tests.nodes.yard import SETTINGS, Yard
from tests.support.nodes import NodeProcess, until
from tests.support.postgres import cluster

WHEELS = Path(__file__).parent / "versions"
MIGRATIONS = "taskyard/store/postgres/sql/migrations/"
ROOT = Path(__file__).parents[2]
PAUSE_S = 0.01
JUDGED = """
    SELECT t.id, e.status, r.body IS NOT NULL, (SELECT count(*) FROM attempt AS a WHERE a.task_id = t.id)
    FROM task AS t LEFT JOIN ended AS e ON e.id = t.id LEFT JOIN result AS r ON r.task_id = t.id
"""


class Load:
    """A client that submits one task after the other to whichever node answers, each until it is acknowledged."""

    def __init__(self, nodes: Yard) -> None:
        self.acknowledged: list[str] = []
        self.refused: list[str] = []
        self._ports = [node.url for node in nodes.nodes]
        self._headers = dict(nodes.client(0).headers)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with httpx.Client(headers=self._headers, timeout=30, trust_env=False, verify=False) as client:
            for number in itertools.count():
                if self._stop.wait(PAUSE_S):
                    return
                body = {"type": "quick", "payload": {"n": number}, "idempotencyKey": f"load-{number}"}
                for url in itertools.cycle(self._ports[number % 2 :] + self._ports[: number % 2]):
                    if self._submit(client, url, body):
                        break
                    self._stop.wait(PAUSE_S)

    def _submit(self, client: httpx.Client, url: str, body: dict[str, object]) -> bool:
        try:
            answer = client.post(f"{url}/api/task", json=body)
        except httpx.TransportError:
            return False
        if answer.status_code == 200:
            self.acknowledged.append(answer.json()["id"])
        elif answer.status_code != 503:
            self.refused.append(answer.text)
        return answer.status_code != 503

    def goes_on(self, more: int = 20) -> None:
        """Wait for so many more acknowledged tasks."""
        goal = len(self.acknowledged) + more
        until(lambda: len(self.acknowledged) >= goal, what="the load does not go on")

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(60)


def unpacked(folder: Path) -> tuple[Path, str]:
    """The version before: where it lies, and its number."""
    (wheel,) = WHEELS.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        steps = {name.removeprefix(MIGRATIONS) for name in packed.namelist() if name.startswith(MIGRATIONS)}
        present = {path.name for path in (ROOT / MIGRATIONS).glob("*.sql")}
        assert steps == present, "the schema has a new step: sh tests/nodes/versions/build.sh"
        packed.extractall(folder)
    return folder, wheel.name.split("-")[1]


def call_back(nodes: Yard, served: Backend, task: str, number: int) -> None:
    path = httpx.URL(served.orders(task)[-1]["callback_url"]).path
    said = nodes.client(number).post(path, json={"status": "COMPLETED", "result": {"of": task}})
    assert said.status_code in (200, 202), said.text


@pytest.fixture
def url() -> Iterator[str]:
    """Of a database on a server of this test alone: one of the versions may be what breaks it."""
    with cluster() as server:
        yield server.url(server.database())


def test_two_versions_work_side_by_side_forward_and_back(tmp_path: Path, url: str) -> None:
    before, version = unpacked(tmp_path / "before")
    nodes = Yard(tmp_path, url, 2, [{"PYTHONPATH": str(before)}] * 2)
    other = [
        NodeProcess(
            tmp_path / f"node{n}",
            port=nodes.nodes[n].port,
            settings=SETTINGS | {"TASKYARD_DATABASE": url, "TASKYARD_NODE_NAME": f"node{n}"},
        )
        for n in range(2)
    ]
    try:
        with backend() as served:
            nodes.start()
            assert {row["version"] for row in nodes.shown()} == {version}
            nodes.register(served)
            later = [nodes.submit(0, "later") for _ in range(5)]
            waiting = nodes.submit(0, "quick", capabilities=["gpu"])
            load = Load(nodes)
            with load.running():
                until(lambda: all(served.orders(task) for task in later))
                # Forward: node 0, node 1; and back.
                for number in (0, 1, 0, 1):
                    load.goes_on()
                    assert nodes.nodes[number].stop() == 0
                    nodes.nodes[number], other[number] = other[number], nodes.nodes[number]
                    nodes.nodes[number].start()
                    load.goes_on()
                    known = {f"node{n}": is_before(nodes.nodes[n], before) for n in range(2)}
                    for asked in range(2):
                        until(
                            partial(versions, nodes, asked, version, known), what=f"node{asked} does not know {known}"
                        )
                    call_back(nodes, served, later.pop(), number)
            for task in later:
                call_back(nodes, served, task, 0)
            assert load.refused == []
            until(lambda: nodes.client(0).get("/api/stats").json()["processingTasks"] == 0)
            until(lambda: nodes.client(0).get("/api/stats").json()["pendingTasks"] == 1)
            with psycopg.connect(url) as database:
                found = {row[0]: row[1:] for row in database.execute(JUDGED.encode())}
            assert found.pop(waiting) == (None, False, 0)
            assert len(found) == len(load.acknowledged) + 5
            assert set(load.acknowledged) <= set(found)
            # Once each: only what has a history was sent again.
            for task, (status, result, entries) in found.items():
                assert (status, result) == (2, True), task
                assert len(served.orders(task)) <= 1 + entries, task
            assert nodes.logs() == ""
    finally:
        nodes.close()
        for node in other:
            node.kill()


def versions(nodes: Yard, asked: int, before: str, known: dict[str, bool]) -> bool:
    """Whether a node says of each node that it is of the version before, or that it is not."""
    return {row["name"]: row["version"] == before for row in nodes.shown(asked)} == known


def is_before(node: NodeProcess, folder: Path) -> bool:
    """Whether a node's process runs the version before."""
    variables = Path(f"/proc/{node.pid}/environ").read_bytes().split(b"\0")
    return f"PYTHONPATH={folder}".encode() in variables
