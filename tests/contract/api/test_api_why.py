"""Why a task waits, over HTTP: the answer's members, who may see what, and that doing what it says starts the task."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskyard.api import why as api_why
from taskyard.engine.funnel import SHOWN_MOST, Step
from taskyard.engine.runtimes import LEAST
from taskyard.engine.why import Code
from taskyard.wire.why import CODES, STEPS
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import Backend, Yard, accept, echo, eventually, fresh, refused

MEMBERS = {"id", "asOf", "code", "params", "text", "also", "funnel", "position", "estimate", "wouldStart", "actions"}
OwnYard = Callable[..., Yard]
Backends = Callable[..., Backend]


def submit(client: httpx.Client, **members: Any) -> str:
    answer = client.post("/api/task", json={"type": "t", "payload": {}} | members)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["id"]
    return task_id


def why(client: httpx.Client, task_id: str, **headers: str) -> dict[str, Any]:
    answer = client.get(f"/api/task/{task_id}/why", headers=headers)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    assert found.keys() == MEMBERS
    return found


def register(admin: httpx.Client, backend: Backend, server_id: str, **members: Any) -> None:
    body = {"id": server_id, "name": server_id, "endpoints": backend.endpoints} | members
    answer = admin.post("/api/servers", json=body)
    assert answer.json()["status"] == "online", answer.text


def do(client: httpx.Client, found: dict[str, Any], code: str, **members: Any) -> None:
    """Make the call that an answer proposes; `members` fill in what it left open."""
    action = next(action for action in found["actions"] if action["code"] == code)
    body = None if action["body"] is None else action["body"] | members
    answer = client.request(action["method"], action["path"], json=body)
    assert answer.status_code == 200, answer.text


def starts(client: httpx.Client, task_id: str) -> None:
    eventually(lambda: client.get(f"/api/task/{task_id}").json()["status"] == "PROCESSING")


def test_codes_and_steps_on_the_wire_are_the_engines() -> None:
    assert list(CODES) == [code.value for code in Code]
    assert list(STEPS) == [step.value for step in Step]


def test_a_user_sees_why_for_its_own_tasks_alone(yard: Yard, accepting: Crew, user: httpx.Client) -> None:
    skill = fresh("skill")
    task_id = submit(user, capabilities=[accepting.skill, skill])
    found = why(user, task_id)
    assert (found["id"], found["code"]) == (task_id, "no_capability")
    assert (found["params"]["missing"], found["params"]["others"]) == ([skill], {accepting.skill: 1})
    assert found["text"] == f"No server has “{skill}”; 1 has “{accepting.skill}”."
    assert found["position"] == 1
    shown = found["funnel"][1]["servers"]
    assert {"id": accepting.server_id, "code": "unable"} in shown or len(shown) == SHOWN_MOST
    path = f"/api/task/{task_id}/why"
    assert yard.client("admin").get(path).status_code == 200
    refused(yard.client("user", sub=fresh("user")).get(path), 404, "not found")
    refused(yard.client("service").get(path), 403)


def test_a_user_is_told_no_endpoints_and_no_calls_that_it_may_not_make(
    yard: Yard, accepting: Crew, user: httpx.Client, admin: httpx.Client
) -> None:
    task_id = submit(user, capabilities=[accepting.skill, fresh("skill")])
    answer = user.get(f"/api/task/{task_id}/why")
    for url in accepting.backend.endpoints.values():
        assert url not in answer.text
    assert answer.json()["actions"] == []
    assert [action["code"] for action in why(admin, task_id)["actions"]] == ["register", "add_capability"]


def test_in_the_language_that_is_asked_for(user: httpx.Client) -> None:
    task_id = submit(user, capabilities=["8k"], delay=3_600_000)
    for accepted, begins in (
        ("zh-CN,zh;q=0.9,en;q=0.8", "定于 "),
        ("en;q=0.2, zh;q=0.1", "Not before "),
        ("fr", "Not before "),
        ("zh;q=x", "Not before "),
    ):
        assert why(user, task_id, **{"Accept-Language": accepted})["text"].startswith(begins)


def test_a_task_that_does_not_wait_is_refused_by_its_status(accepting: Crew, user: httpx.Client) -> None:
    task_id = submit(user, capabilities=[accepting.skill])
    starts(user, task_id)
    said = refused(user.get(f"/api/task/{task_id}/why"), 409, "PROCESSING", "last heard of", "may take until", "UTC")
    assert said["status"] == "PROCESSING"
    user.post(f"/api/task/{task_id}/cancel")
    assert refused(user.get(f"/api/task/{task_id}/why"), 409, "CANCELLED")["status"] == "CANCELLED"
    refused(user.get("/api/task/task_0/why"), 404)


def test_full_servers_and_the_place_and_what_starts_it(own_yard: OwnYard, backend: Backends) -> None:
    admin = own_yard().client("admin")
    register(admin, backend(accept), "gpu-1", maxConcurrent=1)
    first, second, third = (submit(admin) for _ in range(3))
    starts(admin, first)
    assert [why(admin, task_id)["position"] for task_id in (second, third)] == [1, 2]
    found = why(admin, third)
    would = found["wouldStart"]
    assert (would["code"], would["params"]) == ("more_slots", {"server": "gpu-1", "more": 2})
    assert would["text"] == "It would start now with 2 more slots on gpu-1."
    assert would["action"]["body"] == {"maxConcurrent": 3}
    assert found["code"] == "full"
    assert found["params"] == {"count": 1, "able": 1, "servers": ["gpu-1"], "used": 1, "slots": 1, "ahead": 1}
    assert found["text"] == "gpu-1, the only one that can, is full (1 of 1). 1 ahead."
    assert why(admin, second)["text"] == "gpu-1, the only one that can, is full (1 of 1)."
    assert [step["count"] for step in found["funnel"]] == [1] * 7 + [0]
    assert found["funnel"][-1] == {"step": "free", "count": 0, "servers": [{"id": "gpu-1", "code": "full"}]}
    urgent = submit(admin, priority=5)
    assert why(admin, urgent)["position"] == 1
    admin.post(f"/api/task/{urgent}/cancel")
    do(admin, found, "raise_limit")
    starts(admin, second)
    do(admin, why(admin, third), "raise_limit")
    starts(admin, third)


def test_what_the_actions_of_each_reason_do(own_yard: OwnYard, backend: Backends) -> None:
    admin = own_yard().client("admin")
    server = backend(accept)
    task = submit(admin, capabilities=["a", "b"], group="eu", delay=3_600_000)
    found = why(admin, task)
    assert (found["code"], found["position"]) == ("scheduled", None)
    assert [reason["code"] for reason in found["also"]] == ["no_servers"]
    do(admin, found, "run_now")
    eventually(lambda: why(admin, task)["code"] == "no_servers")
    do(admin, why(admin, task), "register", name="gpu-1", endpoints=server.endpoints, capabilities=["a"], groups=[])
    (gpu,) = (one["id"] for one in admin.get("/api/servers").json()["servers"])
    assert why(admin, task)["code"] == "no_capability"
    do(admin, why(admin, task), "add_capability")
    found = why(admin, task)
    assert (found["code"], found["text"]) == ("no_group", "None in group “eu” can; 1 elsewhere could.")
    admin.post(f"/api/servers/{gpu}/maintenance", json={"maintenance": True, "reason": "disk swap"})
    admin.patch(f"/api/servers/{gpu}", json={"groups": ["eu"]})
    found = why(admin, task)
    assert found["text"] == f"The only one that can is away: {gpu} is in maintenance (“disk swap”)."
    do(admin, found, "end_maintenance")
    starts(admin, task)
    pinned = submit(admin, serverId="gpu-9")
    found = why(admin, pinned)
    assert (found["code"], found["text"]) == ("pinned", "Only gpu-9 may take it, and it is not registered.")
    (edit,) = found["actions"]
    assert (edit["code"], edit["body"]["resubmitOf"], edit["body"]["serverId"]) == ("edit_task", pinned, None)
    do(admin, found, "edit_task", payload={})


def test_a_backoff_says_what_failed_and_where(crew: Callable[..., Crew], user: httpx.Client) -> None:
    failing = crew(lambda _: (503, {"error": "CUDA out of memory"}))
    backoff = {"base": 60_000, "cap": 60_000}
    task_id = submit(user, capabilities=[failing.skill], retryBackoff=backoff)
    eventually(lambda: user.get(f"/api/task/{task_id}").json()["failures"] == 1)
    found = why(user, task_id)
    assert found["code"] == "backoff"
    params = found["params"]
    assert (params["server"], params["failures"], params["allowed"], params["status"]) == (failing.server_id, 1, 4, 503)
    assert found["text"].startswith(f"Attempt 1 of 4 failed on {failing.server_id} (503). Next try in ")
    failing.backend.behave = accept
    do(user, found, "try_now")
    starts(user, task_id)


@pytest.mark.parametrize("answer", [(401, {}), (429, {"retry_after": 100})])
def test_servers_that_refuse_us(answer: tuple[int, Any], crew: Callable[..., Crew], admin: httpx.Client) -> None:
    refusing = crew(lambda _: answer)
    task_id = submit(admin, capabilities=[refusing.skill])
    refusing.backend.task(task_id)
    eventually(lambda: admin.get(f"/api/task/{task_id}").json()["history"])
    found = why(admin, task_id)
    if answer[0] == 401:
        assert (found["code"], found["params"]["servers"]) == ("misconfigured", [refusing.server_id])
        assert found["actions"][0]["path"] == f"/api/servers/{refusing.server_id}"
        assert found["actions"][0]["body"] == {"apiKey": None}
    else:
        assert found["code"] == "declined"
        assert found["text"].startswith(f"{refusing.server_id} asks us to wait; it is due in 1m ")


def test_a_place_that_only_the_store_knows(
    own_yard: OwnYard, backend: Backends, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = own_yard(window_entries=100).client("admin")
    register(admin, backend(accept), "gpu-1", maxConcurrent=1)
    tasks = [{"type": "t", "payload": {}} for _ in range(401)]
    results = admin.post("/api/tasks", json={"tasks": tasks}).json()["results"]
    starts(admin, results[0]["id"])
    for number in (1, 100, 257, 400):
        assert why(admin, results[number]["id"])["position"] == number
    monkeypatch.setattr(api_why, "_COUNTED_MOST", 20)
    assert why(admin, results[10]["id"])["position"] == 10
    far = why(admin, results[400]["id"])
    assert (far["code"], far["position"], far["params"].get("ahead")) == ("full", None, None)


# --- lanes -----------------------------------------------------------------------------------------------------------


def test_lanes_are_the_whole_yards_the_oldest_first(own_yard: OwnYard, backend: Backends) -> None:
    yard = own_yard()
    admin, ann, bob = yard.client("admin"), yard.client("user", sub="ann"), yard.client("user", sub="bob")
    register(admin, backend(accept), "gpu-1", maxConcurrent=1, capabilities=["sd"])
    starts(admin, submit(ann, capabilities=["sd"]))
    submit(bob, capabilities=["8k", "video"])
    for _ in range(3):
        submit(ann, capabilities=["sd"])
    submit(ann, serverId="gpu-1", delay=3_600_000)
    for client in (admin, ann, yard.client("service")):
        found = client.get("/api/lanes").json()
        assert found.keys() == {"asOf", "lanes", "other"}
        assert [lane["capabilities"] for lane in found["lanes"]] == [["8k", "video"], ["sd"], []]
        assert [(lane["code"], lane["queued"]) for lane in found["lanes"]] == [
            ("no_capability", 1),
            ("full", 3),
            ("scheduled", 1),
        ]
        assert [lane["serverId"] for lane in found["lanes"]] == [None, None, "gpu-1"]
        first, second, third = found["lanes"]
        assert first["oldestAt"] <= second["oldestAt"] <= found["asOf"]
        assert third["oldestAt"] is None
        assert third["params"]["at"] > found["asOf"]
        assert second["text"] == "gpu-1, the only one that can, is full (1 of 1)."
        assert second["funnel"][-1] == {"step": "free", "count": 0, "servers": []}
        assert found["other"] == {"lanes": 0, "queued": 0}


def test_at_most_fifty_lanes_are_shown_and_the_others_counted(own_yard: OwnYard) -> None:
    admin = own_yard().client("admin")
    tasks = [{"type": "t", "payload": {}, "capabilities": [f"c{number % 53}"]} for number in range(106)]
    admin.post("/api/tasks", json={"tasks": tasks})
    found = admin.get("/api/lanes").json()
    assert (len(found["lanes"]), found["other"]) == (50, {"lanes": 3, "queued": 6})


def test_when_it_will_start_once_enough_has_run(own_yard: OwnYard, backend: Backends) -> None:
    admin = own_yard().client("admin")
    register(admin, backend(echo), "gpu-1", maxConcurrent=4)
    for _ in range(LEAST):
        submit(admin)
    eventually(lambda: admin.get("/api/stats").json()["successfulTasks"] == LEAST)
    register(admin, backend(accept), "gpu-1", maxConcurrent=1)
    first, second = submit(admin), submit(admin)
    starts(admin, first)
    estimate = why(admin, second)["estimate"]
    assert 0 <= estimate["p50"] <= estimate["p90"]
    kept = 'taskyard_estimates_total{started="'
    text = admin.get("/metrics").text
    assert sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(kept)) == 0
    admin.post(f"/api/task/{first}/cancel")
    starts(admin, second)
    text = admin.get("/metrics").text
    assert sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(kept)) == 1
