"""API.md §3: submissions with `async: false`, which wait for their tasks."""

import http.client
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Yard, eventually, fresh

TASK: dict[str, Any] = {"type": "t", "payload": {}}


def test_synchronous_answers_with_the_whole_task(direct: Crew, user: httpx.Client) -> None:
    given = {"tags": ["b", "ä"], "metadata": {"n": 1.0}, "priority": 3, "ttl": 60_000, "maxRetries": 0}
    answer = user.post("/api/task", json=direct.submission(**given, **{"async": False}))
    shown = answer.json()
    assert answer.status_code == 200
    assert (shown["status"], shown["result"], shown["error"]) == ("COMPLETED", {"echo": {"n": 1}}, None)
    assert shown == user.get(f"/api/task/{shown['id']}").json()


def test_synchronous_is_200_whatever_the_fate(crew: Callable[..., Crew], user: httpx.Client) -> None:
    failing = crew(lambda _: (422, {"error": "this is wrong", "code": "BAD"}))
    answer = user.post("/api/task", json=failing.submission(**{"async": False}))
    assert answer.status_code == 200
    shown = answer.json()
    assert (shown["status"], shown["result"], shown["errorCode"]) == ("FAILED", None, "BAD")
    assert "this is wrong" in shown["error"]


def test_synchronous_after_wait_has_the_present_status(accepting: Crew, user: httpx.Client) -> None:
    shown = user.post("/api/task", json=accepting.submission(wait=150, **{"async": False})).json()
    assert shown["status"] == "PROCESSING"
    none = user.post("/api/task", json=TASK | {"capabilities": [fresh("none")], "wait": 0, "async": False}).json()
    assert none["status"] == "PENDING"


def test_synchronous_wait_is_capped(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(sync_wait_max=100).client("user")
    for wait in (None, 600_000):  # for which this client would not wait
        assert client.post("/api/task", json=TASK | {"async": False, "wait": wait}).json()["status"] == "PENDING"


def test_synchronous_ends_with_the_callback(accepting: Crew, yard: Yard, user: httpx.Client) -> None:
    answers: list[httpx.Response] = []
    waiting = threading.Thread(
        target=lambda: answers.append(user.post("/api/task", json=accepting.submission(**{"async": False})))
    )
    waiting.start()
    task = eventually(lambda: accepting.backend.seen and accepting.backend.seen[0])
    assert task["request"]["async"] is False
    httpx.put(task["callback_url"], json={"status": "COMPLETED", "result": [1]}, timeout=PATIENCE_S)
    waiting.join(PATIENCE_S)
    assert answers[0].json()["result"] == [1]


def test_a_client_that_hangs_up_cancels_nothing(accepting: Crew, yard: Yard, user: httpx.Client) -> None:
    body = accepting.submission(**{"async": False})
    calling = http.client.HTTPConnection("127.0.0.1", yard.running.port)
    calling.request("POST", "/api/task", json.dumps(body), {"Authorization": user.headers["Authorization"]})
    task = eventually(lambda: accepting.backend.seen and accepting.backend.seen[0])
    eventually(lambda: yard.on_loop(lambda: yard.running.node._effects.ended.has(task["task_id"])))
    calling.close()
    eventually(lambda: yard.on_loop(lambda: not yard.running.node._effects.ended.has(task["task_id"])))
    assert user.get(f"/api/task/{task['task_id']}").json()["status"] == "PROCESSING"
    httpx.put(task["callback_url"], json={"status": "COMPLETED"}, timeout=PATIENCE_S)
    assert user.get(f"/api/task/{task['task_id']}").json()["status"] == "COMPLETED"


def test_a_node_that_drains_lets_waiting_calls_go(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    client = yard.client("user")
    answers: list[httpx.Response] = []
    waiting = threading.Thread(target=lambda: answers.append(client.post("/api/task", json=TASK | {"async": False})))
    waiting.start()
    eventually(lambda: yard.on_loop(lambda: len(yard.running.node._effects.ended)))
    yard.begin_stop()
    waiting.join(PATIENCE_S)
    assert answers[0].status_code == 200
    assert answers[0].json()["status"] == "PENDING"
