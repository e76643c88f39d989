"""What the SDK sends, and what it makes of the answers. (Real nodes are called elsewhere.)"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from taskyard.client import (
    ApiError,
    Client,
    Conflict,
    ConnectionFailed,
    Forbidden,
    NotFound,
    Refused,
    ServerFault,
    StrangeAnswer,
    Unauthorized,
    Unavailable,
)

Answer = httpx.Response | Exception


class Wire:
    """Gives the listed answers in order (the last one again and again) and keeps the requests."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self, **more: Any) -> Client:
        return Client("http://yard/", "t", transport=httpx.MockTransport(self), sleep=self.pauses.append, **more)

    def body(self, place: int = -1) -> Any:
        return json.loads(self.requests[place].content)


def ok(**members: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": "task_1", "status": "PENDING", **members})


def no(status: int, after: str | None = None) -> httpx.Response:
    told = {"error": "short", "details": "the mend", "requestId": "r1"}
    return httpx.Response(status, json=told, headers={"Retry-After": after} if after else {})


def test_headers_and_path() -> None:
    wire = Wire(ok())
    wire.client().task("a/../b?c")
    request = wire.requests[0]
    assert request.headers["Authorization"] == "Bearer t"
    assert request.headers["Prefer"] == "handling=strict"
    assert str(request.url) == "http://yard/api/task/a%2F..%2Fb%3Fc"


@pytest.mark.parametrize("url", ["yard:1", "ftp://yard", "http://", "http://yard?x=1"])
def test_wrong_urls(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        Client(url, "t")


@pytest.mark.parametrize("token", ["a b", "a\nX: y", "é"])
def test_wrong_tokens(token: str) -> None:
    with pytest.raises(ValueError, match="token"):
        Client("http://yard", token)


def test_submission_on_the_wire() -> None:
    wire = Wire(ok())
    client = wire.client()
    client.submit("ocr", {"n": 1.0}, max_retries=2, server_id="s", retry_backoff={"base": 1, "cap": 2}, tags=("a",))
    first = wire.body()
    client.submit("ocr", {})
    assert {name: value for name, value in first.items() if name != "idempotencyKey"} == {
        "type": "ocr",
        "payload": {"n": 1.0},
        "maxRetries": 2,
        "serverId": "s",
        "retryBackoff": {"base": 1, "cap": 2},
        "tags": ["a"],
    }
    assert first["idempotencyKey"] != wire.body()["idempotencyKey"]
    client.run("ocr", {}, wait=5, idempotency_key="mine")
    assert wire.body() == {"type": "ocr", "payload": {}, "async": False, "wait": 5, "idempotencyKey": "mine"}


def test_payload_bytes_go_out_untouched() -> None:
    wire = Wire(ok())
    payload = b'{"a": 1.0, "b": 123456789012345678901234567890, "c":"\\u00e9"}'
    wire.client().submit("ocr", payload)
    assert payload in wire.requests[0].content


@pytest.mark.parametrize(
    "payload", [b"{", b'{"a": NaN}', b"\xff\xfe{\x00}\x00", {"a": float("nan")}, {"a": "\ud800"}, b"[" * 100_000]
)
def test_payload_that_is_no_json_is_not_sent(payload: Any) -> None:
    wire = Wire(ok())
    with pytest.raises(ValueError):  # noqa: PT011
        wire.client().submit("ocr", payload)
    assert not wire.requests


def test_submit_many_in_thousands() -> None:
    wire = Wire(httpx.Response(200, json={"results": [1]}), httpx.Response(200, json={"results": [2]}))
    assert wire.client().submit_many({"type": "ocr", "payload": {"n": n}} for n in range(1001)) == [1, 2]
    assert [len(wire.body(place)["tasks"]) for place in (0, 1)] == [1000, 1]
    assert all("idempotencyKey" in task for task in wire.body(0)["tasks"])


def test_tasks_follow_the_cursor_lazily() -> None:
    wire = Wire(
        httpx.Response(200, json={"tasks": [{"id": "1"}, {"id": "2"}], "nextCursor": "c"}),
        httpx.Response(200, json={"tasks": [{"id": "3"}], "nextCursor": None}),
    )
    found = wire.client().tasks(status="FAILED", created_from=5, page=2)
    assert next(found)["id"] == "1"
    assert len(wire.requests) == 1
    assert [task["id"] for task in found] == ["2", "3"]
    assert dict(wire.requests[1].url.params) == {"status": "FAILED", "from": "5", "limit": "2", "cursor": "c"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, Refused),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (409, Conflict),
        (410, NotFound),
        (413, Refused),
        (415, Refused),
        (422, Refused),
        (429, Unavailable),
        (500, ServerFault),
        (503, Unavailable),
    ],
)
def test_errors(status: int, kind: type[ApiError]) -> None:
    with pytest.raises(kind) as caught:
        Wire(no(status, "7")).client(patience=0).task("task_1")
    error = caught.value
    assert (error.status, error.error, error.details, error.request_id) == (status, "short", "the mend", "r1")
    assert error.retry_after == 7000
    assert str(error) == "short: the mend (request r1)"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="OK!"),
        httpx.Response(200, json=[1]),
        httpx.Response(200, json={"x": 1}),
        httpx.Response(302, headers={"Location": "http://elsewhere/"}),
        httpx.Response(404, text="<html>"),
        httpx.Response(502, json={"error": {"message": "bad"}}),
        httpx.Response(200, content=b"[" * 100_000),
    ],
)
def test_something_else_answers(answer: httpx.Response) -> None:
    wire = Wire(answer)
    with pytest.raises(StrangeAnswer, match="http://yard did not answer as a Taskyard node does"):
        wire.client().task("task_1")
    assert len(wire.requests) == 1


def test_a_proxys_503_is_unavailable_too() -> None:
    with pytest.raises(Unavailable, match="HTTP 503"):
        Wire(httpx.Response(503, text="<html>")).client(patience=0).task("task_1")


def test_retries_as_the_server_says() -> None:
    wire = Wire(no(503, "2"), no(429), httpx.ReadError("gone"), ok())
    assert wire.client().submit("ocr", {})["id"] == "task_1"
    assert wire.pauses == [2, 1, 2]
    assert len({request.content for request in wire.requests}) == 1


@pytest.mark.parametrize("after", ["soon", "-1", "٣", "9" * 30])
def test_a_retry_after_that_is_no_number(after: str) -> None:
    headers = httpx.Headers([(b"Retry-After", after.encode())])
    wire = Wire(httpx.Response(503, json={"error": "e"}, headers=headers), ok())
    wire.client().task("task_1")
    assert wire.pauses == [0.5]


def test_patience_ends() -> None:
    wire = Wire(no(503, "25"))
    with pytest.raises(Unavailable):
        wire.client(patience=60_000).task("task_1")
    assert wire.pauses == [25, 25]
    wire = Wire(no(503, "0"))
    with pytest.raises(Unavailable):
        wire.client(patience=2000).task("task_1")
    assert len(wire.requests) == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.cancel("task_1"),
        lambda client: client.retry("task_1"),
        lambda client: client.purge("task_1"),
        lambda client: client.servers.remove("s"),
    ],
)
@pytest.mark.parametrize("answer", [no(503, "1"), httpx.ReadError("gone")])
def test_what_may_not_be_made_twice_is_not_retried(call: Callable[[Client], Any], answer: Answer) -> None:
    wire = Wire(answer)
    with pytest.raises((Unavailable, ConnectionFailed)):
        call(wire.client())
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    ("failure", "says"),
    [
        (httpx.ConnectError("[Errno 111] Connection refused"), "no answer from http://yard: Connection refused"),
        (httpx.ConnectTimeout(""), "ConnectTimeout"),
        (httpx.ReadTimeout("slow"), "silent for 31 s"),
    ],
)
def test_no_answer_is_told_at_once(failure: Exception, says: str) -> None:
    wire = Wire(failure)
    with pytest.raises(ConnectionFailed, match=says):
        wire.client().task("task_1", wait=1000)
    assert len(wire.requests) == 1


def test_wait_looks_until_the_end() -> None:
    wire = Wire(ok(), ok(status="PROCESSING"), ok(status="COMPLETED"))
    seen: list[str] = []
    assert wire.client().wait("task_1", on_look=lambda task: seen.append(task["status"]))["status"] == "COMPLETED"
    assert seen == ["PENDING", "PROCESSING", "COMPLETED"]
    assert [request.url.params.get("wait") for request in wire.requests] == [None, "1000", "1000"]


def test_wait_ends_with_its_time() -> None:
    wire = Wire(ok())
    assert wire.client().wait("task_1", timeout=0)["status"] == "PENDING"
    assert len(wire.requests) == 1


def test_wait_outlives_a_restart_but_not_a_first_refusal() -> None:
    refused = httpx.ConnectError("refused")
    wire = Wire(ok(), refused, refused, ok(status="FAILED"))
    assert wire.client().wait("task_1")["status"] == "FAILED"
    assert wire.pauses == [1, 1]
    with pytest.raises(ConnectionFailed):
        Wire(refused).client().wait("task_1")
    wire = Wire(ok(), refused)
    with pytest.raises(ConnectionFailed):
        wire.client(patience=3000).wait("task_1")
    assert len(wire.pauses) == 3


def test_servers_on_the_wire() -> None:
    wire = Wire(httpx.Response(200, json={"servers": [], "serverId": "s"}))
    servers = wire.client().servers
    servers.register("gpu", "http://p", "http://h", capabilities=["ocr"], max_concurrent=4, async_=True, api_key="k")
    assert wire.body() == {
        "name": "gpu",
        "endpoints": {"predict": "http://p", "health": "http://h"},
        "apiKey": "k",
        "capabilities": ["ocr"],
        "maxConcurrent": 4,
        "async": True,
    }
    servers.change("s", max_concurrent=5, async_=False)
    assert (wire.requests[-1].method, wire.body()) == ("PATCH", {"maxConcurrent": 5, "async": False})
    servers.heartbeat("s", "draining", active_tasks=0)
    assert wire.body() == {"status": "draining", "activeTasks": 0}
    servers.maintenance("s", True, "new disk")
    assert wire.body() == {"maintenance": True, "reason": "new disk"}
    servers.list(status="draining")
    assert dict(wire.requests[-1].url.params) == {"status": "draining"}
    for call in (servers.check, servers.show, servers.metrics, servers.remove, servers.stats):
        call("s:1")
    paths = [(request.method, request.url.path) for request in wire.requests[-5:]]
    assert paths == [
        ("POST", "/api/servers/s:1/check"),
        ("GET", "/api/servers/s:1"),
        ("GET", "/api/servers/s:1/metrics"),
        ("DELETE", "/api/servers/s:1"),
        ("GET", "/api/stats/servers/s:1"),
    ]


def test_algorithm() -> None:
    wire = Wire(httpx.Response(200, json={"algorithm": "random"}))
    client = wire.client()
    assert client.algorithm() == "random"
    assert client.algorithm("random") == "random"
    assert [request.method for request in wire.requests] == ["GET", "PUT"]
    assert wire.body() == {"algorithm": "random"}


def test_environment_gives_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a proxy from the environment the token would go to 127.0.0.2; without, to the closed port itself."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.2:9")
    monkeypatch.setenv("all_proxy", "http://127.0.0.2:9")
    client = Client("http://127.0.0.1:9", "t")
    assert not client._transport._http._mounts
