"""A backlog, a subject and a memory that are full: refused early and cheaply with `Retry-After`; no callback is."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from tests.overload.yard import Machine, Yard
from tests.support.nodes import token, until

PATIENCE_S = 60
ACCEPTED = 10
QUEUED_PER_SUB = 20
QUEUED = 30
REFUSALS = 300
PAGE = 4096  # bytes: what a commit writes at least
MIB = 1 << 20
WAIT_MS = 2_000
HELD = 900_000


def accepted(yard: Yard) -> tuple[Machine, list[str]]:
    """A backend that has accepted as many tasks as it takes, and where it may call back for each."""
    machine = yard.add("one", "accepts", maxConcurrent=ACCEPTED)
    for _ in range(ACCEPTED):
        yard.ask("POST", "/api/task", {"type": "t", "payload": {}})

    def all_accepted() -> bool:
        return bool(yard.ask("GET", "/api/servers/one")["activeTasks"] == len(machine.lines()) == ACCEPTED)

    until(all_accepted, PATIENCE_S, "they were not all accepted")
    return machine, [urlsplit(line["callback"]).path for line in machine.lines()]


def refusals_of(client: httpx.Client, code: int, word: str, count: int) -> None:
    """Submit so many, all of which are refused."""
    for _ in range(count):
        answer = client.post("/api/task", json={"type": "t", "payload": {}})
        assert answer.status_code == code, answer.text
        assert int(answer.headers["retry-after"]) >= 1
        assert word in answer.json()["details"]


def written(yard: Yard) -> int:
    """The bytes that the node has had written to the disk so far."""
    lines = Path(f"/proc/{yard.node.pid}/io").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("write_bytes:"))


def all_completed(yard: Yard, paths: list[str]) -> None:
    for path in paths:
        task = path.split("/")[3]
        ended: dict[str, Any] = yard.ask("GET", f"/api/task/{task}")
        assert (ended["status"], ended["attempts"]) == ("COMPLETED", 1), ended


def test_a_full_backlog_is_refused_cheaply_and_no_callback_is(tmp_path: Path) -> None:
    settings = {"MAX_QUEUED": str(QUEUED), "MAX_QUEUED_PER_SUB": str(QUEUED_PER_SUB)}
    with Yard.of(tmp_path, settings) as yard, ExitStack() as stack:
        machine, paths = accepted(yard)
        ann, bob = (stack.enter_context(yard.node.client("user", sub=sub)) for sub in ("ann", "bob"))
        for client, count, refusal in (
            (ann, QUEUED_PER_SUB, (429, "MAX_QUEUED_PER_SUB")),
            (bob, QUEUED - QUEUED_PER_SUB, (503, "MAX_QUEUED")),
        ):
            for _ in range(count):
                client.post("/api/task", json={"type": "t", "payload": {}}).raise_for_status()
            before = written(yard)
            refusals_of(client, *refusal, REFUSALS)
            each = (written(yard) - before) / REFUSALS
            print(refusal, each)
            assert each < PAGE / 2, "a refusal waits for no disk"
        assert yard.ask("GET", "/api/stats")["pendingTasks"] == QUEUED
        # All that was accepted is heard, although each that ends lets another begin.
        with yard.node.client() as backend:
            for path in paths:
                answer = backend.put(path, json={"status": "COMPLETED", "result": "done"})
                assert answer.status_code == 200, answer.text
        all_completed(yard, paths)
        until(lambda: len(machine.lines()) == 2 * ACCEPTED, PATIENCE_S, "the slots that were freed were not used")
        assert bob.post("/api/task", json={"type": "t", "payload": {}}).status_code == 200


def _holding(connection: socket.socket, sent: int) -> None:
    """Send so many bytes of a submission's body, and then no more."""
    said = f"Host: x\r\nAuthorization: Bearer {token('user')}\r\nContent-Length: {MIB}\r\n"
    connection.sendall(f"POST /api/task HTTP/1.1\r\n{said}\r\n".encode() + b" " * sent)


def test_full_memory_refuses_bodies_in_time_and_no_callback(tmp_path: Path) -> None:
    settings = {
        "MEMORY_BUDGET": str(MIB),
        "BODY_MAX_BYTES": str(MIB),
        "RESULT_MAX_BYTES": str(MIB),
        "TASKYARD_BUDGET_WAIT": f"{WAIT_MS}ms",
        "TASKYARD_BODY_TIMEOUT": "5m",
        "TASKYARD_IDLE_TIMEOUT": "5m",
    }
    with Yard.of(tmp_path, settings) as yard, ExitStack() as stack:
        _, paths = accepted(yard)
        admin = stack.enter_context(yard.node.client("admin"))
        large = {"type": "t", "payload": {"text": "x" * 300_000}}
        holder = stack.enter_context(socket.create_connection(("127.0.0.1", yard.node.port), PATIENCE_S))
        _holding(holder, HELD)

        def full() -> bool:
            """A body over what is left is refused, and not before it has waited."""
            began = time.monotonic()
            answer = admin.post("/api/task", json=large)
            took_ms = (time.monotonic() - began) * 1000
            if answer.status_code == 200:
                return False
            assert answer.status_code == 503
            assert "MEMORY_BUDGET" in answer.json()["details"]
            assert int(answer.headers["retry-after"]) >= 1
            assert took_ms >= WAIT_MS
            return True

        until(full, PATIENCE_S, "the memory does not get full")
        # To the last byte: then not even a small body is taken, but for callbacks.
        filler = stack.enter_context(socket.create_connection(("127.0.0.1", yard.node.port), PATIENCE_S))
        _holding(filler, MIB - HELD)
        small = {"type": "t", "payload": {}}
        until(_refuses(admin, small), PATIENCE_S, "the memory does not get full to the last byte")
        with yard.node.client() as backend:
            for path in paths:
                answer = backend.put(path, json={"status": "COMPLETED", "result": "y" * 10_000})
                assert answer.status_code == 200, answer.text
        all_completed(yard, paths)
        holder.close()
        filler.close()
        until(lambda: admin.post("/api/task", json=large).status_code == 200, PATIENCE_S, "the memory stays full")


def _refuses(client: httpx.Client, body: object) -> Callable[[], bool]:
    return lambda: client.post("/api/task", content=json.dumps(body)).status_code == 503
