"""API.md §3: submissions with a key: the first one's answer again, or 422."""

import threading
from typing import Any

import httpx
import pytest

from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Yard, eventually, fresh, refused

TASK: dict[str, Any] = {"type": "t", "payload": {}}


@pytest.mark.parametrize("where", ["member", "header"])
def test_the_same_key_and_body_give_the_first_task(user: httpx.Client, where: str) -> None:
    key = fresh("key")
    body = TASK | ({"idempotencyKey": key} if where == "member" else {})
    headers = {"Idempotency-Key": key} if where == "header" else {}
    first = user.post("/api/task", json=body, headers=headers)
    assert "idempotent-replayed" not in first.headers
    again = user.post("/api/task", json=body, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"


def test_key_in_the_header_and_in_the_body_are_one(user: httpx.Client) -> None:
    key = fresh("key")
    first = user.post("/api/task", json=TASK, headers={"Idempotency-Key": key}).json()["id"]
    assert user.post("/api/task", json=TASK | {"idempotencyKey": key}).json()["id"] == first
    both = user.post("/api/task", json=TASK | {"idempotencyKey": key}, headers={"Idempotency-Key": key})
    assert both.json()["id"] == first
    refused(user.post("/api/task", json=TASK | {"idempotencyKey": key}, headers={"Idempotency-Key": "other"}), 400)
    refused(user.post("/api/task", json=TASK, headers={"Idempotency-Key": "x" * 129}), 400, "Idempotency-Key")


def test_bodies_are_compared_by_values(user: httpx.Client) -> None:
    headers = {"Idempotency-Key": fresh("key")}
    one = b'{"type":"t","payload":{"a":1,"b":"\\u00e9"},"priority":2}'
    same = '{"priority": 2.0, "payload": {"b":"é", "a":1e0}, "type":"t"}'.encode()
    first = user.post("/api/task", content=one, headers=headers).json()["id"]
    assert user.post("/api/task", content=same, headers=headers).json()["id"] == first
    other = b'{"type":"t","payload":{"a":2,"b":"\\u00e9"},"priority":2}'
    refused(user.post("/api/task", content=other, headers=headers), 422, headers["Idempotency-Key"])


def test_keys_are_each_subjects_own(yard: Yard, user: httpx.Client) -> None:
    headers = {"Idempotency-Key": fresh("key")}
    first = user.post("/api/task", json=TASK, headers=headers).json()["id"]
    other = yard.client("user", sub=fresh("other")).post("/api/task", json=TASK | {"type": "u"}, headers=headers)
    assert other.status_code == 200
    assert other.json()["id"] != first


def test_a_synchronous_repetition_waits_for_the_first_task(accepting: Crew, user: httpx.Client, yard: Yard) -> None:
    body = accepting.submission(idempotencyKey=fresh("key"), **{"async": False})
    answers: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: answers.append(user.post("/api/task", json=body))) for _ in range(2)]
    threads[0].start()
    task = eventually(lambda: accepting.backend.seen and accepting.backend.seen[0])
    threads[1].start()
    task_id = task["task_id"]
    eventually(lambda: yard.on_loop(lambda: len(yard.running.node._effects.ended._futures.get(task_id, ())) == 2))
    httpx.put(task["callback_url"], json={"status": "COMPLETED", "result": 7}, timeout=PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [(answer.json()["id"], answer.json()["result"]) for answer in answers] == [(task_id, 7)] * 2
    # And one that comes after the end is answered at once.
    late = user.post("/api/task", json=body)
    assert (late.json()["id"], late.json()["result"]) == (task_id, 7)
    assert late.headers["idempotent-replayed"] == "true"
    assert len(accepting.backend.seen) == 1
