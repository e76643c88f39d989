"""A backend server that accepts each task and says nothing more."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from types import TracebackType
from typing import Any

from tests.support.nodes import PATIENCE_S


class Accepting:
    """Use it as a context; `order()` is the next task that came."""

    def __init__(self) -> None:
        orders: Queue[dict[str, Any]] = Queue()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer(200, b'{"status":"healthy"}')

            def do_POST(self) -> None:
                orders.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self._answer(202, b"{}")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._orders = orders
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        base = f"http://127.0.0.1:{self._server.server_port}"
        self.endpoints = {"predict": f"{base}/predict", "health": f"{base}/health"}

    def __enter__(self) -> "Accepting":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def order(self) -> dict[str, Any]:
        return self._orders.get(timeout=PATIENCE_S)
