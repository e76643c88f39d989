"""A backend server in the tests' own process: it keeps what came, and ends each kind of task in its own way."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Backend:
    """`got` are the orders that came, in order. `quick` tasks complete at once, `held` ones when `let_go` is set,
    `later` ones are accepted and called back by the test."""

    def __init__(self) -> None:
        self.got: list[dict[str, Any]] = []
        self.let_go = threading.Event()
        self.most = 0
        self._busy = 0
        self._guard = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.name = f"s{self._server.server_address[1]}"
        self.only = {"capabilities": [self.name]}
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def work(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        kind = order["request"]["type"]
        with self._guard:
            self.got.append(order)
            self._busy += 1
            self.most = max(self.most, self._busy)
        try:
            if kind == "held":
                self.let_go.wait(120)
            if kind == "later":
                return 202, {"status": "accepted"}
            return 200, {"status": "success", "result": {"n": order["request"]["payload"].get("n")}}
        finally:
            with self._guard:
                self._busy -= 1

    def orders(self, task_id: str) -> list[dict[str, Any]]:
        """What came of a task."""
        return [order for order in list(self.got) if order["task_id"] == task_id]

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
            self._answer(*backend.work(order))

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
