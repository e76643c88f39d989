"""Three nodes whose clocks are seven minutes ahead, seven behind, and right: all of them go by the database's."""

import itertools
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from taskyard.tokens import sign
from tests.nodes.backend import Backend, backend
from tests.nodes.yard import Yard
from tests.support.nodes import SECRET, until
from tests.support.postgres import Cluster

SHIFTED = Path(__file__).parent / "shifted"
MINUTES = 60_000
SHIFTS_S = (420, -420, 0)
DAY_MS = 24 * 60 * MINUTES
# A node's clock is the database's as it was told, some ms before or after.
SLACK_MS = 1_000
LIMIT_MS = 1_000
ROLES = {"node0": "decider", "node1": "member", "node2": "member"}
STATES = ("COMPLETED", "TIMEOUT")


def shifted(seconds: int) -> dict[str, str]:
    return {"PYTHONPATH": str(SHIFTED), "CLOCK_SHIFT_S": str(seconds)}


@pytest.fixture
def apart(server: Cluster, tmp_path: Path) -> Iterator[tuple[Yard, str]]:
    """The nodes, the first of which decides, and their database's name."""
    name = server.database()
    made = Yard(tmp_path, server.url(name), 3, [shifted(seconds) for seconds in SHIFTS_S])
    try:
        made.nodes[0].start()
        made.start()
        yield made, name
        assert made.logs() == ""
    finally:
        made.close()


def now(server: Cluster, name: str) -> int:
    """The database's time in ms."""
    ((ms,),) = server.execute("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint", name)
    assert isinstance(ms, int)
    return ms


def placed(server: Cluster, name: str) -> int:
    ((count,),) = server.execute("SELECT count(*) FROM queue", name)
    assert isinstance(count, int)
    return count


def check_times(task: dict[str, object], since: int, until_then: int) -> None:
    """Nothing of a task lies outside a time by the database's clock, and nothing goes back."""
    history = task["history"]
    assert isinstance(history, list)
    moments = [task["createdAt"], *(entry[at] for entry in history for at in ("startedAt", "endedAt"))]
    moments += [task["startedAt"], task["completedAt"]]
    told = [int(str(moment)) for moment in moments if moment is not None]
    assert since - SLACK_MS <= min(told), (since, told)
    assert max(told) <= until_then + SLACK_MS, (until_then, told)
    assert told[0] == min(told)


def test_clocks_that_are_minutes_apart_do_no_harm(apart: tuple[Yard, str], server: Cluster) -> None:
    nodes, name = apart
    for seconds in SHIFTS_S:  # it is so
        told = subprocess.run(
            [sys.executable, "-c", "import time; print(time.time())"], env=os.environ | shifted(seconds),
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert abs(float(told.stdout) - time.time() - seconds) < 100
    since = now(server, name)
    with backend() as served:
        nodes.register(served)
        ends = tasks_end_in_time(nodes, served)
        order_is_that_of_the_answers(nodes, served, server, name)
        keys_are_kept(nodes, server, name, since)
        tokens_are_judged(nodes)
        shown = nodes.client(1).get(f"/api/servers/{served.name}").json()
        assert shown["status"] == "online"
        assert since - SLACK_MS <= shown["health"]["lastCheck"] <= now(server, name) + SLACK_MS
        # All that time the decider was the one whose clock is ahead, and nobody was taken for dead.
        for number in range(3):
            rows = nodes.shown(number)
            assert {row["name"]: row["role"] for row in rows} == ROLES
            assert len({row["epoch"] for row in rows}) == 1
        (epoch,) = {row["epoch"] for row in nodes.shown(0)}
        # It dies: one of the others follows, and what it does comes after.
        nodes.nodes[0].kill()
        until(lambda: any(row["role"] == "decider" and row["epoch"] > epoch for row in nodes.shown(1)))
        nodes.heal()
        nodes.register(served)
        ends += tasks_end_in_time(nodes, served)
        then = now(server, name)
        for task in ends:
            check_times(nodes.task(task, 2), since, then)


def tasks_end_in_time(nodes: Yard, served: Backend) -> list[str]:
    """At each node: one that is done, one that runs for too long, one that waits too long, one that is not due yet."""
    ends = []
    served.let_go.clear()
    for number in range(3):
        body = {"type": "quick", "payload": {}, "async": False, "wait": 60_000} | served.only
        # The node at which somebody waits sends it.
        done = nodes.client(number).post("/api/task", json=body).json()
        assert done["status"] == "COMPLETED"
        late = nodes.submit(number, "quick", delay=LIMIT_MS, ttl=2 * MINUTES, **served.only)
        slow = nodes.client(number).post(
            "/api/task", json=body | {"type": "held", "timeout": LIMIT_MS, "maxRetries": 0}
        ).json()  # fmt: skip
        assert slow["status"] == "TIMEOUT"
        waits = nodes.submit(number, "quick", capabilities=["nobody has this"], queueTimeout=LIMIT_MS)
        shown = [
            nodes.becomes(task, lambda shown: shown["status"] in STATES, number)
            for task in (done["id"], late, slow["id"], waits)
        ]
        assert [task["status"] for task in shown] == ["COMPLETED", "COMPLETED", "TIMEOUT", "TIMEOUT"]
        took = [task["completedAt"] - task["createdAt"] for task in shown]
        assert shown[1]["startedAt"] - shown[1]["createdAt"] >= LIMIT_MS
        assert min(took[1:]) >= LIMIT_MS
        ends += [task["id"] for task in shown]
    return ends


def order_is_that_of_the_answers(nodes: Yard, served: Backend, server: Cluster, name: str) -> None:
    """Each is submitted once the one before has its place."""
    number = nodes.decider()
    assert nodes.client(number).patch(f"/api/servers/{served.name}", json={"maxConcurrent": 1}).status_code == 200
    served.let_go.clear()
    first = nodes.submit(0, "held", timeout=2 * MINUTES, **served.only)
    until(lambda: len(served.orders(first)) == 1)
    queued = []
    for count, node in enumerate(itertools.islice(itertools.cycle((1, 0, 2)), 9), 1):
        queued.append(nodes.submit(node, "quick", **served.only))
        until(lambda: placed(server, name) == count)  # noqa: B023
    served.let_go.set()
    for task in queued:
        nodes.becomes(task, lambda shown: shown["status"] == "COMPLETED")
    came = [order["task_id"] for order in served.got if order["task_id"] in queued]
    assert came == queued


def keys_are_kept(nodes: Yard, server: Cluster, name: str, since: int) -> None:
    """A key made at one node is known at all, and for as long as it was said."""
    for number in range(3):
        key = {"idempotencyKey": f"made at {number}"}
        ids = {nodes.submit(other, "t", capabilities=["nobody has this"], **key) for other in (number, 0, 1, 2)}
        assert len(ids) == 1
    rows = server.execute("SELECT created_at, expires_at FROM idempotency", name)
    assert len(rows) == 3
    then = now(server, name)
    for created, expires in rows:
        assert since - SLACK_MS <= int(str(created)) <= then + SLACK_MS
        assert since - SLACK_MS <= int(str(expires)) - DAY_MS <= then + SLACK_MS


def tokens_are_judged(nodes: Yard) -> None:
    """One is good for another three minutes, and so on each node; another one was so until three minutes ago."""
    for node in nodes.nodes:
        for left_s, status in ((180, 200), (-180, 401)):
            token = sign(SECRET, "ann", ["admin"], 60_000, (int(time.time()) + left_s - 60) * 1000)
            answer = httpx.get(
                f"{node.url}/api/stats", headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30
            )
            assert answer.status_code == status, answer.text
