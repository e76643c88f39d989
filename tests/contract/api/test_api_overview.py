"""The dashboard's figures over HTTP, on a node of their own: they add up, and each sees what it may."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.contract.api.yard import SECRET, Backend, Yard, eventually, refused, token

WINDOWS = ("5m", "1h", "24h")


def behave(task: dict[str, Any]) -> tuple[int, Any]:
    """Does what the task's type says."""
    kind = task["request"]["type"]
    if kind == "bad":
        return 422, {"error": f"width {task['request']['payload']['n']} must be a multiple of 8"}
    if kind == "down":
        return 500, {"error": f"no room for {task['request']['payload']['n']} bytes at /var/m/{task['task_id']}/x"}
    return 200, {"status": "success", "result": 1}


class Scene:
    """A node with one server, and what ann and bob did on it."""

    def __init__(self, yard: Yard, backend: Backend) -> None:
        self.admin, self.ann, self.bob = (yard.client(role, sub=sub) for role, sub in WHO)
        self.yard, self.backend = yard, backend
        registration = {"id": "gpu-1", "name": "one", "endpoints": backend.endpoints, "capabilities": ["ocr"]}
        assert self.admin.post("/api/servers", json=registration).json()["status"] == "online"
        for number in range(3):
            self.run(self.ann, "good", number, tags=["night", f"run-{number}"])
        self.failed = [self.run(self.bob, "bad", number) for number in (33, 35)]
        self.down = self.run(self.ann, "down", 12, maxRetries=1, retryBackoff={"base": 0, "cap": 0})
        self.waiting = self.run(self.ann, "good", 9, capabilities=["8k"], wait=1)

    def run(self, client: httpx.Client, kind: str, number: int, **members: Any) -> str:
        body = {"type": kind, "payload": {"n": number}, "capabilities": ["ocr"], "async": False} | members
        answer = client.post("/api/task", json=body)
        assert answer.status_code == 200, answer.text
        task_id: str = answer.json()["id"]
        return task_id


WHO = (("admin", "root"), ("user", "ann"), ("user", "bob"))


@pytest.fixture
def scene(own_yard: Callable[..., Yard], backend: Callable[..., Backend]) -> Scene:
    return Scene(own_yard(audit_retention=86_400_000), backend(behave))


def get(client: httpx.Client, path: str) -> dict[str, Any]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(client: httpx.Client) -> dict[str, int]:
    found: dict[str, int] = get(client, "/api/overview")["counts"]
    return found


def test_the_overview_adds_up(scene: Scene) -> None:
    totals = {"submitted": 7, "completed": 3, "failed": 3, "timeout": 0, "cancelled": 0}
    for window in WINDOWS:
        overview = get(scene.admin, f"/api/overview?window={window}")
        assert overview["totals"] == totals
        assert overview["success"] == 0.5
        series = overview["series"]
        assert {len(column) for column in series.values()} == {300}
        assert [b - a for a, b in zip(series["t"], series["t"][1:], strict=False)] == [overview["step"]] * 299
        for name in ("submitted", "completed", "failed"):
            assert sum(count or 0 for count in series[name]) == totals[name]
        assert series["submitted"][0] is None, "there was no node"
        assert (series["waiting"][-1], series["running"][-1]) == (1, 0)
        assert overview["wait"]["count"] == 6, "the first attempt of each that was dispatched"
        assert overview["run"]["count"] == 3
        assert overview["run"]["p50"] <= overview["run"]["p95"]
        assert (overview["slots"], overview["servers"]) == ({"used": 0, "total": 10}, {"online": 1})
    live = {"pending": 0, "processing": 0, "cancelled": 0, "timeout": 0}
    assert counts(scene.admin) == {"total": 7, "completed": 3, "failed": 3} | live | {"pending": 1}
    assert counts(scene.ann) == {"total": 5, "completed": 3, "failed": 1} | live | {"pending": 1}
    assert counts(scene.bob) == {"total": 2, "completed": 0, "failed": 2} | live
    scene.ann.post(f"/api/task/{scene.waiting}/cancel")
    scene.bob.post(f"/api/task/{scene.failed[0]}/retry")
    eventually(lambda: get(scene.bob, f"/api/task/{scene.failed[0]}")["status"] == "FAILED")
    assert counts(scene.admin) == {"total": 7, "completed": 3, "failed": 3} | live | {"cancelled": 1}
    assert counts(scene.bob)["failed"] == 2


def test_failures_are_grouped_and_a_group_is_retried(scene: Scene) -> None:
    for window in WINDOWS:
        found = get(scene.admin, f"/api/failures?window={window}")
        assert (found["count"], found["attempts"], len(found["groups"])) == (3, 4, 2)
        assert found["lastAt"] <= found["asOf"]
    bad, down = found["groups"]
    assert (bad["type"], bad["outcome"], bad["httpStatus"], bad["count"]) == ("bad", "failed", 422, 2)
    assert bad["error"].endswith("width … must be a multiple of …")
    assert bad["advice"] == {"code": "fix_task", "params": {"status": 422}}
    assert (bad["samples"], sum(bad["trend"])) == (sorted(scene.failed, reverse=True), 2)
    assert bad["servers"] == [{"id": "gpu-1", "count": 2}]
    assert (down["count"], down["attempts"]) == (1, 2)
    assert down["error"].endswith("no room for … bytes at …")
    assert down["advice"]["code"] == "open_one", "of a single server nothing is said"
    assert [group["id"] for group in get(scene.ann, "/api/failures")["groups"]] == [down["id"]]
    assert [group["id"] for group in get(scene.bob, "/api/failures")["groups"]] == [bad["id"]]
    listed = get(scene.admin, f"/api/tasks?failureGroup={bad['id']}")["tasks"]
    assert [task["id"] for task in listed] == sorted(scene.failed, reverse=True)
    assert get(scene.ann, f"/api/tasks?failureGroup={bad['id']}")["tasks"] == []

    dry = scene.bob.post("/api/tasks/retry", json={"group": bad["id"], "dryRun": True}).json()
    assert (dry["matched"], dry["changed"], dry["byStatus"]) == (2, 2, {"FAILED": 2})
    assert scene.ann.post("/api/tasks/retry", json={"group": bad["id"]}).json()["matched"] == 0
    done = scene.bob.post("/api/tasks/retry", json={"group": bad["id"]}).json()
    assert (done["matched"], done["changed"], done["bulkId"]) == (2, 2, None)
    eventually(lambda: get(scene.bob, "/api/failures")["count"] == 4)
    assert len(get(scene.bob, "/api/failures")["groups"]) == 1
    noted = get(scene.admin, "/api/audit?action=bulk.")["entries"]
    assert [(entry["who"], entry["action"], entry["details"]) for entry in noted] == [
        ("bob", "bulk.retry", f"group {bad['id']}"),
        ("ann", "bulk.retry", f"group {bad['id']}"),
    ]


def test_facets_are_what_the_caller_may_see(scene: Scene) -> None:
    def values(client: httpx.Client, query: str) -> list[str]:
        found: list[str] = get(client, f"/api/facets?field={query}")["values"]
        return found

    assert values(scene.admin, "type") == ["bad", "down", "good"]
    assert values(scene.ann, "type") == ["down", "good"]
    assert values(scene.bob, "type&prefix=b") == ["bad"]
    assert values(scene.ann, "tag&prefix=run-") == ["run-0", "run-1", "run-2"]
    assert get(scene.ann, "/api/facets?field=tag&limit=2") == {
        "field": "tag",
        "values": ["night", "run-0"],
        "more": True,
    }
    assert values(scene.bob, "tag") == []
    assert values(scene.admin, "owner") == ["ann", "bob"]
    assert values(scene.bob, "owner") == ["bob"]
    assert (values(scene.bob, "server"), values(scene.bob, "capability")) == (["gpu-1"], ["ocr"])
    assert values(scene.bob, "status&prefix=F") == ["FAILED"]
    refused(scene.bob.get("/api/facets?field=payload"), 400, "field")


def test_a_server_has_its_history(scene: Scene) -> None:
    history = get(scene.bob, "/api/servers/gpu-1/history?window=5m")
    assert (history["status"], history["strip"][-1], len(history["strip"])) == ("online", "o", 60)
    assert history["strip"][0] == "-"
    assert [change["status"] for change in history["changes"]] == ["online", "initializing"]
    assert {outcome["type"]: outcome["completed"] for outcome in history["outcomes"]} == {
        "good": 3,
        "bad": 0,
        "down": 0,
    }
    assert {outcome["type"]: outcome["failed"] for outcome in history["outcomes"]} == {"good": 0, "bad": 2, "down": 2}
    assert history["share"] == {"picks": 7, "allPicks": 7, "share": 1.0, "weight": 1, "expected": 1.0}
    fleet = get(scene.bob, "/api/fleet?window=5m")
    assert {len(column) for column in fleet.values() if isinstance(column, list)} == {1}
    assert (fleet["picks"], fleet["completed"], fleet["failed"]) == ([7], [3], [4])
    refused(scene.bob.get("/api/servers/none/history"), 404)
    scene.backend.health = (500, {})
    for _ in range(3):
        scene.admin.post("/api/servers/gpu-1/check")
    assert get(scene.bob, "/api/servers/gpu-1/history?window=5m")["strip"][-1] == "x"
    assert [change["reason"] for change in get(scene.bob, "/api/servers/gpu-1/history")["changes"]] == [None] * 4
    offline = next(one for one in get(scene.admin, "/api/overview")["attention"] if one["code"] == "server_offline")
    assert offline["params"]["server"] == "gpu-1"
    assert offline["params"]["error"]
    assert offline["since"] is not None
    assert [action["code"] for action in offline["actions"]] == ["check_now", "open_server"]
    shown = next(one for one in get(scene.bob, "/api/overview")["attention"] if one["code"] == "server_offline")
    assert "error" not in shown["params"]
    assert [action["method"] for action in shown["actions"]] == ["GET"]


def test_what_needs_a_person_says_what_to_do(scene: Scene) -> None:
    (lane,) = (one for one in get(scene.admin, "/api/overview")["attention"] if one["code"] == "lane_unserved")
    assert (lane["params"]["lane"]["capabilities"], lane["params"]["reason"]) == (["8k"], "no_capability")
    (action,) = lane["actions"]
    endpoints = scene.backend.endpoints | {"predict": scene.backend.endpoints["predict"] + "/two"}
    body = action["body"] | {"name": "two", "endpoints": endpoints}
    assert scene.admin.request(action["method"], action["path"], json=body).status_code == 200
    eventually(lambda: not [one for one in get(scene.admin, "/api/overview")["attention"] if "lane" in one["code"]])
    soon = httpx.Client(
        base_url=scene.yard.url, headers={"Authorization": f"Bearer {token('user', lifetime_ms=60_000)}"}
    )
    with soon:
        assert "sign_in_ends" in {one["code"] for one in get(soon, "/api/overview")["attention"]}


def test_settings_are_shown_with_their_source_and_no_secret(scene: Scene) -> None:
    answer = scene.admin.get("/api/settings")
    settings = {setting["name"]: setting for setting in answer.json()["settings"]}
    assert SECRET not in answer.text
    assert settings["jwt_secret"]["shown"] == "***"
    assert settings["audit_retention"]["value"] == 86_400_000
    assert (settings["audit_retention"]["shown"], settings["audit_retention"]["default"]) == ("1d", "90d")
    assert {setting["source"] for setting in settings.values()} <= {"default", "file", "environment", "flag"}


def test_the_audit_log_is_walked_by_pages(scene: Scene) -> None:
    for number in range(5):
        scene.admin.put("/api/loadbalancer/algorithm", json={"algorithm": ("random", "round-robin")[number % 2]})
    seen: list[str] = []
    cursor = ""
    while True:
        page = get(scene.admin, f"/api/audit?action=algorithm.&limit=2{cursor}")
        seen += [entry["target"] for entry in page["entries"]]
        if page["nextCursor"] is None:
            break
        cursor = f"&cursor={page['nextCursor']}"
    assert seen == ["random", "round-robin", "random", "round-robin", "random"]
    assert [entry["action"] for entry in get(scene.admin, "/api/audit?target=gpu-1")["entries"]] == ["server.register"]
    assert get(scene.admin, "/api/audit?who=nobody")["entries"] == []
    refused(scene.admin.get("/api/audit?cursor=AAAA"), 400, "cursor")


@pytest.mark.parametrize("path", ["/api/overview", "/api/failures", "/api/fleet"])
def test_other_windows_are_refused(yard: Yard, path: str) -> None:
    refused(yard.client("admin").get(f"{path}?window=2h"), 400, "window", "5m, 1h, 24h")
