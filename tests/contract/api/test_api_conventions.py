"""API.md §1: what holds for every call."""

import json
import re
from collections.abc import Callable
from importlib.metadata import version

import httpx
import pytest
from structlog.testing import capture_logs

from tests.contract.api.yard import Yard, fresh, refused, token

TASK = {"type": "t", "payload": {}}


def test_the_body_is_json_whatever_content_type_says(user: httpx.Client) -> None:
    body = json.dumps(TASK)
    for media in ("application/x-www-form-urlencoded", "text/plain", "application/json", "image/png"):
        assert user.post("/api/task", content=body, headers={"Content-Type": media}).status_code == 200
    del user.headers["accept"]
    assert user.post("/api/task", content=body).status_code == 200


def test_a_compressed_body_is_415(user: httpx.Client) -> None:
    refused(user.post("/api/task", json=TASK, headers={"Content-Encoding": "gzip"}), 415, "identity")
    assert user.post("/api/task", json=TASK, headers={"Content-Encoding": "identity"}).status_code == 200


def test_an_empty_body_is_an_empty_object_where_nothing_is_required(user: httpx.Client) -> None:
    task = user.post("/api/task", json=TASK).json()["id"]
    assert user.post(f"/api/task/{task}/cancel").status_code == 200
    refused(user.post("/api/task"), 400, "empty")


def test_an_unknown_member_is_ignored_and_named(user: httpx.Client) -> None:
    answer = user.post("/api/task", json=TASK | {"maxRetires": 1, "zzz": 2})
    assert answer.status_code == 200
    assert answer.json()["warnings"] == ["unknown member maxRetires, did you mean maxRetries?", "unknown member zzz"]
    shown = user.get(f"/api/task/{answer.json()['id']}").json()
    assert shown["maxRetries"] == 3
    assert "warnings" not in shown


def test_nested_unknown_members_are_named_by_their_path(user: httpx.Client) -> None:
    warnings = user.post("/api/task", json=TASK | {"retryBackoff": {"bse": 1}}).json()["warnings"]
    assert warnings == ["unknown member retryBackoff.bse, did you mean retryBackoff.base?"]


@pytest.mark.parametrize("prefer", ["handling=strict", "respond-async, Handling=Strict", 'handling="strict"; wait=1'])
def test_strict_handling_refuses_unknown_members(user: httpx.Client, prefer: str) -> None:
    refused(user.post("/api/task", json=TASK | {"zzz": 1}, headers={"Prefer": prefer}), 400, "zzz")
    assert user.post("/api/task", json=TASK, headers={"Prefer": prefer}).status_code == 200


def test_lenient_handling_is_the_default(user: httpx.Client) -> None:
    for prefer in ("handling=lenient", "handling=stricter", "nothing"):
        answer = user.post("/api/task", json=TASK | {"zzz": 1}, headers={"Prefer": prefer})
        assert answer.status_code == 200


def test_unknown_query_parameters_are_named(user: httpx.Client) -> None:
    assert user.get("/api/tasks?stauts=FAILED").json()["warnings"] == ["unknown parameter stauts, did you mean status?"]
    refused(user.get("/api/tasks?stauts=FAILED", headers={"Prefer": "handling=strict"}), 400, "stauts")


def test_null_is_absent(user: httpx.Client) -> None:
    members = ("priority", "capabilities", "group", "serverId", "async", "wait", "runAt", "delay", "timeout", "ttl")
    members += ("queueTimeout", "heartbeatTimeout", "maxRetries", "retryBackoff", "idempotencyKey", "tags", "metadata")
    answer = user.post("/api/task", json=TASK | dict.fromkeys((*members, "resubmitOf")))
    assert answer.status_code == 200, answer.text
    shown = user.get(f"/api/task/{answer.json()['id']}").json()
    assert (shown["priority"], shown["maxRetries"], shown["metadata"]) == (0, 3, None)
    refused(user.post("/api/task", json={"type": None, "payload": {}}), 400, "type is missing")
    refused(user.post("/api/task", json={"type": "t", "payload": None}), 400, "payload")


@pytest.mark.parametrize(("text", "value"), [("7.0", 7), ("1e1", 10), ("0.5e1", 5), ("-0.0", 0)])
def test_whole_numbers_are_integers(user: httpx.Client, text: str, value: int) -> None:
    answer = user.post("/api/task", content=f'{{"type":"t","payload":{{}},"priority":{text}}}')
    assert user.get(f"/api/task/{answer.json()['id']}").json()["priority"] == value


@pytest.mark.parametrize("text", ["1.5", '"5"', "true", "[]", "1e400", "99999999999999999999", "-1", "11"])
def test_other_values_are_no_integers(user: httpx.Client, text: str) -> None:
    refused(user.post("/api/task", content=f'{{"type":"t","payload":{{}},"priority":{text}}}'), 400, "priority")


def test_of_two_members_with_one_name_the_last_counts(user: httpx.Client) -> None:
    answer = user.post("/api/task", content='{"type":"t","payload":{},"priority":1,"priority":4}')
    assert user.get(f"/api/task/{answer.json()['id']}").json()["priority"] == 4


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b'"text"',
        b"{'type': 1}",
        b'{"type":"t","payload":{}} x',
        b'{"type":"t","payload":{"a":NaN}}',
        b'{"type":"t","payload":{"a":Infinity}}',
        b'{"type":"t","payload":{"a":-Infinity}}',
        b'{"type":"t","payload":{"a":01}}',
        b'{"type":"t","payload":{"a":"\xff"}}',
        b'{"type":"t\xc3\x28","payload":{}}',
        b'{"type":"t","payload":{"a":"\\ud800"}}',
        b'{"type":"\\ud800","payload":{}}',
        b'{"type":"t","payload":{"a":"\x00"}}',
        b'{"type":"t","payload":{},"x":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        '{"type":"t","payload":{}}'.encode("utf-16"),
        b"\xef\xbb\xbf" + b'{"type":"t","payload":{}}',
    ],
)
def test_what_is_not_json_is_400(user: httpx.Client, body: bytes) -> None:
    shown = refused(user.post("/api/task", content=body), 400)
    assert shown["details"]
    assert "Traceback" not in shown["details"]


def test_a_trailing_slash_is_ignored_without_a_redirect(user: httpx.Client) -> None:
    answer = user.post("/api/task/", json=TASK)
    assert answer.status_code == 200
    assert user.get(f"/api/task/{answer.json()['id']}/").status_code == 200
    assert user.get("/health/").status_code == 200
    refused(user.get("/api/tasks//"), 404, "not found")


def test_request_ids_are_taken_or_made(user: httpx.Client) -> None:
    assert user.get("/health", headers={"X-Request-ID": "my.id_1-A"}).headers["x-request-id"] == "my.id_1-A"
    for bad in ("a b", "x" * 65, "a/b", "ü"):
        made = user.get("/health", headers={"X-Request-ID": bad.encode()}).headers["x-request-id"]
        assert re.fullmatch(r"[A-Za-z0-9._-]{1,64}", made)
        assert made != bad
    answers = [user.get(path) for path in ("/", "/nowhere", "/api/tasks", "/docs", "/openapi.json")]
    ids = [answer.headers["x-request-id"] for answer in answers]
    assert len(set(ids)) == len(ids)


def test_ids_have_their_form(user: httpx.Client) -> None:
    ids = [user.post("/api/task", json=TASK).json()["id"] for _ in range(3)]
    assert all(re.fullmatch(r"task_[0-9a-f]{12}7[0-9a-f]{19}", task_id) for task_id in ids)
    assert ids == sorted(ids)


def test_unknown_paths_and_methods(user: httpx.Client) -> None:
    refused(user.get("/api/nothing"), 404, "not found")
    refused(user.get("/nothing"), 404, "not found")
    answer = user.put("/api/tasks", json={})
    refused(answer, 405, "GET")
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert user.delete("/health").headers["allow"] == "GET, HEAD, OPTIONS"


def test_head_is_get_without_a_body(user: httpx.Client) -> None:
    for path in ("/health", "/api/tasks", "/", "/docs"):
        got, headed = user.get(path), user.head(path)
        assert headed.status_code == got.status_code == 200
        assert headed.content == b""
        assert headed.headers["content-type"] == got.headers["content-type"]
    assert user.head("/api/task/task_none").status_code == 404


def test_the_start_page(yard: Yard) -> None:
    anyone = yard.client()
    plain = anyone.get("/")
    assert (plain.text, plain.headers["content-type"]) == ("OK!", "text/plain; charset=utf-8")
    page = anyone.get("/", headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert 'href="./docs"' in page.text


def test_health(yard: Yard) -> None:
    shown = yard.client().get("/health").json()
    assert shown.keys() == {"status", "timestamp", "version"}
    assert shown["status"] == "healthy"
    assert shown["version"] == version("taskyard")
    assert shown["timestamp"] > 1_600_000_000_000


def test_ready_names_the_reason(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    client = yard.client()
    assert client.get("/ready").json() == {"status": "ready"}
    yard.on_loop(lambda: setattr(yard.running.node, "_draining", True))
    answer = client.get("/ready")
    refused(answer, 503, "drain")
    assert int(answer.headers["retry-after"]) >= 1


def test_a_fault_of_the_node_says_only_the_request_id(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()

    def broken() -> str:
        raise RuntimeError("a detail that nobody may see")

    yard.on_loop(lambda: setattr(yard.running.node, "not_ready", broken))
    with capture_logs() as logged:
        answer = yard.client().get("/ready")
    assert answer.status_code == 500
    assert answer.json() == {"error": "Internal server error", "requestId": answer.headers["x-request-id"]}
    assert [(entry["request"], entry["exc_info"]) for entry in logged] == [(answer.headers["x-request-id"], True)]


ORIGIN = "https://ui.example.org"


def test_no_page_may_call_by_default(user: httpx.Client) -> None:
    answer = user.get("/api/tasks", headers={"Origin": ORIGIN})
    assert answer.status_code == 200
    assert "access-control-allow-origin" not in answer.headers


def test_named_origins_may_call(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(cors_origins=(ORIGIN,)).client()
    preflight = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "prefer"}
    answer = client.options("/api/task", headers=preflight)
    assert answer.status_code == 204
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert "POST" in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "idempotency-key", "prefer"))
    assert "access-control-allow-credentials" not in answer.headers
    assert "origin" in answer.headers["vary"].lower()
    # Errors must be readable for the page too.
    unauthorized = client.get("/api/tasks", headers={"Origin": ORIGIN})
    assert unauthorized.status_code == 401
    assert unauthorized.headers["access-control-allow-origin"] == ORIGIN
    other = client.options("/api/task", headers=preflight | {"Origin": "https://evil.example.org"})
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-methods" not in other.headers


def test_dev_lets_pages_of_this_machine_call(own_yard: Callable[..., Yard]) -> None:
    client = own_yard(dev=True).client()
    for origin in ("http://localhost:3000", "http://127.0.0.1", "http://127.0.0.1:8080"):
        answer = client.get("/health", headers={"Origin": origin})
        assert answer.headers["access-control-allow-origin"] == origin
    for origin in ("http://localhost.evil.org", "http://127.0.0.1.evil.org", "null", "http://192.0.2.1"):
        assert "access-control-allow-origin" not in client.get("/health", headers={"Origin": origin}).headers


def test_options_without_a_preflight_names_the_methods(yard: Yard) -> None:
    answer = yard.client().options("/api/tasks")
    assert answer.status_code == 204
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_every_answer_forbids_sniffing(user: httpx.Client) -> None:
    for path in ("/", "/docs", "/docs/docs.js", "/health", "/api/tasks", "/nowhere", "/metrics", "/openapi.json"):
        assert user.get(path).headers["x-content-type-options"] == "nosniff"


def test_pages_carry_the_content_security_policy(yard: Yard) -> None:
    anyone = yard.client(headers={"Accept": "text/html"})
    for path in ("/", "/docs"):
        answer = anyone.get(path)
        csp = answer.headers["content-security-policy"]
        for rule in ("default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"):
            assert rule in csp
        assert "img-src 'self' data:" in csp
        assert "frame-ancestors 'none'" in csp
        assert "unsafe" not in csp
        # What such a policy would block must not be in the page.
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=|https?://", answer.text)


def test_metrics_are_for_this_machine(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(trusted_proxies=("127.0.0.1/32",))
    anyone = yard.client()
    assert "taskyard_" in anyone.get("/metrics").text
    assert anyone.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 200
    elsewhere = {"X-Forwarded-For": "192.0.2.7"}
    refused(anyone.get("/metrics", headers=elsewhere), 401, "Unauthorized")
    refused(yard.client("user").get("/metrics", headers=elsewhere), 401)
    assert yard.client("admin").get("/metrics", headers=elsewhere).status_code == 200


def test_metrics_through_an_unknown_proxy_are_not_from_this_machine(yard: Yard) -> None:
    refused(yard.client().get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}), 401)


def test_metrics_can_be_public(own_yard: Callable[..., Yard]) -> None:
    assert own_yard(metrics_public=True).client().get("/metrics", headers={"X-Forwarded-For": "192.0.2.7"}).is_success


def test_tokens_do_not_count_in_a_url(yard: Yard) -> None:
    refused(yard.client().get(f"/api/tasks?token={token('admin')}&access_token={token('admin')}"), 401)


def test_a_key_may_not_stand_for_many(user: httpx.Client) -> None:
    refused(user.post("/api/tasks", json={"tasks": [TASK]}, headers={"Idempotency-Key": fresh("key")}), 400, "each")
