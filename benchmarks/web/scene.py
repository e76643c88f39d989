"""A yard to look at: a node with so many servers and ended tasks, and a load that keeps its servers busy."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

from benchmarks import pages
from benchmarks.yard import Yard, free_port, process, until, yard

# All servers are watched: the more there are, the longer they take until all are seen.
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Size:
    """How large a yard is: its servers, its ended tasks, and tasks a second."""

    servers: int
    tasks: int
    rate: int

    def __str__(self) -> str:
        return f"{self.servers:,} servers, {self.tasks:,} ended tasks, {self.rate:,} tasks/s"


class Load(threading.Thread):
    """Submits a batch of tasks each second until it is stopped."""

    def __init__(self, node: Yard, rate: int) -> None:
        super().__init__(name="load", daemon=True)
        self._node = node
        self._rate = rate
        self._stop_asked = threading.Event()
        self.refused = 0

    def run(self) -> None:
        batch = [
            {"type": f"type-{number % 6}", "payload": {"n": number}, "capabilities": ["gpu"]}
            for number in range(self._rate)
        ]
        headers = {"Authorization": f"Bearer {self._node.token}", "Content-Type": "application/json"}
        body = json.dumps({"tasks": batch}).encode()
        began, turn = time.monotonic(), 0
        while not self._stop_asked.wait(max(0.0, began + turn - time.monotonic())):
            turn = max(turn + 1, int(time.monotonic() - began))  # what a slow machine misses is not made up for
            try:
                with urlopen(Request(self._node.url + "/api/tasks", body, headers), timeout=30) as answer:
                    answer.read()
            except OSError:
                self.refused += 1

    def stop(self) -> None:
        self._stop_asked.set()
        self.join(60)


@contextlib.contextmanager
def scene(folder: Path, size: Size) -> Iterator[Yard]:
    """A node of this size, all of its servers in service, under its load."""
    folder.mkdir(parents=True, exist_ok=True)
    data = folder / "data"
    port = pages.port_of(data) or free_port()
    with process(sys.executable, "-m", "benchmarks.web.backend", str(port)):
        if size.servers and not (data / "taskyard.db").exists():
            pages.load(data, size.tasks, size.servers, port)
        with yard(folder, ENDPOINT_ALLOW="127.0.0.0/8", TASKYARD_RETENTION="30d") as node:
            until(lambda: _serving(node) >= size.servers, PATIENCE_S)
            load = Load(node, size.rate)
            if size.rate:
                load.start()
            try:
                yield node
            finally:
                if size.rate:
                    load.stop()
                if load.refused:
                    print(f"(the load was refused {load.refused} times)", flush=True)


def _serving(node: Yard) -> int:
    overview = node.call("GET", "/api/overview?window=5m")
    servers = overview["servers"]
    assert isinstance(servers, dict)
    return int(servers.get("online", 0)) + int(servers.get("degraded", 0))
