"""Members, parameters, ids, tokens and addresses of the wrong kind: each refusal names what is wrong."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import jwt
import pytest

from tests.contract.badinput.conftest import Attacked
from tests.contract.badinput.refusals import refused
from tests.support.nodes import SECRET, token

SAMPLES: dict[str, list[Any]] = {
    "string": ["", "x", "1"],
    "integer": [0, 1, -1, 2**63, 10**30],
    "number": [1.5, -0.1, 1e308],
    "boolean": [True, False],
    "array": [[], [1], [[]], [None]],
    "object": [{}, {"a": 1}],
}
# Calls with a body, the operation of the document, and what the body needs beside the member under test.
CALLS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "task": ("POST", "/api/task", {"type": "t", "payload": {}}),
    "tasks": ("POST", "/api/tasks", {"tasks": [{"type": "t", "payload": {}}]}),
    "word": ("PUT", "/api/task/{id}", {"status": "CANCELLED"}),
    "retry": ("POST", "/api/tasks/retry", {"ids": ["x"]}),
    "cancel": ("POST", "/api/tasks/cancel", {"ids": ["x"]}),
    "server": ("POST", "/api/servers", {"name": "s", "endpoints": {"predict": "http://h/p", "health": "http://h/h"}}),
    "patch": ("PATCH", "/api/servers/{id}", {}),
    "heartbeat": ("POST", "/api/servers/{id}/heartbeat", {}),
    "maintenance": ("POST", "/api/servers/{id}/maintenance", {"maintenance": False}),
    "algorithm": ("PUT", "/api/loadbalancer/algorithm", {"algorithm": "random"}),
}


def _kinds(schema: dict[str, Any], components: dict[str, Any]) -> set[str]:
    """The JSON types that a schema allows; none said means all."""
    if "$ref" in schema:
        return _kinds(components[schema["$ref"].rsplit("/", 1)[1]], components)
    if "anyOf" in schema:
        return set().union(*(_kinds(choice, components) for choice in schema["anyOf"]))
    kinds = schema.get("type", [*SAMPLES, "null"])
    return set([kinds] if isinstance(kinds, str) else kinds)


@pytest.mark.parametrize("call", CALLS)
def test_a_member_of_the_wrong_type_is_named(admin: httpx.Client, call: str) -> None:
    method, path, good = CALLS[call]
    document = admin.get("/openapi.json").json()
    components = document["components"]["schemas"]
    body_schema = document["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    members = components[body_schema["$ref"].rsplit("/", 1)[1]]["properties"]
    tried = 0
    for name, schema in members.items():
        kinds = _kinds(schema, components)
        if "integer" in kinds or "number" in kinds:
            kinds |= {"integer", "number"}  # of those only the range is wrong: see below
        for kind, values in SAMPLES.items():
            if kind in kinds:
                continue
            for value in values:
                tried += 1
                answer = admin.request(method, path.replace("{id}", "nobody"), json=good | {name: value})
                refused(answer, 400, name)
    assert tried > 3


WRONG: list[tuple[str, Any]] = [
    ("type", ""),
    ("type", "x" * 129),
    ("payload", None),
    ("priority", 11),
    ("priority", -1),
    ("priority", 1.5),
    ("priority", 10**400),
    ("capabilities", ["x"] * 33),
    ("capabilities", [""]),
    ("capabilities", [None]),
    ("capabilities", ["x" * 129]),
    ("group", ""),
    ("serverId", "no such id!"),
    ("serverId", "x" * 129),
    ("wait", -1),
    ("runAt", -1),
    ("runAt", 2**53),
    ("runAt", 1e300),
    ("delay", -5),
    ("delay", 2**53),
    ("timeout", 0),
    ("timeout", 10**15),
    ("ttl", 0),
    ("queueTimeout", -1),
    ("heartbeatTimeout", 0.5),
    ("maxRetries", 101),
    ("maxRetries", -1),
    ("retryBackoff", {"base": -1}),
    ("retryBackoff", {"cap": "1s"}),
    ("retryBackoff", [1000, 30000]),
    ("idempotencyKey", ""),
    ("idempotencyKey", "k" * 129),
    ("tags", ["t"] * 17),
    ("tags", ["t" * 65]),
    ("tags", [{"a": 1}]),
    ("metadata", {"a": "x" * 16_384}),
    ("metadata", []),
    ("resubmitOf", "x" * 1000),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=[f"{name}={str(value)[:20]}" for name, value in WRONG])
def test_a_value_out_of_range_is_named(user: httpx.Client, name: str, value: Any) -> None:
    refused(user.post("/api/task", json={"type": "t", "payload": {}} | {name: value}), 400, name)


@pytest.mark.parametrize("missing", ["type", "payload"])
def test_a_missing_member_is_named(user: httpx.Client, missing: str) -> None:
    body: dict[str, Any] = {"type": "t", "payload": {}}
    del body[missing]
    refused(user.post("/api/task", json=body), 400, missing, "missing")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=501",
        "limit=many",
        "limit=",
        "limit=-1",
        "limit=1e9",
        "limit=99999999999999999999999",
        "status=DONE",
        "status=",
        "status=PENDING,,",
        "type=",
        "serverId=%00",
        "serverId=%20",
        "tag=" + "x" * 65,
        "from=yesterday",
        "from=-1",
        "to=1e400",
        "to=9007199254740993000",
        "q=",
        "q=%00",
        "owner=%00",
    ],
)
def test_a_wrong_parameter_is_named(admin: httpx.Client, query: str) -> None:
    refused(admin.get(f"/api/tasks?{query}"), 400, query.partition("=")[0])


@pytest.mark.parametrize("path", ["/api/stats?date=", "/api/stats/hourly?date="])
@pytest.mark.parametrize("date", ["today", "2026-13-01", "2026-02-30", "2026-1-1", "20260101", "0000-00-00", "9" * 500])
def test_a_wrong_date_is_named(user: httpx.Client, path: str, date: str) -> None:
    refused(user.get(path + date), 400, "date")


def test_a_wrong_status_of_servers_is_named(user: httpx.Client) -> None:
    refused(user.get("/api/servers?status=asleep"), 400, "status")


@pytest.mark.parametrize("name", ["fastest", "", "ROUND ROBIN", "round_robin", "random\0", "x" * 5000])
def test_an_unknown_algorithm_is_refused(admin: httpx.Client, name: str) -> None:
    before = admin.get("/api/loadbalancer/status").json()["algorithm"]
    refused(admin.put("/api/loadbalancer/algorithm", json={"algorithm": name}), 400, "algorithm", "round-robin")
    refused(admin.post("/api/stats/load-balancer/algorithm", json={"algorithm": name}), 400, "algorithm", "random")
    assert admin.get("/api/loadbalancer/status").json()["algorithm"] == before


def _cursors(good: str, foreign: str) -> Iterator[str]:
    yield from ("x", "=", "%00", "a" * 512, "a" * 513, "-1", "task_0", "é", "....", foreign)
    yield from (good[:-1], good[1:], good + "A", good.swapcase(), good[::-1])
    yield base64.urlsafe_b64encode(b"\0" * 6 + b"task_1").decode()
    for place in range(0, len(good), 7):
        yield good[:place] + ("A" if good[place] != "A" else "B") + good[place + 1 :]


def test_a_damaged_cursor_is_400(user: httpx.Client, node: Attacked) -> None:
    for _ in range(3):
        user.post("/api/task", json={"type": "t", "payload": {}})
    good = user.get("/api/tasks?limit=1").json()["nextCursor"]
    assert user.get("/api/tasks", params={"limit": 1, "cursor": good}).json()["tasks"]
    with node.client("user", sub="keeper") as keeper:
        foreign = keeper.get("/api/tasks?limit=1").json()["nextCursor"]
    for cursor in _cursors(good, foreign):
        refused(user.get("/api/tasks", params={"limit": 1, "cursor": cursor}), 400, "cursor")


@pytest.mark.parametrize(
    "task_id", ["x", "task_", "task_" + "0" * 32, "task_' OR 1=1 --", "..", "%2e%2e", "%00", "%ff", "x" * 4000]
)
def test_an_id_that_is_none_is_404(user: httpx.Client, task_id: str) -> None:
    for method, rest in (("GET", ""), ("GET", "/result"), ("POST", "/retry"), ("POST", "/cancel"), ("DELETE", "")):
        answer = user.request(method, httpx.URL(f"/api/task/{task_id}{rest}"))
        refused(answer, 404, "not found")


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "http://[fe80::1]/p",
        "http://[::ffff:169.254.169.254]/p",
        "http://[64:ff9b::a9fe:a9fe]/p",
        "http://2852039166/p",
        "http://0xa9fea9fe/p",
        "http://0251.0376.0251.0376/p",
        "http://169.254.43518/p",
        "http://0.0.0.0/p",
        "http://0/p",
        "http://[::]/p",
        "http://224.0.0.1/p",
        "http://255.255.255.255/p",
        "http://[ff02::1]/p",
        "http://own/p",
        "http://[::ffff:127.0.0.1]:own/p",
        "ftp://127.0.0.1/p",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "javascript:alert(1)",
        "//127.0.0.1/p",
        "http://",
        "http:///p",
        "http://user:pass@127.0.0.1/p",
        "http://127.0.0.1:99999/p",
        "http://127.0.0.1:abc/p",
        "http://a b/p",
        "http://h/\r\nX-Evil: 1",
        "http://h/\0",
        "http://h/p#part",
        "http://" + "a" * 3000,
        "",
        17,
    ],
)
def test_a_denied_address_is_refused(admin: httpx.Client, node: Attacked, url: Any) -> None:
    if isinstance(url, str):
        url = url.replace("//own", f"//127.0.0.1:{node.port}").replace(":own", f":{node.port}")
    fine = "http://127.0.0.1:9/x"
    for member in ("predict", "health", "metrics", "cancel"):
        endpoints = {"predict": fine, "health": fine} | {member: url}
        answer = admin.post("/api/servers", json={"id": "denied", "name": "n", "endpoints": endpoints})
        refused(answer, 400, f"endpoints.{member}")
    assert admin.get("/api/servers/denied").status_code == 404


@pytest.mark.parametrize("key", ["", "a b", "a\r\nX: 1", "\0", "é", "k" * 513])
def test_an_api_key_that_no_header_can_carry_is_refused(admin: httpx.Client, key: str) -> None:
    fine = "http://127.0.0.1:9/x"
    body = {"id": "denied", "name": "n", "endpoints": {"predict": fine, "health": fine}, "apiKey": key}
    refused(admin.post("/api/servers", json=body), 400, "apiKey")


def _claims(**changes: Any) -> str:
    claims = {"sub": "ann", "exp": 4_000_000_000, "roles": ["admin"]} | changes
    return jwt.encode({name: value for name, value in claims.items() if value is not ...}, SECRET, algorithm="HS256")


BAD_TOKENS = {
    "huge": "a" * 12_000,
    "huge, with dots": "a." * 4_000,
    "signed and huge": token("admin", sub="x" * 5000) + "y" * 4000,
    "of another secret": jwt.encode({"sub": "a", "exp": 4_000_000_000, "roles": ["admin"]}, "z" * 32, "HS256"),
    "of no algorithm": jwt.encode({"sub": "a", "exp": 4_000_000_000, "roles": ["admin"]}, "", "none"),
    "of another algorithm": jwt.encode({"sub": "a", "exp": 4_000_000_000, "roles": ["admin"]}, SECRET, "HS384"),
    "expired": _claims(exp=1),
    "without an end": _claims(exp=...),
    "without a subject": _claims(sub=...),
    "roles as text": _claims(roles="admin"),
    "roles of numbers": _claims(roles=[1]),
    "roles missing": _claims(roles=...),
    "an end that is text": _claims(exp="tomorrow"),
    "an end beyond all": _claims(exp=10**400),
    "no JSON in it": "e30.W10.AAAA",
    "three dots": "...",
    "not ASCII": "\xff\xfe\xfd",
}


@pytest.mark.parametrize("name", BAD_TOKENS)
def test_a_bad_token_is_401(node: Attacked, name: str) -> None:
    with node.client() as nobody:
        header = b"Bearer " + BAD_TOKENS[name].encode("latin-1")
        answer = nobody.get("/api/tasks", headers=[(b"Authorization", header)])
        refused(answer, 401, "Unauthorized")
        assert BAD_TOKENS[name][:40] not in answer.text


@pytest.mark.parametrize("header", ["Basic YTpi", "bearer", "Bearer", "Token x", "Bearer a b c", ""])
def test_another_scheme_is_401(node: Attacked, header: str) -> None:
    with node.client() as nobody:
        refused(nobody.get("/api/tasks", headers={"Authorization": header}), 401, "Unauthorized")


def test_a_token_with_no_role_of_ours_is_403(node: Attacked) -> None:
    with node.client() as nobody:
        for roles in ([], ["root"], ["ADMIN"]):
            header = {"Authorization": f"Bearer {_claims(roles=roles)}"}
            refused(nobody.get("/api/tasks", headers=header), 403, "Forbidden")


@pytest.mark.parametrize("hops", ["6", "-1", "x", "9" * 100, "1.0", ""])
def test_wrong_hops_are_400(user: httpx.Client, hops: str) -> None:
    answer = user.post("/api/task", json={"type": "t", "payload": {}}, headers={"X-Taskyard-Hops": hops})
    refused(answer, 400, "X-Taskyard-Hops")


@pytest.mark.parametrize("key", [b"", b"k" * 129, b"a\tb" * 60])
def test_a_wrong_key_header_is_400(user: httpx.Client, key: bytes) -> None:
    answer = user.post("/api/task", json={"type": "t", "payload": {}}, headers=[(b"Idempotency-Key", key)])
    refused(answer, 400, "Idempotency-Key")


def test_a_key_header_in_any_encoding_is_a_key(user: httpx.Client) -> None:
    for key in ("schlüssel".encode(), "schlüssel".encode("latin-1"), "钥匙".encode()):
        task = {"type": "t", "payload": {"n": 1}}
        answers = [user.post("/api/task", json=task, headers=[(b"Idempotency-Key", key)]) for _ in range(2)]
        assert answers[0].json()["id"] == answers[1].json()["id"]
        assert answers[1].headers["idempotent-replayed"] == "true"


def test_odd_headers_are_not_believed(user: httpx.Client) -> None:
    odd = {"X-Request-ID": "a b\tc" * 20, "traceparent": "00-zz", "Prefer": "," * 500, "Accept": "*" * 500}
    answer = user.post("/api/task", json={"type": "t", "payload": {}}, headers=odd)
    assert answer.status_code == 200
    assert answer.headers["x-request-id"] != odd["X-Request-ID"]


@pytest.mark.parametrize("method", ["BREW", "TRACE", "PATCH"])
def test_a_method_that_is_none_is_refused(node: Attacked, method: str) -> None:
    with node.client("user") as user:
        answer = user.send(httpx.Request(method, f"{node.url}/api/stats", headers=user.headers))
        assert answer.status_code in (400, 405)


ODD_PATHS = [
    "/api//task",
    "/api/task/../stats",
    "/api/./stats",
    "/%2e%2e/etc/passwd",
    "/docs/../../x",
    "/api/%00",
    "/%ff",
]


@pytest.mark.parametrize("path", [*ODD_PATHS, "/" + "a" * 8000])
def test_odd_paths_are_404(user: httpx.Client, path: str) -> None:
    refused(user.get("/", extensions={"target": path.encode()}), 404, "not found")
