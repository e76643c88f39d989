"""A node is parted from the database alone, and still reaches clients and backends: a member, and then the decider."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.nodes.backend import Backend
from tests.nodes.yard import SETTINGS, Yard
from tests.support.nodes import until
from tests.support.postgres import Cluster
from tests.support.swallowing import Swallowing, swallowing

# By which the attempts of a node that cannot be heard must be lost, from what is promised; the rest is the machine's.
LOST_WITHIN_S = 10
SLOTS = 2
LINGER_MS = 200
assert SETTINGS["TASKYARD_LINGER"] == f"{LINGER_MS}ms"


class Telling(Backend):
    """Its results tell of which attempt they are."""

    def work(self, order: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, body = super().work(order)
        return status, body | ({"result": {"attempt": order["attempt"]}} if status == 200 else {})


class Parted(NamedTuple):
    """Nodes, the first of which decides, and the ways of two of them to the database."""

    nodes: Yard
    ways: list[Swallowing]


@pytest.fixture
def parted(server: Cluster, tmp_path: Path) -> Iterator[Parted]:
    with ExitStack() as stack:
        url = server.url(server.database())
        ways = [stack.enter_context(swallowing(server.port)) for _ in range(2)]
        urls = [*(url.replace(f":{server.port}/", f":{way.port}/") for way in ways), url]
        made = Yard(tmp_path, url, 3, [{"TASKYARD_DATABASE": own} for own in urls])
        stack.callback(made.close)
        made.nodes[0].start()
        made.start()
        yield Parted(made, ways)
        assert made.logs() == ""


@pytest.fixture
def served(parted: Parted) -> Iterator[Telling]:
    made = Telling()
    parted.nodes.register(made, maxConcurrent=SLOTS)
    yield made
    made.close()


def test_a_node_that_the_database_cannot_hear_does_no_harm(parted: Parted, served: Telling) -> None:
    for number in (1, 0):
        cut_off(parted.nodes, parted.ways[number], number, served)
        served.got.clear()
        served.let_go.clear()


def cut_off(nodes: Yard, way: Swallowing, number: int, served: Telling) -> None:
    client = nodes.client(number)
    # Who waits at a node has it send the task.
    body = {"type": "held", "payload": {}, "async": False, "wait": 1} | served.only
    held = [client.post("/api/task", json=body).json()["id"] for _ in range(SLOTS)]
    until(lambda: {order["task_id"] for order in served.got} == set(held))
    assert all(f":{nodes.nodes[number].port}/" in order["callback_url"] for order in served.got)
    way.swallow()
    began = time.monotonic()
    for task in held:
        nodes.becomes(task, lambda shown: shown["history"] != [], 2)
    print(f"lost after {time.monotonic() - began:.1f} s, of {LOST_WITHIN_S} promised")
    # It says that it can keep nothing, and when to come again; a backend is told the same.
    path = httpx.URL(served.got[0]["callback_url"]).path
    for answer in (
        client.post("/api/task", json={"type": "quick", "payload": {}} | served.only),
        client.post(path, json={"status": "PROCESSING", "progress": 1}),
    ):
        assert answer.status_code == 503, answer.text
        assert int(answer.headers["retry-after"]) >= 1
    # The others send the tasks again, while the first attempts are still at work: the server has more than its slots.
    until(lambda: all(len(served.orders(task)) == 2 for task in held))
    assert served.most > SLOTS
    served.let_go.set()
    ends = {task: nodes.becomes(task, lambda shown: shown["status"] == "COMPLETED", 2) for task in held}
    for task in ends.values():
        # Those that were too many had been given up, and for as long as they may linger.
        lost, done = task["history"]
        assert (lost["outcome"], lost["attempt"]) == ("lost", 1)
        assert (done["outcome"], done["attempt"], task["attempts"]) == ("completed", 2, 2)
        assert task["startedAt"] >= lost["endedAt"] + LINGER_MS
        assert task["result"] == {"attempt": 2}
    # It hears the late results, and has nobody to tell; then all it had to say comes through, and counts for nothing.
    way.heal()
    until(lambda: all(row["role"] != "gone" for row in nodes.shown(2)) and nodes.nodes[number].ready())
    until(lambda: client.post("/api/task", json={"type": "quick", "payload": {}} | served.only).status_code == 200)
    nodes.decider()
    quick = nodes.submit(number, "quick", **served.only)
    nodes.becomes(quick, lambda shown: shown["status"] == "COMPLETED", number)
    for task, end in ends.items():
        for other in range(3):
            assert nodes.task(task, other) == end
    assert all(len(served.orders(task)) == 2 for task in held)
