"""What a real node says to the system: no 200 before its task is synced; and what its disk keeps, opened again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import httpx
import pytest

from taskyard.store.sqlite import SqliteStore
from tests.power.cuts import Left, Losses, complaint, complaints, cut_points, lay_out
from tests.power.disk import Acknowledged, Event, Synced, SyncedNames
from tests.power.trace import SYNCS, Call, Exchange, TracedNode, disk_events, exchanges
from tests.support.accepting import Accepting
from tests.support.nodes import PATIENCE_S, NodeProcess

TASKS = 40
WAL = "taskyard.db-wal"
# Less than FULL: the WAL is synced only before a checkpoint.
UNSYNCED = """
from taskyard.store import connection
plain = connection.Connection._pragma
connection.Connection._pragma = lambda self, statement: plain(self, statement.replace("FULL", "NORMAL"))
"""


class Run(NamedTuple):
    data_dir: Path
    calls: list[Call]
    exchanges: list[Exchange]


def run(data_dir: Path, tasks: int, change: str = "") -> Run:
    """A node that takes tasks and their results, one after the other, and is killed."""
    node = TracedNode(data_dir, change=change)
    try:
        node.start()
        with Accepting() as backend, node.client("admin") as client:
            body = {"id": "s", "name": "s", "endpoints": backend.endpoints, "maxConcurrent": tasks}
            assert client.post("/api/servers", json=body).json()["status"] == "online"
            for number in range(tasks):
                task = {"type": "t", "payload": {"mark": f"payload {number};"}}
                assert client.post("/api/task", json=task).status_code == 200
                url = backend.order()["callback_url"]
                if number % 2:
                    body = {"status": "COMPLETED", "result": {"mark": f"result {number};"}}
                    assert httpx.put(url, json=body, trust_env=False, timeout=PATIENCE_S).status_code == 200
    finally:
        node.kill()
    calls = node.calls()
    return Run(data_dir, calls, exchanges(calls))


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(tmp_path_factory.mktemp("traced") / "data", TASKS)


def marked(found: list[Exchange]) -> Iterator[tuple[bytes, Exchange]]:
    """The submissions and callbacks that were answered 200, with the words that each brought."""
    for exchange in found:
        head, _, body = exchange.request.partition(b"\r\n\r\n")
        mark = body.partition(b'"mark":"')[2].partition(b'"')[0]
        if mark and exchange.answer.startswith(b"HTTP/1.1 200"):
            assert head.startswith((b"POST /api/task ", b"PUT /api/task/"))
            yield mark, exchange


def unsynced(found: Run) -> list[str]:
    """The words that were answered before a sync of the WAL that had them."""
    wal = [call for call in found.calls if call.path == str(found.data_dir / WAL)]
    late = []
    for mark, exchange in marked(found.exchanges):
        between = [call for call in wal if exchange.read.ended < call.began and call.ended < exchange.sent.began]
        written = [call.ended for call in between if call.name == "pwrite64" and mark in call.data()]
        synced = [call.began for call in between if call.name in SYNCS]
        if not written or not synced or written[0] > synced[-1]:
            late.append(mark.decode())
    return late


def test_the_wal_is_synced_between_reading_a_post_and_writing_its_200(traced: Run) -> None:
    marks = [mark.decode() for mark, _ in marked(traced.exchanges)]
    assert sorted(marks) == sorted(
        [f"payload {number};" for number in range(TASKS)] + [f"result {number};" for number in range(1, TASKS, 2)]
    )
    assert unsynced(traced) == []


def test_a_node_that_does_not_sync_is_found(tmp_path: Path) -> None:
    found = run(tmp_path / "data", 3, UNSYNCED)
    assert unsynced(found) == [mark.decode() for mark, _ in marked(found.exchanges)] != []


def test_the_directory_itself_is_on_the_disk_before_anything_is_acknowledged(traced: Run) -> None:
    [made] = [call for call in traced.calls if call.name == "mkdir" and call.result == 0 and "data" in call.arguments]
    synced = [call for call in traced.calls if call.name == "fsync" and call.path == str(traced.data_dir.parent)]
    first = min(exchange.sent.began for _, exchange in marked(traced.exchanges))
    assert made.ended < synced[0].began <= synced[0].ended < first


def record(found: Run) -> list[Event]:
    """What the node's disk was told, and with which answers something was acknowledged."""
    answers = {exchange.sent.began: exchange for _, exchange in marked(found.exchanges)}

    def told(call: Call) -> Event | None:
        return Acknowledged(answers[call.began]) if call.began in answers else None

    return disk_events(found.calls, found.data_dir, told)


def acknowledged(events: list[Event]) -> list[tuple[str, Any]]:
    """For each acknowledgement the task's id, and the result that was taken (`None`: it was a submission)."""
    found = []
    for event in events:
        if isinstance(event, Acknowledged):
            assert isinstance(event.what, Exchange)
            body = json.loads(event.what.request.partition(b"\r\n\r\n")[2])
            task = json.loads(event.what.answer.partition(b"\r\n\r\n")[2])["id"]
            found.append((task, body.get("result")))
    return found


def losses(found: Run, events: list[Event]) -> Losses:
    """What tells whether a store has each task and result that was acknowledged, and the key that callbacks need."""
    known = acknowledged(events)
    key = (found.data_dir / "secret_key").read_bytes()

    def lost(left: Left, store: SqliteStore) -> str | None:
        for task, result in known[: left.told]:
            if store.task(task, None) is None:
                return f"{task} is lost"
            if result is not None and json.loads(store.result(task, None) or "null") != result:
                return f"the result of {task} is lost"
        return "the key is lost" if left.told and left.files.get("secret_key") != key else None

    return lost


def test_what_the_disk_of_a_real_node_keeps_has_all_that_was_acknowledged(traced: Run, folder: Path) -> None:
    events = record(traced)
    known = acknowledged(events)
    assert len(known) == TASKS + TASKS // 2
    lost = losses(traced, events)
    seen = 0
    for left in cut_points(events, Random(1)):
        seen += 1
        assert (words := complaint(left, folder / "left", lost)) is None, words
    assert seen > 2 * len(known)


@pytest.mark.parametrize("sync", [Synced(WAL), Synced("secret_key.new"), SyncedNames()], ids=str)
def test_a_sync_that_is_left_out_is_found(traced: Run, folder: Path, sync: Event) -> None:
    events = [event for event in record(traced) if event != sync]
    assert any(complaints(cut_points(events, Random(1)), folder, losses(traced, events)))


def test_a_real_node_starts_on_what_the_disk_kept(traced: Run, tmp_path: Path) -> None:
    events = record(traced)
    known = acknowledged(events)
    lefts = [left for left in cut_points(events, Random(2)) if left.told]
    for number, left in enumerate(Random(3).sample(lefts, 3)):
        lay_out(left, tmp_path / str(number))
        node = NodeProcess(tmp_path / str(number))
        try:
            node.start()
            with node.client("admin") as client:
                for task, result in known[: left.told]:
                    shown = client.get(f"/api/task/{task}").json()
                    assert shown["id"] == task
                    assert result is None or shown["result"] == result
                assert client.post("/api/task", json={"type": "t", "payload": {}}).status_code == 200
        finally:
            node.kill()
