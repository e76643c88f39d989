"""The decider stops, dies or freezes and another takes over; a node that sends dies. Nothing is lost or runs twice."""

import os
import signal
import time

import httpx
import pytest

from tests.nodes.backend import Backend
from tests.nodes.door import door
from tests.nodes.yard import Yard
from tests.support.nodes import until

# By which a dead node's attempts must be lost, from what is promised; the rest is the machine's.
LOST_WITHIN_S = 10


def ended(shown: dict[str, object]) -> bool:
    return shown["status"] == "COMPLETED"


@pytest.mark.parametrize("end", ["stop", "kill", "freeze"])
def test_another_node_decides_when_the_decider_goes(nodes: Yard, served: Backend, end: str) -> None:
    decider, (one, two) = nodes.decider(), nodes.others()
    held = [nodes.submit(decider, "held", **served.only), nodes.submit(one, "held", **served.only)]
    later = nodes.submit(two, "later", **served.only)
    until(lambda: {order["task_id"] for order in served.got} == {*held, later}, what="all are sent")
    old = nodes.nodes[decider]
    epoch = nodes.shown(one)[0]["epoch"]
    if end == "stop":
        # What it sends may end, and is not lost; others decide meanwhile.
        os.kill(old.pid, signal.SIGTERM)
    elif end == "kill":
        old.kill()
    else:
        os.kill(old.pid, signal.SIGSTOP)
    # Tasks are taken in all the time, and all that was acknowledged is there.
    queued = [nodes.submit(number, "quick", **served.only) for number in (one, two, one)]
    until(lambda: any(row["role"] == "decider" and row["epoch"] > epoch for row in nodes.shown(one)))
    path = httpx.URL(served.orders(later)[0]["callback_url"]).path
    # As a backend does: again, while it is told to come back later.
    until(lambda: nodes.client(one).post(path, json={"status": "COMPLETED", "result": 5}).status_code in (200, 202))
    nodes.becomes(later, ended, two)
    if end == "freeze":
        # The others have given its attempts up by now or will; then it wakes, and does no harm.
        until(lambda: len(served.orders(held[0])) > 1 or len(served.orders(held[1])) > 1)
        os.kill(old.pid, signal.SIGCONT)
    served.let_go.set()
    for task in (*held, *queued):
        nodes.becomes(task, ended, two)
    for task in (later, *queued):
        assert len(served.orders(task)) == 1
    if end == "stop":
        until(lambda: not old.running)
        assert [len(served.orders(task)) for task in held] == [1, 1]
        assert [nodes.task(task, one)["attempts"] for task in held] == [1, 1]
    if end == "freeze":
        woken = nodes.client(decider)
        until(lambda: sum(row["role"] == "decider" for row in nodes.shown(decider)) == 1)
        assert nodes.decider() != decider
        assert woken.get(f"/api/task/{held[0]}").json()["status"] == "COMPLETED"
        assert woken.post("/api/task", json={"type": "quick", "payload": {}}).status_code == 200
        assert woken.get("/api/servers").status_code == 200


def test_a_node_that_froze_while_it_connected_sends_nothing_when_it_wakes(nodes: Yard, served: Backend) -> None:
    one, two = nodes.others()
    with door() as closed:
        name = f"d{closed.port}"
        nodes.register_at(name, f"http://127.0.0.1:{closed.port}/predict", f"{served.url}/health")
        # Who waits at a node has it send the task.
        waited = {"type": "quick", "payload": {}, "async": False, "wait": 1, "capabilities": [name]}
        task = nodes.client(one).post("/api/task", json=waited).json()["id"]
        until(lambda: closed.knocked)
        frozen = nodes.nodes[one]
        os.kill(frozen.pid, signal.SIGSTOP)
        try:
            # The system makes the connection meanwhile; the node is taken for dead, and another sends the task.
            closed.open()
            assert nodes.becomes(task, ended, two)["attempts"] == 2
            assert (closed.attempts, closed.left) == ([2], 1)
        finally:
            os.kill(frozen.pid, signal.SIGCONT)
        until(lambda: closed.left + len(closed.attempts) == 3, what="the connection is neither used nor closed")
        assert closed.attempts == [2]
        (lost, *_) = nodes.task(task, one)["history"]
        assert lost["outcome"] == "lost"


def test_what_a_dead_node_was_sending_is_lost_in_time_and_what_was_accepted_waits_on(
    nodes: Yard, served: Backend
) -> None:
    one, two = nodes.others()
    # Who waits at a node has it send the task.
    body = {"type": "held", "payload": {}, "async": False, "wait": 1} | served.only
    held = nodes.client(one).post("/api/task", json=body).json()["id"]
    until(lambda: bool(served.orders(held)))
    (order,) = served.orders(held)
    assert f":{nodes.nodes[one].port}/" in order["callback_url"]
    later = nodes.submit(one, "later", **served.only)
    until(lambda: bool(served.orders(later)))
    nodes.becomes(later, lambda shown: shown["status"] == "PROCESSING", two)
    killed = time.monotonic()
    nodes.nodes[one].kill()
    nodes.becomes(held, lambda shown: shown["history"] != [], two)
    took = time.monotonic() - killed
    (lost,) = nodes.task(held, two)["history"]
    assert lost["outcome"] == "lost"
    print(f"lost after {took:.1f} s, of {LOST_WITHIN_S} promised")
    path = httpx.URL(served.orders(later)[0]["callback_url"]).path
    assert nodes.client(two).post(path, json={"status": "COMPLETED"}).status_code in (200, 202)
    assert nodes.becomes(later, ended, two)["attempts"] == 1
    served.let_go.set()
    assert nodes.becomes(held, ended, two)["attempts"] == 2
