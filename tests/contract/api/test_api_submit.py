"""API.md §3: submitting tasks."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskyard.settings import RetryBackoff, TypeDefaults
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Backend, Yard, accept, eventually, fresh, refused

TASK: dict[str, Any] = {"type": "t", "payload": {}}


def submit(client: httpx.Client, **members: Any) -> dict[str, Any]:
    answer = client.post("/api/task", json=TASK | members)
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = client.get(f"/api/task/{answer.json()['id']}").json()
    return shown


def test_the_answer(user: httpx.Client) -> None:
    before = time.time_ns() // 1_000_000
    answer = user.post("/api/task", json=TASK).json()
    assert answer.keys() == {"id", "status", "createdAt", "updatedAt"}
    assert answer["status"] == "PENDING"
    assert before - 5 <= answer["createdAt"] == answer["updatedAt"] <= time.time_ns() // 1_000_000 + 5


def test_async_is_answered_pending_even_when_it_is_done_at_once(yard: Yard, direct: Crew, user: httpx.Client) -> None:
    assert user.post("/api/task", json=direct.submission()).json()["status"] == "PENDING"
    assert user.post("/api/task", json=direct.submission(**{"async": True})).json()["status"] == "PENDING"


@pytest.mark.parametrize("member", ["type", "payload"])
def test_required_members(user: httpx.Client, member: str) -> None:
    body = {name: value for name, value in TASK.items() if name != member}
    refused(user.post("/api/task", json=body), 400, member)


WRONG: list[tuple[str, Any]] = [
    ("type", ""),
    ("type", "x" * 129),
    ("type", "a\0b"),
    ("type", 5),
    ("payload", []),
    ("payload", "text"),
    ("payload", 5),
    ("priority", -1),
    ("priority", 11),
    ("capabilities", ["x"] * 33),
    ("capabilities", ["a\0b"]),
    ("capabilities", [""]),
    ("capabilities", "chat"),
    ("group", "a\0b"),
    ("serverId", "with space"),
    ("serverId", "x" * 129),
    ("async", "yes"),
    ("wait", -1),
    ("runAt", -1),
    ("runAt", 10**18),
    ("delay", -1),
    ("delay", 10**15),
    ("timeout", 0),
    ("ttl", 0),
    ("queueTimeout", 0),
    ("heartbeatTimeout", 0),
    ("maxRetries", -1),
    ("maxRetries", 101),
    ("retryBackoff", {"base": -1}),
    ("retryBackoff", {"cap": "1s"}),
    ("retryBackoff", 5),
    ("idempotencyKey", ""),
    ("idempotencyKey", "x" * 129),
    ("tags", ["x"] * 17),
    ("tags", ["x" * 65]),
    ("tags", ["a\0b"]),
    ("metadata", []),
    ("metadata", {"a": "x" * 16_384}),
    ("resubmitOf", ""),
]


@pytest.mark.parametrize(("member", "value"), WRONG)
def test_a_wrong_member_is_named(user: httpx.Client, member: str, value: Any) -> None:
    refused(user.post("/api/task", json=TASK | {member: value}), 400, member)


def test_members_at_their_limits(user: httpx.Client) -> None:
    shown = submit(
        user,
        type="x" * 128,
        priority=10,
        capabilities=[fresh("c") for _ in range(32)],
        group="g" * 128,
        maxRetries=100,
        tags=[f"{n:064}" for n in range(16)],
        metadata={"a": "x" * (16_384 - len('{"a": ""}'))},
        timeout=1,
        idempotencyKey="k" * 128,
        retryBackoff={"base": 0, "cap": 0},
    )
    assert (shown["priority"], shown["maxRetries"], shown["timeout"]) == (10, 100, 1)
    assert (len(shown["tags"]), len(shown["capabilities"])) == (16, 32)


def test_types_and_tags_are_any_text(user: httpx.Client) -> None:
    shown = submit(user, type="图像/ü\n", tags=["タグ 1"], metadata={"ключ": "\0"})
    assert (shown["type"], shown["tags"], shown["metadata"]) == ("图像/ü\n", ["タグ 1"], {"ключ": "\0"})


PAYLOADS = [
    rb'{ "b":1.0 , "a" : [1e2,-0.0, 1.50] }',
    rb'{"a":"\u00e9\u0000\/","a":2}',
    '{"é":"文字 🚀"}'.encode(),
    rb'{"big":123456789012345678901234567890,"far":1e400}',
    b'{"a":' * 512 + b"1" + b"}" * 512,
    b"{}",
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_payloads_bytes_reach_the_backend_as_they_came(direct: Crew, user: httpx.Client, payload: bytes) -> None:
    kind, skill = fresh("type").encode(), direct.skill.encode()
    body = b'{"type":"%s","capabilities":["%s"],"payload":%s}' % (kind, skill, payload)
    task_id = user.post("/api/task", content=body).json()["id"]
    direct.backend.task(task_id)
    assert any(payload in raw for raw in direct.backend.raw)
    assert payload in user.get(f"/api/task/{task_id}?include=payload").content


def test_a_payload_nested_deeper_than_512_is_400(user: httpx.Client) -> None:
    for levels in (513, 600, 5_000):
        body = b'{"type":"t","payload":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
        refused(user.post("/api/task", content=body), 400, "deep")


def test_a_body_over_the_limit_is_413(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(body_max_bytes=10_000).client("user")
    shell = len(json.dumps({"type": "t", "payload": {"a": ""}}))
    fits = json.dumps({"type": "t", "payload": {"a": "x" * (10_000 - shell)}})
    assert len(fits) == 10_000
    assert client.post("/api/task", content=fits).status_code == 200
    refused(client.post("/api/task", content=fits + " "), 413, "10000")
    # Without a length it is counted while it comes.
    refused(client.post("/api/task", content=iter([fits.encode(), b" "])), 413, "10000")
    assert client.get("/health").status_code == 200


def test_a_huge_body_is_413_and_takes_no_memory(yard: Yard, user: httpx.Client) -> None:
    def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 1_000_000

    refused(user.post("/api/task", content=chunks()), 413, "larger")
    assert yard.on_loop(lambda: yard.running.node.in_flight) == 0


def test_capabilities_group_and_server_choose_the_server(
    yard: Yard, backend: Callable[..., Backend], user: httpx.Client
) -> None:
    service = yard.client("service", sub=fresh("service"))
    one, two = fresh("one"), fresh("two")
    group = fresh("group")
    servers: dict[str, Backend] = {}
    for name, skills, groups in (("a", [one], [group]), ("b", [one, two], []), ("c", [one], [])):
        made = backend(accept)
        answer = service.post(
            "/api/servers", json={"name": name, "endpoints": made.endpoints, "capabilities": skills, "groups": groups}
        )
        servers[answer.json()["serverId"]] = made
    a, b, c = servers
    chosen = {
        b: {"capabilities": [two, one]},
        a: {"capabilities": [one], "group": group},
        c: {"capabilities": [one], "serverId": c},
    }
    for server_id, members in chosen.items():
        task = submit(user, **members)
        assert servers[server_id].task(task["id"])["request"]["capabilities"] == members["capabilities"]
        assert user.get(f"/api/task/{task['id']}").json()["serverId"] == server_id
    nobody = submit(user, capabilities=[one], group=fresh("empty"))
    assert nobody["status"] == "PENDING"
    for server_id in servers:
        service.delete(f"/api/servers/{server_id}")


def test_defaults(user: httpx.Client) -> None:
    shown = submit(user)
    assert (shown["priority"], shown["maxRetries"], shown["timeout"]) == (0, 3, 3_600_000)
    assert (shown["deadline"], shown["runAt"], shown["tags"], shown["capabilities"]) == (None, None, [], [])


def test_a_type_has_defaults_of_its_own(own_yard: Callable[..., Yard]) -> None:
    ocr = TypeDefaults(
        priority=7,
        capabilities=("ocr",),
        group="readers",
        timeout=5000,
        ttl=60_000,
        max_retries=1,
        retry_backoff=RetryBackoff(base=1, cap=2),
    )
    yard = own_yard(types={"ocr": ocr}, max_retries=9, task_timeout=77_000)
    client = yard.client("user")
    shown = submit(client, type="ocr")
    assert (shown["priority"], shown["capabilities"], shown["group"]) == (7, ["ocr"], "readers")
    assert (shown["timeout"], shown["maxRetries"]) == (5000, 1)
    assert shown["deadline"] == shown["createdAt"] + 60_000
    given = submit(client, type="ocr", priority=0, capabilities=[], timeout=6000, ttl=1_000_000, maxRetries=0)
    assert (given["priority"], given["capabilities"], given["timeout"], given["maxRetries"]) == (0, [], 6000, 0)
    other = submit(client, type="other")
    assert (other["timeout"], other["maxRetries"], other["priority"]) == (77_000, 9, 0)


def test_run_at_and_delay(user: httpx.Client) -> None:
    later = submit(user)["createdAt"] + 3_600_000
    assert submit(user, runAt=later)["runAt"] == later
    delayed = submit(user, delay=60_000, ttl=1000)
    assert delayed["runAt"] == delayed["createdAt"] + 60_000
    assert delayed["deadline"] == delayed["runAt"] + 1000
    assert submit(user, runAt=5)["runAt"] is None
    refused(user.post("/api/task", json=TASK | {"runAt": later, "delay": 5}), 400, "runAt", "delay")


def test_a_delayed_task_runs_then(direct: Crew, user: httpx.Client) -> None:
    answer = user.post("/api/task", json=direct.submission(delay=300, **{"async": False})).json()
    assert answer["status"] == "COMPLETED"
    assert answer["startedAt"] >= answer["runAt"] == answer["createdAt"] + 300


def test_ttl_and_queue_timeout_end_a_waiting_task(user: httpx.Client) -> None:
    for member in ("ttl", "queueTimeout"):
        task = user.post("/api/task", json=TASK | {"capabilities": [fresh("none")], member: 50, "async": False}).json()
        assert task["status"] == "TIMEOUT"
        assert member in task["error"]


# --- the rest --------------------------------------------------------------------------------------------------------


def test_a_repeated_task_links_both_ways(user: httpx.Client, yard: Yard) -> None:
    first = submit(user)["id"]
    second = submit(user, resubmitOf=first)
    assert second["resubmitOf"] == first
    assert user.get(f"/api/task/{first}").json()["resubmittedAs"] == second["id"]
    stranger = yard.client("user", sub=fresh("other"))
    refused(stranger.post("/api/task", json=TASK | {"resubmitOf": first}), 404, "resubmitOf", "not found")


def test_tags_and_metadata_come_back_and_never_go_to_the_backend(direct: Crew, user: httpx.Client) -> None:
    word = fresh("secret")
    body = direct.submission(tags=[word, "b", word], metadata={word: 1.0}, **{"async": False})
    shown = user.post("/api/task", json=body).json()
    assert (shown["tags"], shown["metadata"]) == ([word, "b"], {word: 1.0})
    assert all(word.encode() not in raw for raw in direct.backend.raw)


def test_hops_and_trace_go_on(direct: Crew, user: httpx.Client) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    headers = {"X-Taskyard-Hops": "5", "traceparent": trace, "tracestate": "vendor=a b , other@one=1"}
    task_id = user.post("/api/task", json=direct.submission(), headers=headers).json()["id"]
    direct.backend.task(task_id)
    head = direct.backend.heads[0]
    assert head["x-taskyard-hops"] == "6"
    # Where nothing is traced it goes on as it came.
    assert head["traceparent"] == trace
    assert head["tracestate"] == "vendor=a b,other@one=1"


def test_too_many_hops_are_400(user: httpx.Client) -> None:
    for hops in ("6", "999", "x", "-1"):
        refused(user.post("/api/task", json=TASK, headers={"X-Taskyard-Hops": hops}), 400, "Hops")


def test_a_batch_is_answered_item_by_item(user: httpx.Client) -> None:
    key = fresh("key")
    items = [
        TASK,
        {"type": "t"},
        TASK | {"priority": 99},
        TASK | {"idempotencyKey": key, "zzz": 1},
        TASK | {"idempotencyKey": key},
        TASK | {"async": False},
        TASK | {"resubmitOf": "task_none"},
        TASK | {"type": "last"},
    ]
    answer = user.post("/api/tasks", json={"tasks": items})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert len(results) == len(items)
    good = [0, 3, 7]
    assert [index for index, result in enumerate(results) if "id" in result] == good
    assert all(results[index]["status"] == "PENDING" for index in good)
    assert "payload" in results[1]["details"]
    assert "tasks[2]" in results[2]["details"]
    assert results[4]["error"] == "Idempotency key reused"
    assert "async" in results[5]["details"]
    assert "resubmitOf" in results[6]["details"]
    assert answer.json()["warnings"] == ["tasks[3]: unknown member zzz"]
    assert user.get(f"/api/task/{results[7]['id']}").json()["type"] == "last"


def test_a_batch_has_1_to_1000_items(user: httpx.Client) -> None:
    refused(user.post("/api/tasks", json={"tasks": []}), 400, "tasks")
    refused(user.post("/api/tasks", json={"tasks": [TASK] * 1001}), 400, "tasks", "1000")
    refused(user.post("/api/tasks", json={}), 400, "tasks")
    answer = user.post("/api/tasks", json={"tasks": [TASK] * 1000})
    ids = [result["id"] for result in answer.json()["results"]]
    assert len(set(ids)) == 1000
    user.post("/api/tasks/cancel", json={"ids": ids})


def test_queue_limits(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(max_queued=5, max_queued_per_sub=3, max_lanes=2)
    ann, bob = yard.client("user", sub="ann"), yard.client("user", sub="bob")
    for _ in range(3):
        assert ann.post("/api/task", json=TASK).status_code == 200
    full = ann.post("/api/task", json=TASK)
    refused(full, 429, "MAX_QUEUED_PER_SUB")
    assert int(full.headers["retry-after"]) >= 1
    assert bob.post("/api/task", json=TASK | {"group": "g"}).status_code == 200
    lanes = bob.post("/api/task", json=TASK | {"group": "h"})
    refused(lanes, 429, "MAX_LANES")
    assert int(lanes.headers["retry-after"]) >= 1
    assert bob.post("/api/task", json=TASK).status_code == 200
    everything = bob.post("/api/task", json=TASK)
    refused(everything, 503, "MAX_QUEUED")
    assert int(everything.headers["retry-after"]) >= 1


def test_the_memory_budget_sheds_bodies(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(memory_budget=1 << 20, budget_wait=200)
    client = yard.client("user")
    body = TASK | {"payload": {"a": "x" * 1000}}
    yard.on_loop(lambda: yard.running.node.reserve((1 << 20) - 100))
    shed = client.post("/api/task", json=body)
    refused(shed, 503, "MEMORY_BUDGET")
    assert int(shed.headers["retry-after"]) >= 1
    yard.on_loop(lambda: yard.running.node.release((1 << 20) - 100))
    assert client.post("/api/task", json=body).status_code == 200
    assert yard.on_loop(lambda: yard.running.node.in_flight) == 0


def test_a_call_that_waits_for_its_task_holds_no_body(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(memory_budget=1 << 20)
    client = yard.client("user")
    node = yard.running.node
    body = TASK | {"payload": {"a": "x" * 900_000}, "async": False}
    waiting = threading.Thread(target=lambda: client.post("/api/task", json=body))
    waiting.start()
    eventually(lambda: yard.on_loop(lambda: node.live().pending == 1 and node.in_flight == 0))
    [task] = yard.client("user").get("/api/tasks").json()["tasks"]
    assert waiting.is_alive()
    yard.client("user").post(f"/api/task/{task['id']}/cancel").raise_for_status()
    waiting.join(PATIENCE_S)
    assert not waiting.is_alive()
    assert yard.on_loop(lambda: node.in_flight) == 0


def test_a_body_waits_for_the_budget(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(memory_budget=1 << 20)
    client = yard.client("user")
    yard.on_loop(lambda: yard.running.node.reserve((1 << 20) - 100))
    answers: list[httpx.Response] = []
    body = TASK | {"payload": {"a": "x" * 1000}}
    waiting = threading.Thread(target=lambda: answers.append(client.post("/api/task", json=body)))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    yard.on_loop(lambda: yard.running.node.release((1 << 20) - 100))
    waiting.join(PATIENCE_S)
    assert answers[0].status_code == 200
