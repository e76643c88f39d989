"""Thousands of slow connections, and more connections than a node takes."""

import json
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from taskyard.api.descriptors import connections_within
from taskyard.prove.processes import steady_port
from tests.overload.yard import Yard, p99, running, timed
from tests.support.nodes import ROOT, NodeProcess, token, until

MOST = 20_000
# What a slow client may take; a machine that does not open them all within it gets the next one.
LIMITS_S = (10, 40, 160)
MARGIN_S = 60  # for a busy machine; the sweep alone takes a second
ROUNDS = 100
TASK = {"type": "t", "payload": {"ms": 0}, "async": False}


async def times_of(url: str, goes_on: Callable[[int], bool]) -> tuple[list[float], list[float]]:
    """How long `/ready` and a synchronous task took, each on a new connection, in ms, round by round."""
    ready: list[float] = []
    tasks: list[float] = []
    while goes_on(len(tasks)):
        took, status, _ = await timed(url, "GET", "/ready")
        assert status == 200
        ready.append(took)
        took, status, said = await timed(url, "POST", "/api/task", TASK)
        assert (status, said["status"]) == (200, "COMPLETED")
        tasks.append(took)
    return ready, tasks


def test_thousands_of_slow_connections_hold_up_nobody_and_end_in_time(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    count = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard * 6 // 10)
    for limit_s in LIMITS_S:
        ended = _end_of_a_crowd(tmp_path / str(limit_s), count, limit_s)
        if ended["early"] == 0:
            break
    else:
        raise AssertionError("this machine does not open them all in time")
    assert sum(ended["statuses"].values()) == count
    # Those that could be told why were told so.
    assert ended["statuses"]["408"] >= count // 2
    assert set(ended["statuses"]) <= {"408", "0"}
    assert ended["slowest_ms"] < limit_s * 1000 / 2, "who is held up waits for their end"
    assert ended["longest_ms"] < (limit_s + MARGIN_S) * 1000


def _end_of_a_crowd(folder: Path, count: int, limit_s: int) -> dict[str, Any]:
    """What `crowd` says at its end; while all its connections are open and while they end, others are served."""
    folder.mkdir()
    settings = {f"TASKYARD_{name}_TIMEOUT": f"{limit_s}s" for name in ("HEAD", "BODY", "IDLE")}
    with Yard.of(folder, settings) as yard:
        yard.add("one", maxConcurrent=10)
        command = [sys.executable, "-m", "tests.overload.crowd", str(yard.node.port), str(count), token("user")]
        crowd = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        yard.stack.callback(crowd.wait)
        yard.stack.callback(crowd.kill)
        assert crowd.stdout is not None
        opened = json.loads(crowd.stdout.readline())
        figures: dict[str, float] = {"open": opened["open"]}
        # While all are open, and until the last has been closed.
        for when, goes_on in (("open", lambda n: n < ROUNDS), ("ending", lambda n: n < 1 or crowd.poll() is None)):
            ready, tasks = running(times_of(yard.node.url, goes_on), limit_s + 2 * MARGIN_S)
            figures |= {
                f"ready p99, {when}": p99(ready),
                f"task p99, {when}": p99(tasks),
                f"rounds, {when}": len(tasks),
            }
        print({name: round(value, 1) for name, value in figures.items()})
        ended: dict[str, Any] = json.loads(crowd.stdout.readline())
        print(ended)
        return ended | {"slowest_ms": max(ms for name, ms in figures.items() if "p99" in name)}


class NarrowNode(NodeProcess):
    """A node that may have few descriptors: `SOFT` as it comes, `HARD` if it asks."""

    SOFT, HARD = 150, 300

    def command(self) -> list[str]:
        limits = f'ulimit -Sn {self.SOFT}; ulimit -Hn {self.HARD}; exec "$@"'
        return ["/bin/sh", "-c", limits, "sh", *super().command()]


def _asked(connection: socket.socket, what: bytes = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n") -> bytes:
    connection.settimeout(30)
    connection.sendall(what)
    return connection.recv(4000)


def test_above_its_own_limit_new_connections_get_503_and_established_ones_are_unharmed(tmp_path: Path) -> None:
    """The limit follows from the descriptors that the process may have at most."""
    most = connections_within(NarrowNode.HARD)
    assert most < NarrowNode.HARD
    node = NarrowNode(tmp_path / "data", port=steady_port())
    body = json.dumps(TASK).encode()
    task = b"POST /api/task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %b\r\nContent-Length: %d\r\n\r\n%b" % (
        token("user").encode(),
        len(body),
        body,
    )
    with Yard(tmp_path, node) as yard, ExitStack() as held:
        yard.add("one", maxConcurrent=10)

        def connect() -> socket.socket:
            return held.enter_context(socket.create_connection(("127.0.0.1", node.port), 30))

        def served() -> bool:
            with socket.create_connection(("127.0.0.1", node.port), 30) as one:
                return _asked(one).startswith(b"HTTP/1.1 200")

        established = []

        def one_more() -> bool:
            """Those that the set-up used may still be closing."""
            one = connect()
            if (answer := _asked(one)).startswith(b"HTTP/1.1 200"):
                established.append(one)
            else:
                assert answer.startswith(b"HTTP/1.1 503"), answer
            return len(established) == most

        until(one_more, 60, "it does not take as many as it should", every_s=0)
        for _ in range(most):
            refused = connect()
            refused.settimeout(30)
            answer = b""
            while piece := refused.recv(4000):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 503"), answer
            assert b"retry-after: 1\r\n" in answer
            assert b"connection: close\r\n" in answer
            refused.close()
        for one in established:
            assert _asked(one).startswith(b"HTTP/1.1 200")
        for one in established[:20]:
            answer = _asked(one, task)
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert b'"COMPLETED"' in answer
        established.pop().close()
        until(served, 30, "a connection that ended made no room")


def test_a_connection_limit_that_is_set_holds(tmp_path: Path) -> None:
    with Yard.of(tmp_path, {"TASKYARD_CONNECTIONS": "1"}) as yard:
        port: Any = yard.node.port

        def refused() -> bool:
            with socket.create_connection(("127.0.0.1", port), 30) as second:
                second.settimeout(30)
                return second.recv(4000).startswith(b"HTTP/1.1 503")

        with socket.create_connection(("127.0.0.1", port), 30) as first:
            until(lambda: _asked(first).startswith(b"HTTP/1.1 200"))
            assert refused()
            assert _asked(first).startswith(b"HTTP/1.1 200")
        until(yard.node.ready)
