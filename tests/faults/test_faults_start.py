"""A first start that is killed at each of its steps: the next one finds its way, and refuses nothing."""

from pathlib import Path

import pytest

from tests.support.nodes import NodeProcess, until

STEPS = ("lock", "taskyard.db", "taskyard.db-wal", "secret_key.new", "jwt_secret.new")


@pytest.mark.parametrize("file", STEPS)
def test_a_first_start_that_was_killed(tmp_path: Path, file: str) -> None:
    """Killed as soon as this file is there, whatever is in it yet."""
    dev = file.startswith("jwt_secret")
    node = NodeProcess(tmp_path / "data", settings={"TASKYARD_DEV": "1", "JWT_SECRET": ""} if dev else None)
    path = node.data_dir / file
    # A file that is there only for a moment may be missed: the one that takes its place is as good.
    after = path.with_suffix("") if file.endswith(".new") else path
    try:
        node.spawn()
        until(lambda: path.exists() or after.exists(), every_s=0)
        node.kill()
        node.start()
        if not dev:
            with node.client("user") as client:
                assert client.post("/api/task", json={"type": "t", "payload": {}}).status_code == 200
        assert node.stop() == 0
    finally:
        node.kill()
