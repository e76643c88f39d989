"""The example that calls back, as users copy it: a node that is killed meanwhile still gets its word."""

import importlib.util
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.support.nodes import ROOT, NodeProcess, until


@pytest.fixture
def example() -> Iterator[str]:
    """The URL of the example, served on a port of its own."""
    spec = importlib.util.spec_from_file_location("callback_example", ROOT / "examples" / "callback.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    server = ThreadingHTTPServer(("127.0.0.1", 0), module.Backend)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_callback_comes_again_until_the_node_is_back(tmp_path: Path, example: str, end: str) -> None:
    node = NodeProcess(tmp_path / "data")
    try:
        node.start()
        with node.client("admin") as client:
            endpoints = {"predict": f"{example}/predict", "health": f"{example}/health"}
            client.post("/api/servers", json={"name": "mirror", "endpoints": endpoints, "async": True})
            task = client.post("/api/task", json={"type": "reverse", "payload": {"text": "abc"}}).json()["id"]

            def shown() -> dict[str, object]:
                try:
                    answer: dict[str, object] = client.get(f"/api/task/{task}").json()
                except httpx.TransportError:
                    return {}
                return answer

            until(lambda: shown().get("progress") == 50)
            getattr(node, end)()
            node.start()
            until(lambda: shown().get("status") == "COMPLETED", what=f"{shown()}")
            assert shown()["result"] == {"text": "cba"}
            assert shown()["attempts"] == 1
    finally:
        node.kill()
