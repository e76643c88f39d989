"""The disk fills up under a real node: nothing new is taken, what comes back is stored, and nothing is lost."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.accepting import Accepting
from tests.support.disks import SmallDisk, small_disk
from tests.support.nodes import PATIENCE_S, NodeProcess, until

MIB = 1 << 20
DISK = 32 * MIB
BALLAST = 8 * MIB
RESULT = "r" * MIB
SUBMISSIONS_MOST = 200


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", DISK) as made:
        yield made


@pytest.fixture
def node(disk: SmallDisk, tmp_path: Path) -> Iterator[NodeProcess]:
    made = NodeProcess(disk.path / "data", settings={"TASKYARD_BALLAST": str(BALLAST)})
    made.log = tmp_path / "node.log"  # not where there will be no room
    try:
        made.start()
        yield made
    finally:
        made.kill()


def submit(client: httpx.Client) -> httpx.Response:
    return client.post("/api/task", json={"type": "t", "payload": {"text": "p" * 200_000}})


def call_back(order: dict[str, Any]) -> int:
    """The backend's word that a task is done, with a large result; the status of the answer."""
    body = {"status": "COMPLETED", "result": RESULT}
    return httpx.put(order["callback_url"], json=body, timeout=30, trust_env=False).status_code


def tight_metric(node: NodeProcess) -> str:
    text = httpx.get(f"{node.url}/metrics", trust_env=False, timeout=PATIENCE_S).text
    [line] = [line for line in text.splitlines() if line.startswith("taskyard_store_tight ")]
    return line.split()[1]


def answers(node: NodeProcess) -> bool:
    try:
        return httpx.get(f"{node.url}/health", trust_env=False, timeout=PATIENCE_S).status_code == 200
    except httpx.TransportError:
        assert node.running, node.log.read_text()
        return False


def test_a_full_disk_stops_submissions_and_no_result(disk: SmallDisk, node: NodeProcess) -> None:
    with Accepting() as backend, node.client("admin") as client:
        server = {"id": "s", "name": "s", "endpoints": backend.endpoints, "maxConcurrent": 1000}
        assert client.post("/api/servers", json=server).json()["status"] == "online"
        known = [submit(client).json()["id"] for _ in range(3)]
        orders = [backend.order() for _ in known]
        assert tight_metric(node) == "0.0"

        disk.fill()
        for _ in range(SUBMISSIONS_MOST):
            refused = submit(client)
            if refused.status_code != 200:
                break
            known.append(refused.json()["id"])
            orders.append(backend.order())
        assert refused.status_code == 503, refused.text
        assert "16 MiB are free" in refused.json()["details"]
        assert int(refused.headers["retry-after"]) > 1
        of_many = client.post("/api/tasks", json={"tasks": [{"type": "t", "payload": {}}]}).json()["results"]
        assert "16 MiB are free" in of_many[0]["details"]
        ready = client.get("/ready")
        assert ready.status_code == 503
        assert "disk" in ready.json()["details"]
        assert tight_metric(node) == "1.0"
        assert '"event": "disk_full"' in node.log.read_text()

        for order in orders[:2]:
            assert call_back(order) == 200
        node.kill()
        node.spawn()
        until(lambda: answers(node))
        for order in orders[:2]:
            assert client.get(f"/api/task/{order['task_id']}/result").json() == RESULT
        assert submit(client).status_code == 503
        assert call_back(orders[2]) == 200

        disk.make_room()
        until(node.ready, what="the node did not see that there is room again")
        assert tight_metric(node) == "0.0"
        assert '"event": "disk_has_room"' in node.log.read_text()
        answer = submit(client)
        assert answer.status_code == 200, answer.text
        known.append(answer.json()["id"])
        orders.append(backend.order())
        for order in orders[3:]:
            assert call_back(order) == 200
        statuses = [client.get(f"/api/task/{task}").json().get("status") for task in known]
        assert statuses == ["COMPLETED"] * len(known)
