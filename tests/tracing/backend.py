"""A backend server that keeps the heads of what came, and ends each kind of task in its own way."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.support.nodes import until

SECRET = "sesame"


class Backend:
    """`twice` tasks fail at first and are accepted then, `later` ones are accepted, `slow` ones answered once `let_go`
    is set, all others completed at once. Whatever it says has the word `SECRET` in it."""

    def __init__(self) -> None:
        self.heads: list[dict[str, str]] = []
        self.orders: list[dict[str, Any]] = []
        self.let_go = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def work(self, head: dict[str, str], order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        self.heads.append(head)
        self.orders.append(order)
        kind = order["request"]["type"]
        if kind == "twice" and order["attempt"] == 1:
            return 500, {"error": f"out of {SECRET}"}
        if kind == "slow":
            self.let_go.wait(120)
        if kind in ("twice", "later"):
            return 202, {}
        return 200, {"status": "success", "result": SECRET}

    def got(self, task_id: str, count: int = 1) -> list[tuple[dict[str, str], dict[str, Any]]]:
        """The heads and orders of a task, once so many have come."""

        def found() -> list[tuple[dict[str, str], dict[str, Any]]]:
            pairs = list(zip(list(self.heads), list(self.orders), strict=False))
            return [pair for pair in pairs if pair[1]["task_id"] == task_id]

        until(lambda: len(found()) >= count, what=f"the backend did not get task {task_id} {count} times")
        return found()

    def register(self, client: httpx.Client, name: str = "s1", *capabilities: str) -> None:
        """Register it under a name, and wait until it is online."""
        endpoints = {"predict": f"{self.url}/predict?key={SECRET}", "health": f"{self.url}/health"}
        body = {"id": name, "name": name, "apiKey": SECRET, "endpoints": endpoints, "maxConcurrent": 50}
        assert client.post("/api/servers", json=body | {"capabilities": capabilities}).status_code == 200
        until(lambda: client.get(f"/api/servers/{name}").json()["status"] == "online")

    def close(self) -> None:
        self.let_go.set()
        self._server.shutdown()
        self._server.server_close()


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(200, {"status": "healthy"})

        def do_POST(self) -> None:
            order = json.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer(*backend.work({name.lower(): value for name, value in self.headers.items()}, order))

        def _answer(self, status: int, body: dict[str, Any]) -> None:
            data = json.dumps(body).encode()
            try:
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except OSError:
                self.close_connection = True

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


@contextmanager
def backend() -> Iterator[Backend]:
    """A running backend server."""
    made = Backend()
    try:
        yield made
    finally:
        made.close()
