"""API.md §2: who may do what."""

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest

from taskyard.api.app import TABLE
from taskyard.api.operation import ADMINS, ANYONE, SERVICES, USERS, Operation
from tests.contract.api.conftest import Crew
from tests.contract.api.yard import SECRET, SERVICE_SECRET, Yard, eventually, fresh, refused, token

# Who may call what, from the table of roles: the operations' own declarations are checked against it.
EXPECTED = {
    ("POST", "/api/task"): USERS,
    ("POST", "/api/tasks"): USERS,
    ("GET", "/api/task/{id}"): USERS,
    ("GET", "/api/task/{id}/result"): USERS,
    ("GET", "/api/task/{id}/why"): USERS,
    ("GET", "/api/task/{id}/events"): USERS,
    ("GET", "/ws"): USERS,
    ("GET", "/api/tasks"): USERS,
    ("PUT", "/api/task/{id}"): ANYONE,
    ("POST", "/api/task/{id}/retry"): USERS,
    ("POST", "/api/task/{id}/cancel"): USERS,
    ("DELETE", "/api/task/{id}"): USERS,
    ("POST", "/api/task/{id}/purge"): USERS,
    ("POST", "/api/tasks/retry"): USERS,
    ("POST", "/api/tasks/cancel"): USERS,
    ("GET", "/api/bulk/{id}"): USERS,
    ("DELETE", "/api/bulk/{id}"): USERS,
    ("PUT", "/api/task/{id}/callback/{attempt}-{proof}"): None,
    ("POST", "/api/servers"): SERVICES,
    ("GET", "/api/servers"): ANYONE,
    ("GET", "/api/servers/{id}"): ANYONE,
    ("PATCH", "/api/servers/{id}"): SERVICES,
    ("DELETE", "/api/servers/{id}"): SERVICES,
    ("POST", "/api/servers/{id}/heartbeat"): SERVICES,
    ("POST", "/api/servers/{id}/maintenance"): SERVICES,
    ("POST", "/api/servers/{id}/check"): SERVICES,
    ("GET", "/api/servers/{id}/metrics"): ANYONE,
    ("GET", "/api/servers/{id}/history"): ANYONE,
    ("GET", "/api/fleet"): ANYONE,
    ("GET", "/api/lanes"): ANYONE,
    ("GET", "/api/events"): ANYONE,
    ("GET", "/api/overview"): ANYONE,
    ("GET", "/api/failures"): USERS,
    ("GET", "/api/facets"): USERS,
    ("GET", "/api/settings"): ADMINS,
    ("GET", "/api/audit"): ADMINS,
    ("GET", "/api/nodes"): ADMINS,
    ("GET", "/api/stats"): ANYONE,
    ("GET", "/api/stats/hourly"): ANYONE,
    ("GET", "/api/stats/servers/{id}"): ANYONE,
    ("GET", "/api/loadbalancer/status"): ANYONE,
    ("PUT", "/api/loadbalancer/algorithm"): ADMINS,
    ("POST", "/api/stats/load-balancer/algorithm"): ADMINS,
    ("POST", "/api/backup"): ADMINS,
    ("GET", "/api/backup"): ADMINS,
    ("DELETE", "/api/backup"): ADMINS,
}


def test_every_operation_has_its_row() -> None:
    assert {(operation.method, operation.path) for operation in TABLE} == set(EXPECTED)


@pytest.mark.parametrize("operation", TABLE, ids=lambda operation: f"{operation.method} {operation.path}")
@pytest.mark.parametrize("role", ["user", "service", "admin"])
def test_each_role_may_call_what_it_may(yard: Yard, operation: Operation, role: str) -> None:
    allowed = EXPECTED[operation.method, operation.path]
    for path in (operation.path, *operation.aliases):
        path = path.replace("{id}", "none").replace("{attempt}", "1").replace("{proof}", "p" * 24)
        for method in (operation.method, *operation.also):
            endless = operation.media == "text/event-stream"
            answer = yard.client(role).request("HEAD" if endless else method, path)
            if allowed is None or role in allowed:
                assert answer.status_code != 403, answer.text
            else:
                said = refused(answer, 403)
                assert said["error"] == "Forbidden: Admin role required"
                assert said["details"].startswith("the role admin may make this call")
                assert all(other in said["details"] for other in allowed)
                assert said["details"].endswith(f"the token has only {role}")
            if allowed is not None:
                refused(yard.client().request(method, path), 401, "Unauthorized")


def test_roles_add_up(yard: Yard) -> None:
    both = yard.client("user", "service")
    assert both.get("/api/tasks").status_code == 200
    refused(both.post("/api/servers", json={}), 400)
    refused(both.put("/api/loadbalancer/algorithm", json={"algorithm": "random"}), 403)


def _part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def claims(**more: Any) -> dict[str, Any]:
    return {"sub": "ann", "exp": int(time.time()) + 600, "roles": ["user"]} | more


# Made when they are needed: those that are wrong in one way alone must not expire before.
BAD: dict[str, Callable[[], str]] = {
    "a word": lambda: "x",
    "three words": lambda: "a.b.c",
    "a long word": lambda: "x" * 10_000,
    "unsigned": lambda: f"{_part({'alg': 'none'})}.{_part(claims())}.",
    "another secret": lambda: jwt.encode(claims(), "another secret, also long enough for HS256", "HS256"),
    "another algorithm": lambda: jwt.encode(claims(), SECRET, "HS512"),
    "expired": lambda: jwt.encode(claims(exp=int(time.time()) - 60), SECRET, "HS256"),
    "no sub": lambda: jwt.encode({"exp": 9_999_999_999, "roles": ["user"]}, SECRET, "HS256"),
    "no exp": lambda: jwt.encode({"sub": "ann", "roles": ["user"]}, SECRET, "HS256"),
    "a role in place of roles": lambda: jwt.encode(claims(roles="admin"), SECRET, "HS256"),
    "a number among roles": lambda: jwt.encode(claims(roles=["user", 1]), SECRET, "HS256"),
    "no roles": lambda: jwt.encode(claims(roles=None), SECRET, "HS256"),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_token_is_401(yard: Yard, kind: str) -> None:
    answer = yard.client().get("/api/tasks", headers={"Authorization": f"Bearer {BAD[kind]()}"})
    refused(answer, 401, "Unauthorized")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("value", ["", "Bearer", "Basic YTpi", token("user")])
def test_another_scheme_is_401(yard: Yard, value: str) -> None:
    refused(yard.client().get("/api/tasks", headers={"Authorization": value}), 401, "Unauthorized")


def test_a_token_within_the_leeway_and_any_case_of_bearer_is_good(yard: Yard) -> None:
    late = jwt.encode(claims(exp=int(time.time()) - 20), SECRET, "HS256")
    assert yard.client().get("/api/tasks", headers={"Authorization": f"bearer {late}"}).status_code == 200


def test_a_token_without_a_known_role_is_403(yard: Yard) -> None:
    bearer = jwt.encode(claims(roles=["owner", "administrator"]), SECRET, "HS256")
    refused(yard.client().get("/api/tasks", headers={"Authorization": f"Bearer {bearer}"}), 403)
    mixed = jwt.encode(claims(roles=["owner", "user"]), SECRET, "HS256")
    assert yard.client().get("/api/tasks", headers={"Authorization": f"Bearer {mixed}"}).status_code == 200


def test_the_service_secret_signs_only_services(yard: Yard) -> None:
    bearer = jwt.encode(claims(roles=["admin", "service"]), SERVICE_SECRET, "HS256")
    client = yard.client(headers={"Authorization": f"Bearer {bearer}"})
    assert client.get("/api/servers").status_code == 200
    refused(client.get("/api/tasks"), 403)
    only_admin = jwt.encode(claims(roles=["admin"]), SERVICE_SECRET, "HS256")
    refused(yard.client().get("/api/servers", headers={"Authorization": f"Bearer {only_admin}"}), 403)


def test_what_needs_no_token(yard: Yard) -> None:
    for path in ("/", "/health", "/ready", "/docs", "/openapi.json", "/metrics"):
        assert yard.client().get(path).status_code == 200


def test_anothers_task_is_as_if_it_did_not_exist(yard: Yard, user: httpx.Client, admin: httpx.Client) -> None:
    task_id = user.post("/api/task", json={"type": "t", "payload": {}, "capabilities": ["nobody"]}).json()["id"]
    other = yard.client("user", sub=fresh("other"))
    calls = (
        ("GET", ""),
        ("GET", "?wait=10"),
        ("GET", "/result"),
        ("POST", "/retry"),
        ("POST", "/cancel"),
        ("DELETE", ""),
        ("POST", "/purge"),
    )
    for method, rest in calls:
        shown = refused(other.request(method, f"/api/task/{task_id}{rest}"), 404, "not found")
        nothing = refused(other.request(method, f"/api/task/task_none{rest}"), 404, "not found")
        assert shown["error"] == nothing["error"]
        assert shown["details"].replace(task_id, "task_none") == nothing["details"]
    refused(other.put(f"/api/task/{task_id}", json={"status": "CANCELLED"}), 404)
    assert other.get("/api/tasks").json()["tasks"] == []
    assert other.get(f"/api/tasks?q={task_id}").json()["tasks"] == []
    assert other.post("/api/tasks/cancel", json={"ids": [task_id]}).json()["matched"] == 0
    assert admin.get(f"/api/task/{task_id}").json()["status"] == "PENDING"
    assert admin.post(f"/api/task/{task_id}/cancel").status_code == 200


def test_only_an_admin_may_name_an_owner(yard: Yard, user: httpx.Client, admin: httpx.Client) -> None:
    task = user.post("/api/task", json={"type": "t", "payload": {}}).json()["id"]
    owner = user.get(f"/api/task/{task}").json()["owner"]
    assert [row["id"] for row in admin.get(f"/api/tasks?owner={owner}").json()["tasks"]] == [task]
    assert len(user.get(f"/api/tasks?owner={owner}").json()["tasks"]) == 1
    refused(user.get("/api/tasks?owner=somebody"), 403)


def test_services_change_only_what_they_registered(yard: Yard, direct: Crew, admin: httpx.Client) -> None:
    other = yard.client("service", sub=fresh("service"))
    path = f"/api/servers/{direct.server_id}"
    calls: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("POST", "/heartbeat", {"status": "healthy"}),
        ("POST", "/maintenance", {"maintenance": True}),
        ("PATCH", "", {"name": "mine"}),
        ("POST", "/check", {}),
    )
    for method, rest, body in calls:
        refused(other.request(method, path + rest, json=body), 403)
        assert direct.service.request(method, path + rest, json=body).status_code == 200
        assert admin.request(method, path + rest, json=body).status_code == 200
    refused(other.post("/api/servers", json={"name": "n", "endpoints": direct.backend.endpoints}), 403)
    refused(other.delete(path), 403)
    assert other.get(path).status_code == 200


def test_users_see_no_endpoints(user: httpx.Client, direct: Crew, admin: httpx.Client) -> None:
    path = f"/api/servers/{direct.server_id}"
    assert user.get(path).json()["endpoints"] is None
    assert direct.backend.url not in user.get("/api/servers").text
    for client in (admin, direct.service):
        assert client.get(path).json()["endpoints"]["predict"] == direct.backend.endpoints["predict"]


def test_an_expired_token_is_refused_also_when_it_was_seen_before(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    # The leeway is 30 s: each of these is good for some seconds more, as many as this machine needs to be heard.
    for good_for_s in (2, 4, 8, 16, 30):
        bearer = jwt.encode(claims(exp=int(time.time()) - 30 + good_for_s), SECRET, "HS256")
        client = yard.client(headers={"Authorization": f"Bearer {bearer}"})
        if client.get("/api/tasks").status_code == 200:
            break
    else:
        raise AssertionError("none was taken in time")
    assert eventually(lambda: client.get("/api/tasks").status_code == 401)
