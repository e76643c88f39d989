"""A backend server to try a node with: `python -m taskyard.demo.backend --name swift --log swift.log`.

It pretends to work for a while and answers as real ones do: directly, by a callback (202 first), or moody (now and then
a 500, or a 429 with Retry-After). It writes a line of JSON for all it did, so that others can hold a node to account.
The first line on its standard output is its port; it ends when its standard input does. Standard library only.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KINDS = ("direct", "callback", "moody")
# A callback is sent again until it is answered: the node may be away for a moment.
_CALLBACK_TRIES = 20


@dataclass(frozen=True)
class Ways:
    """How a backend behaves: what kind it is, how long work takes (ms), and how often a moody one refuses (0-1)."""

    name: str
    kind: str
    fastest: int
    slowest: int
    failing: float
    declining: float


class Backend(ThreadingHTTPServer):
    """Takes tasks at /predict and says at /health that it is well."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, ways: Ways, log: Path, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.ways = ways
        self._log = log.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._random = random.Random()
        self._active = 0
        self._runs = 0

    def take(self, asked: dict[str, Any]) -> tuple[int, dict[str, Any], dict[str, str]]:
        """What a task is answered with: status, body, headers."""
        ways, dice = self.ways, self._random.random()
        if dice < ways.declining:
            self._tell(asked, "declined")
            return 429, {"error": "busy with other things"}, {"Retry-After": "1"}
        active = self._begin()
        if ways.kind == "callback":
            threading.Thread(target=self._work_and_call_back, args=(asked, active), daemon=True).start()
            return 202, {"status": "accepted"}, {}
        self._work(asked)
        self._end()
        if dice > 1 - ways.failing:
            self._tell(asked, "failed", active=active)
            return 500, {"error": "out of memory"}, {}
        return 200, {"status": "success", "result": self._result(asked, active)}, {}

    def _begin(self) -> int:
        with self._lock:
            self._active += 1
            return self._active

    def _end(self) -> None:
        with self._lock:
            self._active -= 1

    def _work(self, asked: dict[str, Any]) -> None:
        """The work itself; one that calls back also reports its progress half-way."""
        takes = self._random.uniform(self.ways.fastest, self.ways.slowest) / 1000
        if self.ways.kind != "callback":
            time.sleep(takes)
            return
        time.sleep(takes / 2)
        _send("PUT", asked["callback_url"], {"status": "PROCESSING", "progress": 50, "message": "half-way"})
        time.sleep(takes / 2)

    def _result(self, asked: dict[str, Any], active: int) -> dict[str, Any]:
        with self._lock:
            self._runs += 1
            run = f"{self.ways.name}-{self._runs}"
        self._tell(asked, "completed", run=run, active=active)
        return {"run": run, "type": asked["request"]["type"], "text": f"done by {self.ways.name}"}

    def _work_and_call_back(self, asked: dict[str, Any], active: int) -> None:
        self._work(asked)
        # The slot is free before the node can hear that it is.
        self._end()
        said = {"status": "COMPLETED", "result": self._result(asked, active)}
        for _ in range(_CALLBACK_TRIES):
            if _send("POST", asked["callback_url"], said):
                return
            time.sleep(0.5)

    def _tell(self, asked: dict[str, Any], did: str, **more: Any) -> None:
        line = {"task": asked["task_id"], "attempt": asked["attempt"], "did": did, **more}
        with self._lock:
            self._log.write(json.dumps(line) + "\n")
            self._log.flush()


def _send(method: str, url: str, body: dict[str, Any]) -> bool:
    """Whether the node has decided: a refusal is an answer too, no answer is none."""
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=10)
    try:
        connection.request(method, address.path, json.dumps(body), {"Content-Type": "application/json"})
        status = connection.getresponse().status
        return status < 500 and status != 429
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class _Handler(BaseHTTPRequestHandler):
    server: Backend
    protocol_version = "HTTP/1.1"
    # Head and body leave together.
    wbufsize = 65536
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        found = self.path == "/health"
        self._answer(200 if found else 404, {"status": "healthy"} if found else {"error": "not found"}, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/predict":
            self._answer(*self.server.take(json.loads(body)))
        else:
            self._answer(404, {"error": "not found"}, {})

    def _answer(self, status: int, body: dict[str, Any], headers: dict[str, str]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: what matters is in the log of tasks."""


def main() -> None:
    """Serves until standard input ends."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--name", default="backend")
    parser.add_argument("--kind", choices=KINDS, default="direct")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--fastest", type=int, default=50, help="ms")
    parser.add_argument("--slowest", type=int, default=200, help="ms")
    given = parser.parse_args()
    moody = given.kind == "moody"
    ways = Ways(given.name, given.kind, given.fastest, given.slowest, 0.2 * moody, 0.06 * moody)
    server = Backend(ways, given.log, given.port)
    threading.Thread(target=server.serve_forever, name="server", daemon=True).start()
    print(server.server_port, flush=True)
    sys.stdin.read()
    server.shutdown()


if __name__ == "__main__":
    main()
