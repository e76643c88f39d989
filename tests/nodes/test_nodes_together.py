"""Three nodes on one database are one scheduler: each takes tasks, reads, calls; one decides, all dispatch."""

import threading
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.nodes.backend import Backend
from tests.nodes.yard import Yard
from tests.support.nodes import until


def test_each_node_takes_tasks_shows_them_and_passes_on_what_only_the_decider_knows(
    nodes: Yard, served: Backend
) -> None:
    decider, (one, two) = nodes.decider(), nodes.others()
    before = nodes.client(one).get("/api/stats").json()["totalTasks"]
    # A task ends wherever it came in, and each node shows it.
    task = nodes.submit(one, "quick", **served.only)
    nodes.becomes(task, lambda shown: shown["status"] == "COMPLETED", two)
    # Who waits at a node gets the result there.
    waited = nodes.client(two).post(
        "/api/task", json={"type": "quick", "payload": {"n": 7}, "async": False, "wait": 60_000} | served.only
    )
    assert (waited.json()["status"], waited.json()["result"]) == ("COMPLETED", {"n": 7})
    # And who waits for a change sees it, whichever node makes it.
    held = nodes.submit(one, "held", **served.only)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_wait_for_the_end, nodes, two, held)
        until(lambda: bool(served.orders(held)))
        served.let_go.set()
        assert waiting.result(120) == "COMPLETED"
    # One key makes one task, at whatever node it is used, also at the same moment.
    body = {"type": "quick", "payload": {}, "idempotencyKey": served.name} | served.only
    gate = threading.Barrier(3)

    def use(number: int) -> httpx.Response:
        gate.wait()
        return nodes.client(number).post("/api/task", json=body)

    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(use, (decider, one, two)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert nodes.client(one).post("/api/task", json=body | {"payload": {"n": 1}}).status_code == 422
    # A callback comes to any node.
    later = nodes.submit(one, "later", **served.only)
    nodes.becomes(later, lambda shown: shown["status"] == "PROCESSING")
    until(lambda: bool(served.orders(later)))
    path = httpx.URL(served.orders(later)[0]["callback_url"]).path
    for number in (two, decider, one):
        said = nodes.client(number).post(path, json={"status": "COMPLETED", "result": 5})
        assert (said.status_code, said.json()["status"]) in ((200, "COMPLETED"), (202, "recorded"))
    assert nodes.becomes(later, lambda shown: shown["status"] == "COMPLETED")["result"] == 5
    # What a turn must decide, and what memory alone knows.
    waiting = nodes.submit(two, "quick", capabilities=["none has this"])
    why = nodes.client(one).get(f"/api/task/{waiting}/why")
    assert why.json()["code"] == "no_capability"
    assert nodes.client(two).post(f"/api/task/{waiting}/cancel").status_code == 200
    assert nodes.client(two).post(f"/api/task/{waiting}/cancel").status_code == 409
    algorithm = {"algorithm": "least-connections"}
    assert nodes.client(one).put("/api/loadbalancer/algorithm", json=algorithm).status_code == 200
    for number in (one, two, decider):
        assert nodes.client(number).get("/api/loadbalancer/status").json()["algorithm"] == "least-connections"
        assert nodes.client(number).get("/api/stats").json()["totalTasks"] == before + 6
    roles = sorted(row["role"] for row in nodes.shown(one))
    assert roles == ["decider", "member", "member"]
    until(lambda: len({row["epoch"] for row in nodes.shown(one)}) == 1, what="not all have seen who decides")
    # Nobody from outside comes in by the nodes' own door.
    for token in ({}, {"authorization": "Bearer x"}, dict(nodes.client(one).headers)):
        for door in ("call", "events"):
            assert httpx.post(f"{nodes.nodes[decider].url}/internal/{door}", headers=token).status_code == 401


def test_who_waits_near_a_limit_keeps_nobody_else_from_the_decider(nodes: Yard, served: Backend) -> None:
    decider, (one, _) = nodes.decider(), nodes.others()
    quick = {"type": "quick", "payload": {}, "async": False, "wait": 60_000} | served.only
    with nodes.nodes[one].client("user", sub=f"bob {served.name}") as bob:
        waiting = {"type": "quick", "payload": {}, "capabilities": ["none has this"]}
        assert bob.post("/api/tasks", json={"tasks": [waiting] * 36}).status_code == 200

        def sender(client: httpx.Client) -> int:
            """The port of the node that sends a task for whose end a client waits: the one that took it in."""
            answer = client.post("/api/task", json=quick, timeout=90)
            assert (answer.status_code, answer.json()["status"]) == (200, "COMPLETED"), answer.text
            (order,) = served.orders(answer.json()["id"])
            return httpx.URL(order["callback_url"]).port or 0

        # Near his limit his tasks are for the decider to take in, who counts them; those of others are not.
        until(lambda: sender(bob) == nodes.nodes[decider].port, what="his submissions are not passed on")
        assert sender(nodes.client(one)) == nodes.nodes[one].port
        # More of them wait than calls may be passed on at once, and others are passed on meanwhile.
        with ThreadPoolExecutor(3) as pool:
            held = [pool.submit(bob.post, "/api/task", json=quick | {"type": "held"}, timeout=90) for _ in range(3)]
            try:
                until(lambda: sum(order["request"]["type"] == "held" for order in list(served.got)) == 3)
                assert nodes.client(one).get("/api/servers").status_code == 200
                assert not any(answer.done() for answer in held)
            finally:
                served.let_go.set()
            answers = [answer.result(120) for answer in held]
        assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "COMPLETED")] * 3
        # The same under a key, and without waiting.
        keyed = quick | {"idempotencyKey": served.name}
        first, again = (bob.post("/api/task", json=keyed, timeout=90) for _ in range(2))
        assert first.json()["id"] == again.json()["id"]
        assert (again.json()["status"], again.headers["idempotent-replayed"]) == ("COMPLETED", "true")
        assert bob.post("/api/task", json=quick | {"wait": 0}).json()["status"] in (
            "PENDING",
            "PROCESSING",
            "COMPLETED",
        )
        assert bob.post("/api/task", json=quick | {"wait": "long"}).status_code == 400


def _wait_for_the_end(nodes: Yard, number: int, task_id: str) -> str:
    status = "PENDING"
    while status in ("PENDING", "PROCESSING"):
        path = f"/api/task/{task_id}"
        status = nodes.client(number).get(path, params={"wait": 60_000}, timeout=90).json()["status"]
    return status
