"""One real node process with short limits for all tests of bad input. After each of them it still runs, still works,
and has still what it was given at first."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import NodeProcess

HEAD_S, BODY_S, IDLE_S, WRITE_S = 3.0, 4.0, 3.0, 3.0
SETTINGS = {
    "TASKYARD_HEAD_TIMEOUT": f"{HEAD_S:g}s",
    "TASKYARD_BODY_TIMEOUT": f"{BODY_S:g}s",
    "TASKYARD_IDLE_TIMEOUT": f"{IDLE_S:g}s",
    "TASKYARD_WRITE_TIMEOUT": f"{WRITE_S:g}s",
}
KEPT = 20


class Attacked(NodeProcess):
    """The node, and the tasks that it holds from before."""

    kept: list[str]
    first_pid: int
    log_read = 0

    def keep(self) -> None:
        """Give it some tasks to lose."""
        self.first_pid = self.pid
        with self.client("user", sub="keeper") as client:
            body = {"type": "kept", "payload": {"n": 1}, "group": "nowhere"}
            self.kept = [client.post("/api/task", json=body).json()["id"] for _ in range(KEPT)]

    def has_lost_nothing(self) -> None:
        """It is the same process, answers, takes a task, has all of the first ones, and wrote no stack trace."""
        assert self.running
        assert self.pid == self.first_pid
        with self.client("user", sub="keeper") as client:
            assert client.get("/ready").status_code == 200
            listed = client.get("/api/tasks", params={"type": "kept", "limit": 500}).json()["tasks"]
            assert [task["id"] for task in listed] == self.kept[::-1]
            assert all(task["status"] == "PENDING" for task in listed)
            assert client.post("/api/task", json={"type": "late", "payload": {}}).status_code == 200
        written = self.log.read_text()[self.log_read :]
        self.log_read += len(written)
        assert "Traceback" not in written, written[-3000:]


@pytest.fixture(scope="session")
def one_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    node = Attacked(tmp_path_factory.mktemp("badinput") / "data", settings=SETTINGS)
    try:
        node.start()
        node.keep()
        yield node
        node.kill()
        node.start()  # what was acknowledged is there even so
        node.first_pid = node.pid
        node.has_lost_nothing()
        assert node.stop() == 0
    finally:
        node.kill()


@pytest.fixture
def node(one_node: Attacked) -> Iterator[Attacked]:
    yield one_node
    one_node.has_lost_nothing()


@pytest.fixture
def admin(node: Attacked) -> Iterator[httpx.Client]:
    with node.client("admin", sub="admin") as client:
        yield client


@pytest.fixture
def user(node: Attacked) -> Iterator[httpx.Client]:
    with node.client("user", sub="user") as client:
        yield client


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """Where a node of the test's own would keep its data; not there yet."""
    return tmp_path / "data"
