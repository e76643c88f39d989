"""What comes from outside stays data: in no head, no page, no metric does it become anything else; and who did what."""

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from taskyard.host.metrics import LABELS_MOST
from taskyard.store.port import Store
from tests.contract.api.yard import Backend, Yard, accept, eventually, fresh, token
from tests.contract.security.tenants import NOWHERE, word

EVIL = "evil"
INJECTION = f"a\r\nX-{EVIL}: 1\r\n\r\nGET /{EVIL} HTTP/1.1"
MARKUP = f"<script>{EVIL}()</script>"
TRACEPARENT = f"00-{'a' * 32}-{'b' * 16}-01"
# The names in the head of a dispatch, and what may stand behind those that carry something of the client's.
SENT = {
    "host": r"127\.0\.0\.1:\d+",
    "content-type": "application/json",
    "content-length": r"\d+",
    "accept": r"application/json|\*/\*",
    "accept-encoding": "identity",
    "connection": "keep-alive",
    "user-agent": r"[\w/. -]+",
    "authorization": r"Bearer key-w[0-9a-f]+",
    "idempotency-key": "task_[0-9a-f]{32}",
    "x-taskyard-attempt": r"\d+",
    "x-taskyard-hops": r"\d+",
    "traceparent": "00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}",
    "tracestate": r"[a-z0-9][a-z0-9_*/@-]*=[ -+\--<>-~]+(,[a-z0-9][a-z0-9_*/@-]*=[ -+\--<>-~]+)*",
}
ANSWERED = {
    "date", "server", "content-type", "content-length", "x-request-id", "x-content-type-options", "cache-control",
    "connection", "vary", "allow", "retry-after", "www-authenticate", "idempotent-replayed",
}  # fmt: skip


class Relay:
    """A node with one backend server."""

    def __init__(self, folder: Path) -> None:
        self.yard = Yard(folder / "data", endpoint_allow=("127.0.0.0/8", "::1"))
        self.backend = Backend()
        server = {"name": "s", "endpoints": self.backend.endpoints, "apiKey": f"key-{word()}"}
        made = self.yard.client("service").post("/api/servers", json=server)
        assert made.json()["status"] == "online", made.text
        self.server_id: str = made.json()["serverId"]

    def stop(self) -> None:
        self.yard.stop()
        self.backend.stop()


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    made = Relay(tmp_path_factory.mktemp("relay"))
    yield made
    made.stop()


def head_bytes(values: dict[str, bytes]) -> bytes:
    return b"".join(name.encode() + b": " + value + b"\r\n" for name, value in values.items())


NAMES = [
    "X-Request-ID", "traceparent", "tracestate", "baggage", "Idempotency-Key", "X-Taskyard-Hops", "Prefer", "Cookie",
    "X-Forwarded-For", "Forwarded", "X-Server-ID", "Proxy-Authorization", "Origin", "Te", f"X-{EVIL}",
]  # fmt: skip
HEADER_VALUES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [
            INJECTION.encode(),
            f"a\rX-{EVIL}: 1".encode(),
            f"a\nX-{EVIL}: 1".encode(),
            f"a\r\n X-{EVIL}: folded".encode(),
            f"a\0{EVIL}".encode(),
            f"{EVIL}\u010d\u010a{EVIL}".encode(),
            f"00-{'a' * 32}-{'b' * 16}-01, {EVIL}".encode(),
            EVIL.encode() * 20,
        ]
    ),
)


@settings(max_examples=60, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    st.dictionaries(
        st.sampled_from(NAMES),
        HEADER_VALUES,
        max_size=5,
    ),
    st.sampled_from(["t", INJECTION, MARKUP, f"\u010d\u010a{EVIL}"]),
)
@example({"X-Request-ID": INJECTION.encode(), "traceparent": INJECTION.encode()}, INJECTION)
@example({"traceparent": TRACEPARENT.encode(), "tracestate": f"a={INJECTION}".encode()}, "t")
@example({"traceparent": TRACEPARENT.encode(), "tracestate": b"a=1, b=2 ,"}, "t")
def test_nothing_of_a_client_ends_a_line_of_any_head(relay: Relay, headers: dict[str, bytes], kind: str) -> None:
    body = json.dumps({"type": kind, "payload": {"word": kind}, "async": False, "wait": 20_000}).encode()
    fixed = {
        "Host": b"h",
        "Authorization": f"Bearer {token('user')}".encode(),
        "Content-Length": str(len(body)).encode(),
        "Connection": b"close",
    }
    seen = len(relay.backend.heads)
    head = b"POST /api/task HTTP/1.1\r\n" + head_bytes(fixed) + head_bytes(headers) + b"\r\n"
    answer = relay.yard.raw(head + body)
    if not answer:
        return  # a head that is none, and its connection is gone
    lines = answer.partition(b"\r\n\r\n")[0].split(b"\r\n")
    names = {line.partition(b":")[0].decode().lower() for line in lines[1:]}
    assert names <= ANSWERED, answer
    given = headers.get("X-Request-ID", b"").strip()
    plain = re.fullmatch(rb"[A-Za-z0-9._-]{1,64}", given) is not None
    assert plain or EVIL.encode() not in answer.partition(b"\r\n\r\n")[0]
    assert all(line.isascii() and b"\r" not in line and b"\n" not in line for line in lines)
    for sent in relay.backend.heads[seen:]:
        for name, value in sent.items():
            assert name in SENT, (name, value)
            assert re.fullmatch(SENT[name], value), (name, value)


def test_a_result_that_is_a_page_is_json_and_not_sniffed(relay: Relay) -> None:
    user = relay.yard.client("user")
    body = {"type": MARKUP, "payload": {"page": MARKUP}, "tags": [MARKUP], "async": False}
    task = user.post("/api/task", json=body).json()
    assert task["status"] == "COMPLETED"
    assert {"authorization", "idempotency-key", "x-taskyard-attempt"} <= set(relay.backend.heads[-1]) <= set(SENT)
    for path in (f"/api/task/{task['id']}/result", f"/api/task/{task['id']}?include=payload", "/api/tasks"):
        answer = user.get(path, headers={"Accept": "text/html"})
        assert MARKUP in json.dumps(answer.json())
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["x-content-type-options"] == "nosniff"
    for path in ("/", "/docs"):
        assert EVIL not in relay.yard.client().get(path, headers={"Accept": "text/html"}).text


def test_no_answer_but_a_sign_in_sets_a_cookie_and_no_other_opens_anything(relay: Relay) -> None:
    anyone, admin = relay.yard.client(), token("admin")
    names = ("token", "session", "Taskyard", "Authorization", "access_token")
    cookies = "; ".join(f"{name}={value}" for name in names for value in (admin, f"Bearer {admin}"))
    for path in ("/api/tasks", "/api/servers", "/api/stats"):
        answer = anyone.get(path, headers={"Cookie": cookies})
        assert answer.status_code == 401
        assert "set-cookie" not in answer.headers
    for path in ("/", "/docs", "/health", "/api/tasks"):
        assert "set-cookie" not in relay.yard.client("admin").get(path, headers={"Accept": "text/html"}).headers


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_header_that_comes_twice_is_neither(own_yard: Callable[..., Yard], order: tuple[int, int]) -> None:
    yard = own_yard(trusted_proxies=("127.0.0.0/8",))

    def status(path: str, *lines: str) -> bytes:
        head = "".join(f"{lines[n]}\r\n" for n in order)
        answer = yard.raw(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{head}\r\n".encode())
        return answer.partition(b" ")[2][:3]

    good, other = (f"Authorization: Bearer {token('user', sub=sub)}" for sub in ("ann", "bob"))
    assert status("/api/tasks", good, "X-Other: 1") == b"200"
    assert status("/api/tasks", good, other) == b"401"
    assert status("/api/tasks", good, "authorization: Basic eDp5") == b"401"
    assert status("/metrics", "X-Forwarded-For: 127.0.0.1", "X-Other: 1") == b"200"
    assert status("/metrics", "X-Forwarded-For: 127.0.0.1", "x-forwarded-for: 192.0.2.7") == b"401"


def test_a_server_is_believed_five_minutes_at_most(own_yard: Callable[..., Yard], tmp_path: Path) -> None:
    yard = own_yard(endpoint_allow=("127.0.0.0/8",))
    backend = Backend(lambda task: (429, {"retry_after": 86_400}))
    try:
        server = {"name": "s", "endpoints": backend.endpoints}
        place = f"/api/servers/{yard.client('service').post('/api/servers', json=server).json()['serverId']}"
        yard.client("user").post("/api/task", json={"type": "t", "payload": {}})
        admin = yard.client("admin")
        paused = eventually(lambda: admin.get(place).json()["pausedUntil"])
        now = admin.get("/health").json()["timestamp"]
        assert now + 240_000 < paused <= now + 300_000
    finally:
        backend.stop()


def test_clients_cannot_swell_the_metrics(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(endpoint_allow=("127.0.0.0/8",))
    user, service = yard.client("user", sub=word()), yard.client("service")
    many = 2 * LABELS_MOST
    for n in range(many):
        url = f"http://127.0.0.1:1/{n}"
        body = {
            "id": f"server-{n}",
            "name": "s",
            "endpoints": {"predict": url, "health": url},
            "capabilities": [word()],
        }
        assert service.post("/api/servers", json=body).status_code == 200
    kinds = [word() for _ in range(many)]
    tasks = [
        {"type": kind, "payload": {}, "serverId": f"none-{n}", "tags": [kind], "metadata": {kind: kind}}
        for n, kind in enumerate(kinds)
    ]
    results = user.post("/api/tasks", json={"tasks": tasks}).json()["results"]
    assert all("id" in result for result in results)
    text = yard.client().get("/metrics").text
    assert not [kind for kind in kinds if kind in text]
    assert not [result["id"] for result in results if result["id"] in text]
    families = {family.name: family.samples for family in text_string_to_metric_families(text)}
    for name in ("taskyard_queue_depth", "taskyard_server_load"):
        labels = {label for sample in families[name] for label in sample.labels.values()}
        assert LABELS_MOST - 1 <= len(labels) <= LABELS_MOST + 1, name
    depth = families["taskyard_queue_depth"]
    assert sum(sample.value for sample in depth) == many
    assert max(sample.value for sample in depth) == many - LABELS_MOST + 0.0
    assert max(len(samples) for samples in families.values()) <= 20 * (LABELS_MOST + 1)


def audit(yard: Yard) -> list[tuple[str, str, str]]:
    """Who did what to what, the newest first."""

    async def read() -> list[tuple[str, str, str]]:
        def rows(store: Store) -> list[tuple[str, str, str]]:
            return [(row.who, row.action, row.target) for row in store.audit(50)]

        return await yard.running.node.read(rows)

    return asyncio.run_coroutine_threadsafe(read(), yard.loop).result(20)


def test_who_changed_a_server_the_algorithm_or_anothers_task_is_on_record(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(endpoint_allow=("127.0.0.0/8",))
    root, crew, ann = yard.client("admin", sub="root"), yard.client("service", sub="crew"), yard.client("user")
    url = "http://127.0.0.1:1/x"
    server = {"id": "s", "name": "s", "endpoints": {"predict": url, "health": url}}

    def did(who: str, action: str, target: str, answer: Any) -> None:
        assert answer.status_code == 200, answer.text
        assert audit(yard)[0] == (who, action, target)

    did("crew", "server.register", "s", crew.post("/api/servers", json=server))
    did("crew", "server.change", "s", crew.patch("/api/servers/s", json={"maxConcurrent": 2}))
    did("root", "server.maintenance", "s", root.post("/api/servers/s/maintenance", json={"maintenance": True}))
    did("root", "algorithm.set", "random", root.put("/api/loadbalancer/algorithm", json={"algorithm": "random"}))
    task = ann.post("/api/task", json={"type": "t", "payload": {}, "group": NOWHERE}).json()["id"]
    did("root", "task.cancel", task, root.post(f"/api/task/{task}/cancel"))
    did("root", "task.retry", task, root.post("/api/tasks/retry", json={"ids": [task]}))
    did("root", "task.failed", task, root.put(f"/api/task/{task}", json={"status": "FAILED"}))
    did("root", "task.purge", task, root.post(f"/api/task/{task}/purge"))
    did("root", "server.remove", "s", root.delete("/api/servers/s"))
    before = audit(yard)
    assert crew.put("/api/loadbalancer/algorithm", json={"algorithm": "random"}).status_code == 403
    assert yard.client("user", sub="eve").post(f"/api/task/{task}/retry").status_code == 404
    assert audit(yard) == before, "what was refused changed nothing"


def test_a_callback_path_is_good_for_its_attempt_alone(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(endpoint_allow=("127.0.0.0/8",))
    backend = Backend(accept)
    try:
        server = {"name": "s", "endpoints": backend.endpoints}
        assert yard.client("service").post("/api/servers", json=server).json()["status"] == "online"
        user, anyone = yard.client("user"), yard.client()
        ids = [user.post("/api/task", json={"type": fresh("t"), "payload": {}}).json()["id"] for _ in range(2)]
        paths = [backend.task(one)["callback_url"].partition("/api/")[2] for one in ids]
        proof = paths[0].rpartition("/")[2].partition("-")[2]
        wrong = [
            f"task/{ids[1]}/callback/1-{proof}",
            f"task/{ids[0]}/callback/2-{proof}",
            f"task/{ids[0]}/callback/01-{proof}",
            f"task/{ids[0]}/callback/1-{proof[:-1]}",
            f"task/{ids[0]}/callback/1-{proof}A",
            f"task/{ids[0]}/callback/1-{proof.swapcase()}",
            f"task/{ids[0]}/callback/1-{proof[::-1]}",
            f"task/{ids[0]}/callback/1-",
        ]
        for path in wrong:
            answer = anyone.put(f"/api/{path}", json={"status": "COMPLETED", "result": EVIL})
            assert answer.status_code in (401, 404), path
        assert {user.get(f"/api/task/{one}").json()["status"] for one in ids} == {"PROCESSING"}
        for path in paths:
            assert anyone.put(f"/api/{path}", json={"status": "COMPLETED"}).status_code == 200
    finally:
        backend.stop()
