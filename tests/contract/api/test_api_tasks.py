"""API.md §4: seeing tasks and changing what becomes of them."""

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Yard, eventually, fresh, refused

MEMBERS = {
    *("id", "type", "status", "priority", "capabilities", "group", "owner", "tags", "metadata", "progress", "message"),
    *("serverId", "error", "errorCode", "errorDetails", "resultMetadata", "attempts", "failures", "maxRetries"),
    *("timeout", "createdAt", "runAt", "deadline", "startedAt", "completedAt", "updatedAt"),
}
WHOLE = MEMBERS | {"result", "history", "resubmitOf", "resubmittedAs"}


def waiting(client: httpx.Client, **members: Any) -> str:
    """A task that nobody can do."""
    body = {"type": "t", "payload": {"a": 1}, "capabilities": ["nobody"]} | members
    answer = client.post("/api/task", json=body)
    assert answer.status_code == 200, answer.text
    task_id: str = answer.json()["id"]
    return task_id


def done(client: httpx.Client, crew: Crew, **members: Any) -> dict[str, Any]:
    """A task that has ended."""
    answer = client.post("/api/task", json=crew.submission(**members, **{"async": False}))
    shown: dict[str, Any] = answer.json()
    assert shown["completedAt"], answer.text
    return shown


def running(client: httpx.Client, crew: Crew, **members: Any) -> dict[str, Any]:
    """What the backend got of a task that it has accepted."""
    task_id = client.post("/api/task", json=crew.submission(**members)).json()["id"]
    sent = crew.backend.task(task_id)
    eventually(lambda: client.get(f"/api/task/{task_id}").json()["status"] == "PROCESSING")
    return sent


# --- show ------------------------------------------------------------------------------------------------------------


def test_a_waiting_task(user: httpx.Client) -> None:
    task_id = waiting(user, priority=3)
    shown = user.get(f"/api/task/{task_id}").json()
    assert shown.keys() == WHOLE
    assert (shown["id"], shown["status"], shown["priority"]) == (task_id, "PENDING", 3)
    for name in (
        "serverId",
        "startedAt",
        "completedAt",
        "result",
        "error",
        "errorCode",
        "progress",
        "message",
        "group",
    ):
        assert shown[name] is None
    assert (shown["attempts"], shown["failures"], shown["history"]) == (0, 0, [])


def test_a_running_task(accepting: Crew, user: httpx.Client) -> None:
    sent = running(user, accepting)
    shown = user.get(f"/api/task/{sent['task_id']}").json()
    assert (shown["serverId"], shown["attempts"], shown["completedAt"]) == (accepting.server_id, 1, None)
    assert shown["createdAt"] <= shown["startedAt"] <= shown["updatedAt"]


def test_a_completed_task(direct: Crew, user: httpx.Client) -> None:
    shown = done(user, direct)
    assert shown["result"] == {"echo": {"n": 1}}
    assert (shown["attempts"], shown["failures"], shown["serverId"]) == (1, 0, direct.server_id)
    assert shown["createdAt"] <= shown["startedAt"] <= shown["completedAt"] == shown["updatedAt"]
    entry = shown["history"][0]
    assert entry.keys() == {
        *("attempt", "serverId", "startedAt", "endedAt", "outcome", "count", "httpStatus", "error", "metadata")
    }
    assert (entry["attempt"], entry["serverId"], entry["outcome"]) == (1, direct.server_id, "completed")


def test_a_failed_task_and_its_history(crew: Callable[..., Crew], user: httpx.Client) -> None:
    details = {"why": [1, 2]}
    failing = crew(lambda _: (500, {"error": "broken", "code": "E1", "details": details}))
    shown = done(user, failing, maxRetries=1, retryBackoff={"base": 0, "cap": 0})
    assert (shown["status"], shown["result"]) == ("FAILED", None)
    assert (shown["attempts"], shown["failures"], shown["maxRetries"]) == (2, 2, 1)
    assert "broken" in shown["error"]
    assert (shown["errorCode"], shown["errorDetails"]) == ("E1", details)
    assert [entry["attempt"] for entry in shown["history"]] == [1, 2]
    assert {(entry["outcome"], entry["httpStatus"], entry["error"]) for entry in shown["history"]} == {
        ("failed", 500, shown["error"])
    }


def test_the_payload_only_when_asked_for(user: httpx.Client) -> None:
    task_id = waiting(user)
    assert "payload" not in user.get(f"/api/task/{task_id}").json()
    assert user.get(f"/api/task/{task_id}?include=payload").json()["payload"] == {"a": 1}
    refused(user.get(f"/api/task/{task_id}?include=everything"), 400, "include")


@pytest.mark.parametrize("task_id", ["task_none", "x", "x" * 5000, "a%00b", "%F0%9F%9A%80", ".."])
def test_unknown_tasks_are_404(admin: httpx.Client, task_id: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/result"), ("POST", "/retry"), ("POST", "/cancel"), ("POST", "/purge")):
        refused(admin.request(method, f"/api/task/{task_id}{rest}"), 404, "not found")
    refused(admin.put(f"/api/task/{task_id}", json={"status": "FAILED"}), 404, "not found")


def test_wait_answers_at_the_next_change(accepting: Crew, yard: Yard, user: httpx.Client) -> None:
    sent = running(user, accepting)
    task_id = sent["task_id"]
    answers: list[Any] = []
    poll = threading.Thread(target=lambda: answers.append(user.get(f"/api/task/{task_id}?wait=60000").json()))
    poll.start()
    eventually(lambda: yard.on_loop(lambda: yard.running.node._effects.changed.has(task_id)))
    httpx.put(sent["callback_url"], json={"status": "COMPLETED", "result": 5}, timeout=PATIENCE_S)
    poll.join(PATIENCE_S)
    assert (answers[0]["status"], answers[0]["result"]) == ("COMPLETED", 5)
    # It has ended: there is nothing to wait for.
    assert user.get(f"/api/task/{task_id}?wait=60000").json()["status"] == "COMPLETED"


def test_wait_answers_after_its_time(user: httpx.Client) -> None:
    task_id = waiting(user)
    began = time.monotonic()
    assert user.get(f"/api/task/{task_id}?wait=200").json()["status"] == "PENDING"
    assert time.monotonic() - began >= 0.19
    refused(user.get(f"/api/task/{task_id}?wait=-1"), 400, "wait")
    refused(user.get("/api/task/task_none?wait=5000"), 404)


# --- result ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", [b'{"b" : 1.0,"a":[1e2]}', b"null", b'"text"', b"[]", b"12345678901234567890123"])
def test_the_result_is_the_backends_json(crew: Callable[..., Crew], user: httpx.Client, result: bytes) -> None:
    made = crew(lambda _: (200, b'{"status":"completed","result":%s}' % result))
    task_id = done(user, made)["id"]
    answer = user.get(f"/api/task/{task_id}/result")
    assert (answer.status_code, answer.content) == (200, result)
    assert answer.headers["content-type"] == "application/json"


def test_no_result_is_409_naming_the_status(accepting: Crew, user: httpx.Client) -> None:
    pending = waiting(user)
    assert refused(user.get(f"/api/task/{pending}/result"), 409, "PENDING")["status"] == "PENDING"
    sent = running(user, accepting)
    refused(user.get(f"/api/task/{sent['task_id']}/result"), 409, "PROCESSING")
    user.post(f"/api/task/{pending}/cancel")
    refused(user.get(f"/api/task/{pending}/result"), 409, "CANCELLED")


# --- list ------------------------------------------------------------------------------------------------------------


def ids(client: httpx.Client, query: str = "") -> list[str]:
    answer = client.get(f"/api/tasks?{query}")
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()["tasks"]]


def test_the_list_is_newest_first_without_bodies(user: httpx.Client) -> None:
    made = [waiting(user) for _ in range(3)]
    answer = user.get("/api/tasks").json()
    assert [row["id"] for row in answer["tasks"]] == made[::-1]
    assert answer["nextCursor"] is None
    assert all(row.keys() == MEMBERS for row in answer["tasks"])


def test_filters(direct: Crew, user: httpx.Client) -> None:
    kind, tag = fresh("kind"), fresh("tag")
    pending = waiting(user, type=kind, tags=[tag])
    ended = done(user, direct, type=kind)
    cancelled = waiting(user, type=f"{kind}-more")
    user.post(f"/api/task/{cancelled}/cancel")
    first, last = user.get(f"/api/task/{pending}").json()["createdAt"], ended["createdAt"]
    expected = {
        f"type={kind}": [ended["id"], pending],
        "status=PENDING": [pending],
        "status=pending,CANCELLED": [cancelled, pending],
        f"serverId={direct.server_id}": [ended["id"]],
        f"capability={direct.skill}": [ended["id"]],
        f"tag={tag}": [pending],
        f"q={kind}": [cancelled, ended["id"], pending],
        f"q={tag}": [pending],
        f"q={pending}": [pending],
        f"q={pending[:20]}": [],
        f"from={first}&to={last}": [pending] if first < last else [],
        f"from={last}&type={kind}": [ended["id"]] if first < last else [ended["id"], pending],
        f"to={first}": [],
        f"status=COMPLETED&tag={tag}": [],
    }
    assert {query: ids(user, query) for query in expected} == expected


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=501", "limit=x", "status=DONE", "from=x", "to=-1", "serverId=a%20b", "type=", "q=%00", "tag="],
)
def test_a_wrong_filter_is_named(user: httpx.Client, query: str) -> None:
    refused(user.get(f"/api/tasks?{query}"), 400, query.partition("=")[0])


def test_pages(user: httpx.Client) -> None:
    made = [waiting(user) for _ in range(7)]
    found: list[str] = []
    cursor = ""
    pages = 0
    while True:
        answer = user.get("/api/tasks", params={"limit": 3} | ({"cursor": cursor} if cursor else {})).json()
        assert len(answer["tasks"]) <= 3
        found += [row["id"] for row in answer["tasks"]]
        pages += 1
        cursor = answer["nextCursor"]
        if cursor is None:
            break
    assert (found, pages) == (made[::-1], 3)


def test_the_default_page_has_50(user: httpx.Client) -> None:
    body = {"type": "t", "payload": {}, "capabilities": ["nobody"]}
    user.post("/api/tasks", json={"tasks": [body] * 51})
    assert len(ids(user)) == 50
    assert len(ids(user, "limit=500")) == 51


def test_a_damaged_cursor_is_400(user: httpx.Client, yard: Yard) -> None:
    for _ in range(2):
        waiting(user)
    cursor = user.get("/api/tasks?limit=1").json()["nextCursor"]
    assert len(ids(user, f"cursor={cursor}")) == 1
    for bad in ("x", cursor[:-1], cursor[:-3] + "AAA", cursor + "A", "ü", "A" * 600, "_" * 40):
        refused(user.get("/api/tasks", params={"cursor": bad}), 400, "cursor")
    stranger = yard.client("user", sub=fresh("other"))
    refused(stranger.get(f"/api/tasks?cursor={cursor}"), 400, "cursor")
    refused(yard.client("admin").get(f"/api/tasks?cursor={cursor}"), 400, "cursor")


def test_a_retried_row_has_its_latest_start(crew: Callable[..., Crew], user: httpx.Client) -> None:
    failing = crew(lambda _: (500, {}))
    body = failing.submission(retryBackoff={"base": 100_000_000, "cap": 100_000_000})
    task_id = user.post("/api/task", json=body).json()["id"]
    shown = eventually(lambda: (s := user.get(f"/api/task/{task_id}").json()) and s["failures"] == 1 and s)
    assert (shown["status"], shown["attempts"], shown["serverId"]) == ("PENDING", 1, failing.server_id)
    assert shown["startedAt"] == shown["history"][0]["startedAt"]
    row = user.get("/api/tasks").json()["tasks"][0]
    assert row == {name: shown[name] for name in MEMBERS}


# --- retry, cancel, purge --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["FAILED", "TIMEOUT", "CANCELLED"])
def test_ended_tasks_are_retried_afresh(user: httpx.Client, status: str) -> None:
    task_id = waiting(user, ttl=1_000_000)
    user.put(f"/api/task/{task_id}", json={"status": status, "error": "for the test", "code": "X"})
    before = user.get(f"/api/task/{task_id}").json()
    assert (before["status"], before["error"], before["errorCode"]) == (status, "for the test", "X")
    answer = user.post(f"/api/task/{task_id}/retry")
    assert answer.json() == {"success": True, "message": "Task queued for retry", "taskId": task_id}
    shown = user.get(f"/api/task/{task_id}").json()
    assert (shown["status"], shown["error"], shown["errorCode"], shown["result"]) == ("PENDING", None, None, None)
    assert (shown["failures"], shown["completedAt"]) == (0, None)
    assert shown["deadline"] >= before["completedAt"] + 1_000_000


def test_a_retry_goes_on_with_the_attempts(crew: Callable[..., Crew], user: httpx.Client) -> None:
    answers = [(422, {"error": "no"}), (200, {"status": "success", "result": 1})]
    made = crew(lambda _: answers.pop(0))
    task_id = done(user, made)["id"]
    user.post(f"/api/task/{task_id}/retry")
    shown = eventually(lambda: (s := user.get(f"/api/task/{task_id}").json()) and s["status"] == "COMPLETED" and s)
    assert (shown["attempts"], shown["failures"], shown["result"]) == (2, 0, 1)
    assert [(entry["attempt"], entry["outcome"]) for entry in shown["history"]] == [(1, "failed"), (2, "completed")]


def test_a_retry_makes_a_waiting_task_due(direct: Crew, user: httpx.Client) -> None:
    task_id = user.post("/api/task", json=direct.submission(delay=100_000_000)).json()["id"]
    assert user.get(f"/api/task/{task_id}").json()["status"] == "PENDING"
    assert user.post(f"/api/task/{task_id}/retry").status_code == 200
    assert user.get(f"/api/task/{task_id}?wait=5000").json()["attempts"] == 1


def test_other_states_cannot_be_retried(accepting: Crew, direct: Crew, user: httpx.Client) -> None:
    states = {
        "PENDING": waiting(user),
        "PROCESSING": running(user, accepting)["task_id"],
        "COMPLETED": done(user, direct)["id"],
    }
    for status, task_id in states.items():
        assert refused(user.post(f"/api/task/{task_id}/retry"), 409, status)["status"] == status


@pytest.mark.parametrize(("method", "rest"), [("POST", "/cancel"), ("DELETE", "")])
def test_cancel(accepting: Crew, user: httpx.Client, method: str, rest: str) -> None:
    for task_id in (waiting(user), running(user, accepting)["task_id"]):
        answer = user.request(method, f"/api/task/{task_id}{rest}")
        assert answer.json() == {"success": True, "message": "Task cancelled", "taskId": task_id}
        assert user.get(f"/api/task/{task_id}").json()["status"] == "CANCELLED"
        assert refused(user.request(method, f"/api/task/{task_id}{rest}"), 409, "CANCELLED")["status"] == "CANCELLED"


def test_a_result_after_the_cancel_changes_nothing(accepting: Crew, user: httpx.Client) -> None:
    sent = running(user, accepting)
    user.post(f"/api/task/{sent['task_id']}/cancel")
    late = httpx.put(sent["callback_url"], json={"status": "COMPLETED", "result": 1}, timeout=PATIENCE_S)
    assert refused(late, 409, "CANCELLED")["status"] == "CANCELLED"
    shown = user.get(f"/api/task/{sent['task_id']}").json()
    assert (shown["status"], shown["result"]) == ("CANCELLED", None)


def test_purge_erases_the_bodies(direct: Crew, user: httpx.Client, admin: httpx.Client) -> None:
    task_id = done(user, direct, tags=["kept"])["id"]
    answer = user.post(f"/api/task/{task_id}/purge")
    assert answer.json() == {"success": True, "message": "Task purged", "taskId": task_id}
    refused(user.get(f"/api/task/{task_id}/result"), 410)
    shown = user.get(f"/api/task/{task_id}?include=payload").json()
    assert (shown["status"], shown["tags"], shown["result"], shown["payload"]) == ("COMPLETED", ["kept"], None, None)
    other = done(user, direct)["id"]
    assert admin.post(f"/api/task/{other}/purge").status_code == 200
    for task_id in (waiting(user),):
        refused(user.post(f"/api/task/{task_id}/purge"), 409, "PENDING")


def test_an_accepting_backend_is_waited_for(accepting: Crew, user: httpx.Client) -> None:
    sent = running(user, accepting, timeout=200, maxRetries=0)
    shown = eventually(
        lambda: (s := user.get(f"/api/task/{sent['task_id']}").json()) and s["status"] == "TIMEOUT" and s
    )
    assert "timeout" in shown["error"]


def test_too_many_waiting_calls_are_429(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(waiting_calls_per_sub=1)
    user = yard.client("user", sub=fresh("waiter"))
    task_id = waiting(user)
    poll = threading.Thread(target=lambda: user.get(f"/api/task/{task_id}?wait=60000"))
    poll.start()
    eventually(lambda: yard.on_loop(lambda: yard.running.node._effects.changed.has(task_id)))
    many = user.get(f"/api/task/{task_id}?wait=60000")
    refused(many, 429)
    assert int(many.headers["retry-after"]) >= 1
    user.post(f"/api/task/{task_id}/cancel")
    poll.join(PATIENCE_S)
    assert user.get(f"/api/task/{task_id}?wait=20").status_code == 200


def test_too_many_reads_that_wait_are_503(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(reads_waiting=1)
    user = yard.client("user")
    task_id = waiting(user)
    gate = threading.Event()
    began = threading.Event()

    def slow(_: Any) -> bool:
        began.set()
        return gate.wait(PATIENCE_S)

    yard.on_loop(lambda: asyncio.ensure_future(yard.running.node.read(slow)))
    assert began.wait(PATIENCE_S)
    refused(user.get(f"/api/task/{task_id}"), 503, "too many reads")
    gate.set()
    assert eventually(lambda: user.get(f"/api/task/{task_id}").status_code == 200)


# --- bulk ------------------------------------------------------------------------------------------------------------


def test_bulk_cancel_by_ids(user: httpx.Client, yard: Yard) -> None:
    two = [waiting(user) for _ in range(2)]
    ended = waiting(user)
    user.post(f"/api/task/{ended}/cancel")
    others = waiting(yard.client("user", sub=fresh("other")))
    body = {"ids": [*two, ended, others, "task_none", two[0]]}
    dry = user.post("/api/tasks/cancel", json=body | {"dryRun": True}).json()
    assert (dry["matched"], dry["changed"], dry["dryRun"]) == (3, 2, True)
    assert user.get(f"/api/task/{two[0]}").json()["status"] == "PENDING"
    answer = user.post("/api/tasks/cancel", json=body).json()
    assert answer == {
        "matched": 3,
        "changed": 2,
        "skipped": 3,
        "byStatus": {"PENDING": 2, "CANCELLED": 1},
        "dryRun": False,
        "bulkId": None,
    }
    assert {user.get(f"/api/task/{task_id}").json()["status"] for task_id in two} == {"CANCELLED"}


def test_bulk_retry_by_filter(user: httpx.Client) -> None:
    kind = fresh("kind")
    made = [waiting(user, type=kind) for _ in range(3)]
    other = waiting(user)
    for task_id in (*made, other):
        user.post(f"/api/task/{task_id}/cancel")
    answer = user.post("/api/tasks/retry", json={"filter": {"type": kind, "status": "cancelled"}}).json()
    assert (answer["matched"], answer["changed"], answer["skipped"]) == (3, 3, 0)
    assert {user.get(f"/api/task/{task_id}").json()["status"] for task_id in made} == {"PENDING"}
    assert user.get(f"/api/task/{other}").json()["status"] == "CANCELLED"
    again = user.post("/api/tasks/retry", json={"filter": {"type": kind}}).json()
    assert again["matched"] == 0


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "ids, filter or group"),
        ({"ids": ["a"], "filter": {}}, "ids, filter or group"),
        ({"ids": []}, "ids"),
        ({"filter": {"status": "DONE"}}, "filter.status"),
        ({"filter": {"status": ["PENDING", "DONE"]}}, "filter.status"),
        ({"filter": {"from": "x"}}, "filter.from"),
        ({"filter": 5}, "filter"),
        ({"filter": {}}, "filter is empty"),
        ({"filter": {"type": None}}, "filter is empty"),
        ({"filter": {"tpye": "t"}}, "unknown member filter.tpye, did you mean filter.type?"),
        ({"filter": {"status": "PENDING", "tpye": "t"}}, "did you mean filter.type?"),
        ({"filter": {"status": "PENDING"}, "all": True}, "not several"),
        ({"all": False}, "all must be true"),
    ],
)
def test_wrong_bulk_requests(user: httpx.Client, body: dict[str, Any], word: str) -> None:
    for action in ("retry", "cancel"):
        refused(user.post(f"/api/tasks/{action}", json=body), 400, word)


def test_no_status_is_no_task_and_all_is_said(user: httpx.Client) -> None:
    task_id = waiting(user)
    none = user.post("/api/tasks/cancel", json={"filter": {"status": []}}).json()
    assert (none["matched"], none["changed"]) == (0, 0)
    every = user.post("/api/tasks/cancel", json={"all": True, "dryRun": True}).json()
    assert every["byStatus"] == {"PENDING": every["changed"]}
    assert every["changed"] >= 1
    assert user.get(f"/api/task/{task_id}").json()["status"] == "PENDING"


def test_a_bulk_filter_for_others_is_the_admins(user: httpx.Client, admin: httpx.Client) -> None:
    task_id = waiting(user)
    owner = user.get(f"/api/task/{task_id}").json()["owner"]
    refused(user.post("/api/tasks/cancel", json={"filter": {"owner": "somebody"}}), 403)
    answer = admin.post("/api/tasks/cancel", json={"filter": {"owner": owner}}).json()
    assert answer["changed"] == 1


def _batch(client: httpx.Client, count: int, kind: str) -> None:
    body = {"type": kind, "payload": {}, "capabilities": ["nobody"]}
    answer = client.post("/api/tasks", json={"tasks": [body] * count})
    assert all("id" in result for result in answer.json()["results"])


def test_more_than_500_go_on_in_the_background(user: httpx.Client, yard: Yard) -> None:
    kind = fresh("kind")
    _batch(user, 1000, kind)
    _batch(user, 1, kind)
    answer = user.post("/api/tasks/cancel", json={"filter": {"type": kind}}).json()
    assert (answer["matched"], answer["changed"]) == (500, 500)
    path = f"/api/bulk/{answer['bulkId']}"
    job = eventually(lambda: (shown := user.get(path).json()) and shown["state"] == "done" and shown)
    assert (job["matched"], job["changed"], job["byStatus"]) == (1001, 1001, {"PENDING": 1001})
    assert (job["action"], job["bulkId"], job["error"]) == ("cancel", answer["bulkId"], None)
    assert user.get(f"/api/tasks?type={kind}&status=PENDING").json()["tasks"] == []
    stranger = yard.client("user", sub=fresh("other"))
    refused(stranger.get(path), 404, "not found")
    refused(stranger.delete(path), 404, "not found")
    assert yard.client("admin").get(path).status_code == 200
    refused(user.get("/api/bulk/none"), 404, "not found")


def test_a_bulk_job_can_be_stopped(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(bulk_jobs=2, bulk_jobs_per_sub=1, bulk_jobs_kept=0)
    client = yard.client("user")
    for _ in range(3):
        _batch(client, 1000, "t")
    node = yard.running.node
    ask_many = node.ask_many
    gate = threading.Event()

    async def gated(facts: Any) -> Any:
        # The second page waits until the test has asked to stop.
        if gate.is_set():
            await asyncio.to_thread(stopping.wait, PATIENCE_S)
        gate.set()
        return await ask_many(facts)

    stopping = threading.Event()
    node.ask_many = gated  # type: ignore[method-assign]
    bulk_id = client.post("/api/tasks/cancel", json={"all": True}).json()["bulkId"]
    assert client.get(f"/api/bulk/{bulk_id}").json()["state"] == "running"
    another = client.post("/api/tasks/cancel", json={"all": True, "dryRun": True})
    refused(another, 503, "too many bulk jobs")
    nobodys = yard.client("user", sub="bob").post("/api/tasks/cancel", json={"all": True})
    assert nobodys.status_code == 200  # the limit was that subject's
    answers: list[Any] = []
    stop = threading.Thread(target=lambda: answers.append(client.delete(f"/api/bulk/{bulk_id}").json()))
    stop.start()
    eventually(lambda: client.get(f"/api/bulk/{bulk_id}").json()["state"] == "stopped")
    stopping.set()
    stop.join(PATIENCE_S)
    assert (answers[0]["state"], answers[0]["changed"]) == ("stopped", 1000)
    assert client.get("/api/stats").json()["pendingTasks"] == 2000
