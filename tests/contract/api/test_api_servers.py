"""API.md §7: the calls on servers. When checks run and what they lead to is tested with the health machine."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskyard.settings import Settings
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import PATIENCE_S, Backend, Yard, accept, eventually, fresh, refused

MEMBERS = {
    *("id", "name", "status", "registeredAt", "lastHeartbeat", "uptime", "timeSinceLastHeartbeat", "groups"),
    *("capabilities", "priority", "maxConcurrent", "activeTasks", "endpoints", "maintenanceReason", "health"),
}


def body(server: Backend, **members: Any) -> dict[str, Any]:
    return {"name": "s", "endpoints": server.endpoints} | members


def register(client: httpx.Client, server: Backend, **members: Any) -> str:
    answer = client.post("/api/servers", json=body(server, **members))
    assert answer.status_code == 200, answer.text
    server_id: str = answer.json()["serverId"]
    return server_id


@pytest.fixture
def server(backend: Callable[..., Backend]) -> Backend:
    return backend()


# --- registration ----------------------------------------------------------------------------------------------------


def test_registration(own_yard: Callable[..., Yard], server: Backend) -> None:
    service = own_yard().client("service")  # where no task of another test waits for a server
    answer = service.post("/api/servers", json=body(server)).json()
    assert answer.keys() == {"serverId", "message", "status"}
    assert (answer["message"], answer["status"]) == ("Server registered successfully", "online")
    shown = service.get(f"/api/servers/{answer['serverId']}").json()
    assert shown.keys() >= MEMBERS
    assert (shown["maxConcurrent"], shown["priority"], shown["groups"], shown["capabilities"]) == (10, 1, [], [])
    assert shown["endpoints"] == server.endpoints | {"metrics": None, "cancel": None}
    assert shown["lastHeartbeat"] == shown["registeredAt"]
    assert shown["health"].keys() == {"status", "lastHeartbeat", "lastCheck", "consecutiveFailures", "score"}
    assert (shown["health"]["status"], shown["health"]["score"], shown["activeTasks"]) == ("healthy", 100, 0)


def test_all_members(service: httpx.Client, server: Backend) -> None:
    given = {
        "id": f"gpu.1:a_b-{fresh('x')}",
        "name": "Größe 1",
        "endpoints": server.endpoints | {"metrics": f"{server.url}/m", "cancel": f"{server.url}/c"},
        "apiKey": "!key~" * 100,
        "capabilities": [fresh("c"), "chat"],
        "groups": ["g"],
        "maxConcurrent": 10_000,
        "priority": 0,
        "async": True,
    }
    server_id = service.post("/api/servers", json=given).json()["serverId"]
    assert server_id == given["id"]
    answer = service.get(f"/api/servers/{server_id}")
    shown = answer.json()
    assert {name: shown[name] for name in given if name != "apiKey"} == {
        n: v for n, v in given.items() if n != "apiKey"
    }
    assert "!key~" not in answer.text + service.get("/api/servers").text


def test_a_server_that_cannot_be_reached_is_registered_offline(service: httpx.Client) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    endpoints = {"predict": f"{url}/p", "health": f"{url}/h"}
    answer = service.post("/api/servers", json={"name": "s", "endpoints": endpoints})
    assert (answer.status_code, answer.json()["status"]) == (200, "offline")


def test_an_unhealthy_server_is_offline_at_first(service: httpx.Client, server: Backend) -> None:
    server.health = (200, {"status": "starting"})
    assert service.post("/api/servers", json=body(server)).json()["status"] == "offline"


def test_registration_waits_a_second_at_most(own_yard: Callable[..., Yard], server: Backend) -> None:
    assert Settings().registration_wait == 1000
    service = own_yard(registration_wait=1000).client("service")
    server.hold_health = threading.Event()
    began = time.monotonic()
    answer = service.post("/api/servers", json=body(server)).json()
    assert answer["status"] == "initializing"
    assert time.monotonic() - began > 0.9
    server.hold_health.set()
    path = f"/api/servers/{answer['serverId']}"
    assert eventually(lambda: service.get(path).json()["status"] == "online")


WRONG: list[tuple[str, Any]] = [
    ("name", None),
    ("name", ""),
    ("name", "x" * 129),
    ("name", "a\0b"),
    ("endpoints", None),
    ("endpoints", {"predict": "http://127.0.0.1:1/"}),
    ("endpoints", {"health": "http://127.0.0.1:1/"}),
    ("id", "with space"),
    ("id", "x" * 129),
    ("id", "a/b"),
    ("id", "a\n"),
    ("apiKey", ""),
    ("apiKey", "a b"),
    ("apiKey", "a\r\nX-Evil: 1"),
    ("apiKey", "ключ"),
    ("apiKey", "x" * 513),
    ("capabilities", ["a\0b"]),
    ("capabilities", ["x"] * 33),
    ("groups", "g"),
    ("maxConcurrent", 0),
    ("maxConcurrent", 10_001),
    ("priority", -1),
    ("priority", 11),
    ("async", "yes"),
]


@pytest.mark.parametrize(("member", "value"), WRONG)
def test_a_wrong_member_is_named(service: httpx.Client, server: Backend, member: str, value: Any) -> None:
    refused(service.post("/api/servers", json=body(server, **{member: value})), 400, member)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://127.0.0.1/",
        "127.0.0.1:80",
        "http://",
        "http://user:pw@127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://127.0.0.1/#fragment",
        "http://127.0.0.1:99999/",
        "http://127.0.0.1/a b",
        "http://127.0.0.1/\n",
        "http://ü.example/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://169.254.169.254/latest",
        "http://[fe80::1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[64:ff9b::a9fe:a9fe]/",
        "http://0.0.0.0/",
        "http://224.0.0.1/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://127.0.0.1/" + "x" * 2048,
        5,
    ],
)
@pytest.mark.parametrize("member", ["predict", "health", "metrics", "cancel"])
def test_a_denied_or_malformed_url_is_named(service: httpx.Client, server: Backend, member: str, url: Any) -> None:
    given = body(server, endpoints=server.endpoints | {member: url})
    refused(service.post("/api/servers", json=given), 400, f"endpoints.{member}")
    known = register(service, server)
    refused(service.patch(f"/api/servers/{known}", json={"endpoints": {member: url}}), 400, f"endpoints.{member}")


def test_the_nodes_own_address_is_denied(yard: Yard, service: httpx.Client, server: Backend) -> None:
    given = body(server, endpoints=server.endpoints | {"predict": f"{yard.url}/api/task"})
    refused(service.post("/api/servers", json=given), 400, "endpoints.predict")


def test_endpoint_allow_narrows(own_yard: Callable[..., Yard], server: Backend) -> None:
    client = own_yard(endpoint_allow=("192.0.2.0/24",)).client("service")
    refused(client.post("/api/servers", json=body(server)), 400, "endpoints.predict")


def test_a_known_id_or_predict_updates_and_keeps_the_statistics(
    yard: Yard, direct: Crew, user: httpx.Client, admin: httpx.Client
) -> None:
    user.post("/api/task", json=direct.submission(**{"async": False}))
    before = admin.get(f"/api/servers/{direct.server_id}").json()
    again = direct.service.post("/api/servers", json=body(direct.backend, name="renamed", maxConcurrent=3)).json()
    assert again["serverId"] == direct.server_id
    named = body(direct.backend, id=direct.server_id, name="by id")
    assert admin.post("/api/servers", json=named).json()["serverId"] == direct.server_id
    shown = admin.get(f"/api/servers/{direct.server_id}").json()
    assert (shown["name"], shown["maxConcurrent"], shown["registeredAt"]) == ("by id", 3, before["registeredAt"])
    assert admin.get(f"/api/servers/{direct.server_id}/metrics").json()["tasksProcessed"] == 1


def test_a_new_origin_without_a_key_drops_the_old_one(
    service: httpx.Client, backend: Callable[..., Backend], yard: Yard, user: httpx.Client
) -> None:
    one, two = backend(accept), backend(accept)
    skill = fresh("skill")
    server_id = register(service, one, apiKey="first-key", capabilities=[skill])
    task = {"type": "t", "payload": {}, "capabilities": [skill]}
    one.task(user.post("/api/task", json=task).json()["id"])
    assert one.heads[0]["authorization"] == "Bearer first-key"
    same = service.patch(f"/api/servers/{server_id}", json={"endpoints": {"predict": f"{one.url}/other"}})
    assert "warnings" not in same.json()
    moved = service.patch(f"/api/servers/{server_id}", json={"endpoints": two.endpoints})
    assert "apiKey" in moved.json()["warnings"][0]
    two.task(user.post("/api/task", json=task).json()["id"])
    assert "authorization" not in two.heads[0]
    back = service.patch(f"/api/servers/{server_id}", json={"endpoints": one.endpoints, "apiKey": "second"})
    assert "warnings" not in back.json()
    one.task(user.post("/api/task", json=task).json()["id"])
    assert one.heads[-1]["authorization"] == "Bearer second"


# Whatever that name may stand for, the node connects to this machine alone.
ELSEWHERE = {"predict": "http://far.invalid/p", "health": "http://far.invalid/h"}
HERE = ("127.0.0.0/8", "::1")


def test_a_loopback_public_url_with_a_server_elsewhere_is_a_warning(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(endpoint_allow=HERE).client("service")
    answer = client.post("/api/servers", json={"name": "far", "endpoints": ELSEWHERE}).json()
    assert "PUBLIC_URL" in answer["warnings"][0]


def test_no_warning_with_a_public_url(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(public_url="http://192.0.2.9:8787", endpoint_allow=HERE).client("service")
    assert "warnings" not in client.post("/api/servers", json={"name": "far", "endpoints": ELSEWHERE}).json()


def test_capabilities_are_learned_only_when_none_were_given(
    service: httpx.Client, backend: Callable[..., Backend]
) -> None:
    told, silent = backend(), backend()
    for made in (told, silent):
        made.health = (200, {"status": "healthy", "capabilities": ["learned"]})
    ids = register(service, told, capabilities=["mine"]), register(service, silent)
    assert [service.get(f"/api/servers/{server_id}").json()["capabilities"] for server_id in ids] == [
        ["mine"],
        ["learned"],
    ]


# --- list, show, change, remove --------------------------------------------------------------------------------------


def test_the_list_and_its_filters(service: httpx.Client, backend: Callable[..., Backend]) -> None:
    group, skill = fresh("g"), fresh("c")
    one = register(service, backend(), groups=[group], capabilities=[skill, "x"])
    two = register(service, backend(), groups=[group])
    service.post(f"/api/servers/{two}/maintenance", json={"maintenance": True})

    def ids(query: str) -> set[str]:
        return {entry["id"] for entry in service.get(f"/api/servers?{query}").json()["servers"]}

    assert ids("") >= {one, two}
    assert ids(f"group={group}") == {one, two}
    assert ids(f"capability={skill}") == {one}
    assert ids(f"group={group}&status=maintenance") == {two}
    assert ids(f"group={group}&status=online") == {one}
    refused(service.get("/api/servers?status=happy"), 400, "status", "online")


def test_patch_changes_what_it_names(service: httpx.Client, server: Backend) -> None:
    server_id = register(service, server, capabilities=["a"], groups=["g"], maxConcurrent=5)
    path = f"/api/servers/{server_id}"
    before = service.get(path).json()
    answer = service.patch(path, json={"maxConcurrent": 7.0, "priority": 4, "name": None, "zzz": 1})
    assert answer.json()["warnings"] == ["unknown member zzz"]
    shown = service.get(path).json()
    assert (shown["maxConcurrent"], shown["priority"]) == (7, 4)
    for name in ("name", "capabilities", "groups", "endpoints", "registeredAt"):
        assert shown[name] == before[name] == answer.json()[name]
    refused(service.patch(path, json={"maxConcurrent": 0}), 400, "maxConcurrent")
    assert service.patch(path, json={}).status_code == 200


@pytest.mark.parametrize("server_id", ["none", "x" * 200, "a%20b", "%00", "ü"])
def test_unknown_servers_are_404(admin: httpx.Client, server_id: str) -> None:
    calls = (
        ("GET", "", None),
        ("PATCH", "", {}),
        ("DELETE", "", None),
        ("POST", "/check", None),
        ("POST", "/heartbeat", {}),
        ("POST", "/maintenance", {"enabled": True}),
        ("GET", "/metrics", None),
    )
    for method, rest, given in calls:
        refused(admin.request(method, f"/api/servers/{server_id}{rest}", json=given), 404, "not found")
    refused(admin.get(f"/api/stats/servers/{server_id}"), 404, "not found")


def test_removal(accepting: Crew, user: httpx.Client, admin: httpx.Client) -> None:
    task_id = user.post("/api/task", json=accepting.submission()).json()["id"]
    sent = accepting.backend.task(task_id)
    path = f"/api/servers/{accepting.server_id}"
    answer = accepting.service.delete(path)
    assert answer.json() == {"message": "Server unregistered", "serverId": accepting.server_id, "success": True}
    listed = admin.get("/api/servers").json()["servers"]
    assert accepting.server_id not in {entry["id"] for entry in listed}
    draining = admin.get("/api/servers?status=draining").json()["servers"]
    assert accepting.server_id in {entry["id"] for entry in draining}
    # What runs may end; nothing new begins.
    other = user.post("/api/task", json=accepting.submission()).json()["id"]
    assert httpx.put(sent["callback_url"], json={"status": "COMPLETED"}, timeout=PATIENCE_S).status_code == 200
    assert user.get(f"/api/task/{task_id}").json()["status"] == "COMPLETED"
    assert user.get(f"/api/task/{other}").json()["status"] == "PENDING"


def test_registering_again_ends_the_drain(accepting: Crew, user: httpx.Client, admin: httpx.Client) -> None:
    accepting.backend.task(user.post("/api/task", json=accepting.submission()).json()["id"])
    accepting.service.delete(f"/api/servers/{accepting.server_id}")
    again = body(accepting.backend, id=accepting.server_id, capabilities=[accepting.skill])
    assert accepting.service.post("/api/servers", json=again).json()["status"] == "online"
    accepting.backend.task(user.post("/api/task", json=accepting.submission()).json()["id"])
    assert admin.get(f"/api/servers/{accepting.server_id}").json()["activeTasks"] == 2


def test_an_idle_server_is_gone_at_once(direct: Crew, admin: httpx.Client) -> None:
    direct.service.delete(f"/api/servers/{direct.server_id}")
    refused(admin.get(f"/api/servers/{direct.server_id}"), 404, "not found")
    refused(direct.service.delete(f"/api/servers/{direct.server_id}"), 404, "not found")


# --- check, heartbeat, maintenance, metrics --------------------------------------------------------------------------


def test_a_check_now(service: httpx.Client, server: Backend) -> None:
    server_id = register(service, server)
    checks = server.checks
    good = service.post(f"/api/servers/{server_id}/check").json()
    assert server.checks == checks + 1
    assert (good["serverId"], good["passed"], good["error"], good["status"]) == (server_id, True, None, "online")
    server.health = (503, {})
    bad = service.post(f"/api/servers/{server_id}/check").json()
    assert (bad["passed"], bad["status"], bad["health"]["status"]) == (False, "degraded", "unhealthy")
    assert "503" in bad["error"]
    server.health = (200, {"status": "healthy", "serverId": "another"})
    other = service.post(f"/api/servers/{server_id}/check").json()
    assert other["passed"] is False
    assert "another" in other["error"] or "serverId" in other["error"]


def test_heartbeats(service: httpx.Client, server: Backend) -> None:
    server_id = register(service, server)
    path = f"/api/servers/{server_id}"
    before = service.get(path).json()
    answer = service.post(f"{path}/heartbeat", json={"status": "healthy", "activeTasks": 7, "metrics": {"gpu": 0.5}})
    assert answer.json() == {"success": True, "message": "Heartbeat updated successfully"}
    shown = service.get(path).json()
    assert shown["lastHeartbeat"] > before["lastHeartbeat"]
    assert shown["health"]["lastHeartbeat"] == shown["lastHeartbeat"]
    assert shown["timeSinceLastHeartbeat"] < 5000
    assert (shown["reportedActiveTasks"], shown["activeTasks"]) == (7, 0)
    assert service.post(f"{path}/heartbeat").status_code == 200
    service.post(f"{path}/check")
    assert service.get(path).json()["lastHeartbeat"] >= shown["lastHeartbeat"]


def test_heartbeat_words(service: httpx.Client, server: Backend) -> None:
    server_id = register(service, server)
    path = f"/api/servers/{server_id}"

    def after(word: str) -> str:
        assert service.post(f"{path}/heartbeat", json={"status": word}).status_code == 200
        status: str = service.get(path).json()["status"]
        return status

    assert after("unhealthy") == "degraded"
    assert after("unhealthy") == "degraded"
    assert after("unhealthy") == "offline"
    assert [after("healthy") for _ in range(3)] == ["offline", "offline", "online"]
    assert after("DRAINING") == "draining"
    service.post(f"{path}/check")
    assert service.get(path).json()["status"] == "draining"
    assert after("healthy") == "online"


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("status", "busy"),
        ("status", 5),
        ("activeTasks", -1),
        ("activeTasks", "x"),
        ("metrics", []),
        ("metrics", {"a": "x" * 17_000}),
    ],
)
def test_wrong_heartbeats(direct: Crew, member: str, value: Any) -> None:
    refused(direct.service.post(f"/api/servers/{direct.server_id}/heartbeat", json={member: value}), 400, member)


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("member", ["maintenance", "enabled"])
def test_maintenance(direct: Crew, user: httpx.Client, method: str, member: str) -> None:
    path = f"/api/servers/{direct.server_id}"
    into = direct.service.request(method, f"{path}/maintenance", json={member: True, "reason": "disks"})
    assert into.json()["success"] is True
    assert into.json()["message"].startswith("Maintenance mode enabled")
    shown = direct.service.get(path).json()
    assert (shown["status"], shown["maintenanceReason"]) == ("maintenance", "disks")
    task_id = user.post("/api/task", json=direct.submission()).json()["id"]
    assert user.get(f"/api/task/{task_id}").json()["status"] == "PENDING"
    out = direct.service.request(method, f"{path}/maintenance", json={member: False})
    assert out.json()["message"].startswith("Maintenance mode disabled")
    shown = direct.service.get(path).json()
    assert (shown["status"], shown["maintenanceReason"]) == ("online", None)
    assert eventually(lambda: user.get(f"/api/task/{task_id}").json()["status"] == "COMPLETED")


@pytest.mark.parametrize(
    "given", [{}, {"maintenance": None}, {"maintenance": "yes"}, {"maintenance": True, "enabled": True}]
)
def test_wrong_maintenance(direct: Crew, given: dict[str, Any]) -> None:
    refused(direct.service.post(f"/api/servers/{direct.server_id}/maintenance", json=given), 400, "maintenance")


def test_metrics(crew: Callable[..., Crew], user: httpx.Client) -> None:
    answers = [(200, {"status": "success"}), (200, {"status": "success"}), (422, {"error": "x"})]
    made = crew(lambda _: answers.pop(0))
    for _ in range(3):
        user.post("/api/task", json=made.submission(**{"async": False}))
    shown = user.get(f"/api/servers/{made.server_id}/metrics").json()
    inner = shown["metrics"]
    assert inner.keys() == {
        *("uptime", "tasksProcessed", "successCount", "failureCount", "successRate", "averageProcessingTime"),
        *("averageResponseTime", "currentLoad", "activeTasks", "healthScore", "maxCapacity"),
    }
    assert {name: shown[name] for name in inner} == inner
    assert (shown["serverId"], shown["status"], shown["healthy"]) == (made.server_id, "online", True)
    assert (inner["tasksProcessed"], inner["successCount"], inner["failureCount"]) == (3, 2, 1)
    assert inner["successRate"] == pytest.approx(0.6667)
    assert (inner["maxCapacity"], inner["activeTasks"], inner["currentLoad"]) == (10, 0, 0)
    assert inner["uptime"] > 0
    assert inner["averageProcessingTime"] >= 0


def test_load_while_a_task_runs(accepting: Crew, user: httpx.Client) -> None:
    accepting.backend.task(user.post("/api/task", json=accepting.submission()).json()["id"])
    shown = user.get(f"/api/servers/{accepting.server_id}/metrics").json()
    assert (shown["activeTasks"], shown["currentLoad"]) == (1, 0.1)
