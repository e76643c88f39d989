"""Secrets are in no file, no log line, no metric and no answer; a rotated secret leaves no running work behind."""

import base64
import json
import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from taskyard.settings import Secret
from tests.contract.api.yard import SECRET, Backend, Yard, accept, echo, eventually, fresh
from tests.contract.security.tenants import word
from tests.support.nodes import NodeProcess, token

KEY_FILE = "secret_key"
# As a name, a type, an error: it must not become a line of the log, nor steer who reads it.
HOSTILE = '\x1b[2J"}\n{"event": "forged"}\r\n\u2028{"event": "forged"}'


def written_as(secret: str) -> set[bytes]:
    """The bytes in which a secret may stand somewhere."""
    raw = secret.encode()
    encoded = {base64.b64encode(raw), base64.urlsafe_b64encode(raw)}
    return {raw, raw.hex().encode(), quote(secret, safe="").encode(), secret.encode("utf-16-le")} | {
        one.rstrip(b"=")[:-1] for one in encoded
    }


class Busy:
    """A node process that has handled secrets of every kind. `heard` is every answer that anybody got."""

    def __init__(self, folder: Path, backend: Backend) -> None:
        self.jwt, self.service_jwt = word() * 2, word() * 2
        self.node = NodeProcess(
            folder / "data",
            settings={
                "JWT_SECRET": self.jwt,
                "SERVICE_JWT_SECRET": self.service_jwt,
                "TASKYARD_LOG_LEVEL": "debug",
                "ENDPOINT_ALLOW": "127.0.0.0/8,::1",
            },
        )
        self.backend = backend
        self.api_keys = [f"key-{word()}" for _ in range(3)]
        self.tokens = {role: token(role, sub=role, secret=self.jwt) for role in ("user", "admin")}
        self.tokens["service"] = token("service", sub="backend", secret=self.service_jwt)
        self.tokens["forged"] = token("admin", sub="forger", secret=word() * 2)
        self.proofs: list[str] = []
        self.heard: list[bytes] = []

    @property
    def secrets(self) -> set[str]:
        signatures = {one.rpartition(".")[2] for one in self.tokens.values()}
        key = (self.node.data_dir / KEY_FILE).read_text().strip()
        return {self.jwt, self.service_jwt, key, *self.api_keys, *signatures, *self.proofs}

    def ask(self, role: str, method: str, path: str, **options: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.tokens[role]}"} if role else {}
        answer = httpx.request(method, self.node.url + path, headers=headers, trust_env=False, timeout=30, **options)  # type: ignore[arg-type]
        self.heard.append(repr(answer.headers).encode() + answer.content)
        return answer

    def work(self) -> None:
        """Registers, submits, is called back, refuses: with good secrets and bad ones."""
        cancel = f"{self.backend.url}/cancel"
        server = {"name": HOSTILE, "endpoints": self.backend.endpoints | {"cancel": cancel}}
        server["apiKey"] = self.api_keys[0]
        made = self.ask("service", "POST", "/api/servers", json=server)
        assert made.json()["status"] == "online"
        place = f"/api/servers/{made.json()['serverId']}"
        wrong = server | {"apiKey": f"{self.api_keys[2]}\r\n"}
        assert self.ask("service", "POST", "/api/servers", json=wrong).status_code == 400
        odd = server | {"apikey": self.api_keys[2]}
        assert self.ask("service", "POST", "/api/servers", json=odd).status_code == 200
        assert self.ask("service", "PATCH", place, json={"apiKey": self.api_keys[1]}).status_code == 200
        for path in ("/api/servers", place, f"{place}/metrics", "/api/loadbalancer/status", "/metrics"):
            assert self.ask("admin", "GET", path).status_code == 200
        for end in ("COMPLETED", "FAILED", ""):
            self._task(end)
        assert f"Bearer {self.api_keys[1]}" in {head.get("authorization") for head in self.backend.heads}
        self._refused()

    def _task(self, end: str) -> None:
        task = self.ask("user", "POST", "/api/task", json={"type": HOSTILE, "payload": {}, "maxRetries": 0}).json()[
            "id"
        ]
        path = self.backend.task(task)["callback_url"].partition("/api/")[2]
        self.proofs.append(path.rpartition("/")[2].partition("-")[2])
        for where, body in ((f"/api/{path}x", b"{}"), (f"/api/{path}", b"{"), (f"/api/{path}/x", b"{}")):
            assert self.ask("", "PUT", where, content=body).status_code in (400, 401, 404)
        assert self.ask("", "PATCH", f"/api/{path}").status_code == 405
        if end:
            assert self.ask("", "POST", f"/api/{path}", json={"status": end, "error": HOSTILE}).status_code == 200
        else:
            assert self.ask("user", "POST", f"/api/task/{task}/cancel").status_code == 200
            eventually(lambda: any("authorization" in head for head in self.backend.heads))
        assert self.ask("", "POST", f"/api/{path}", json={"status": "COMPLETED"}).status_code == (
            409 if end != "COMPLETED" else 200
        )
        assert self.ask("user", "GET", f"/api/task/{task}?include=payload").status_code == 200

    def _refused(self) -> None:
        assert self.ask("forged", "GET", "/api/tasks").status_code == 401
        secret = self.tokens["user"]
        for query in (f"token={secret}", f"access_token={self.jwt}"):
            assert self.ask("user", "GET", f"/api/tasks?{query}").status_code == 200
            assert self.ask("", "GET", f"/api/tasks?{query}").status_code == 401
        for line in (f"Authorization: {secret}", f"Authorization: Basic {secret}", f"Authorization: Bearer {secret}x"):
            with socket.create_connection(("127.0.0.1", self.node.port), 10) as connection:
                connection.sendall(
                    f"GET /api/tasks HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{line}\r\n\r\n".encode()
                )
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            assert answer.startswith(b"HTTP/1.1 401")
            self.heard.append(answer)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Busy]:
    backend = Backend(accept)
    made = Busy(tmp_path_factory.mktemp("secrets"), backend)
    old = os.umask(0)
    try:
        made.node.start()
        made.work()
        yield made
    finally:
        os.umask(old)
        made.node.kill()
        backend.stop()


def found_in(content: bytes, secrets: Iterable[str]) -> list[str]:
    return [secret for secret in secrets if any(form in content for form in written_as(secret))]


def files_of(busy: Busy) -> list[Path]:
    return [path for path in busy.node.data_dir.rglob("*") if path.is_file()]


def test_no_answer_and_no_metric_has_a_secret(busy: Busy) -> None:
    for answer in busy.heard:
        assert found_in(answer, busy.secrets) == []


def test_no_log_line_has_a_secret_and_each_is_json(busy: Busy) -> None:
    log = busy.node.log.read_bytes()
    lines = [json.loads(line) for line in log.splitlines()]
    assert "listening" in {line["event"] for line in lines}
    assert "forged" not in {line["event"] for line in lines}
    assert b"\x1b" not in log
    assert found_in(log, busy.secrets) == []


def test_no_command_line_has_a_secret(busy: Busy) -> None:
    assert found_in(Path(f"/proc/{busy.node.pid}/cmdline").read_bytes(), busy.secrets) == []


def test_files_are_for_their_owner_alone_whatever_the_umask(busy: Busy) -> None:
    assert busy.node.data_dir.stat().st_mode & 0o777 == 0o700
    names = {path.name for path in files_of(busy)}
    assert {KEY_FILE, "taskyard.db", "taskyard.db-wal"} <= names
    assert {path.name: oct(path.stat().st_mode & 0o777) for path in files_of(busy)} == dict.fromkeys(names, "0o600")


def test_no_file_has_a_secret_running_killed_or_stopped(busy: Busy) -> None:
    def look() -> None:
        for path in files_of(busy):
            # The key file is where its own key is kept, and nothing else.
            others = busy.secrets - {path.read_text().strip()} if path.name == KEY_FILE else busy.secrets
            assert found_in(path.read_bytes(), others) == [], path.name

    everything = b"".join(path.read_bytes() for path in files_of(busy))
    assert busy.backend.endpoints["predict"].encode() in everything, "what is no secret is found in this way"
    look()
    busy.node.kill()
    look()
    busy.node.start()
    assert busy.node.stop() == 0
    look()


def test_a_search_finds_a_secret_however_it_is_written() -> None:
    secret = word()
    for form in written_as(secret):
        assert found_in(b"before " + form + b" after", [secret]) == [secret]
    assert found_in(base64.b64encode(secret.encode()), [secret]) == [secret]
    assert found_in(word().encode(), [secret]) == []


def test_rotated_secrets_leave_no_running_work_behind(tmp_path: Path) -> None:
    old, new = Secret(word() * 2), Secret(word() * 2)
    backend = Backend(accept)
    try:
        yard = Yard(tmp_path / "data", secret_key=(old,), endpoint_allow=("127.0.0.0/8",))
        try:
            body = {"name": "s", "endpoints": backend.endpoints, "apiKey": f"key-{word()}"}
            assert yard.client("service").post("/api/servers", json=body).json()["status"] == "online"
            user = yard.client("user")
            running = [user.post("/api/task", json={"type": "t", "payload": {}}).json()["id"] for _ in range(2)]
            paths = [backend.task(task)["callback_url"].partition("/api/")[2] for task in running]
        finally:
            yard.stop()
        secret = "a new secret for tokens, and long enough for HS256"
        yard = Yard(
            tmp_path / "data", jwt_secret=(Secret(secret),), secret_key=(new, old), endpoint_allow=("127.0.0.0/8",)
        )
        try:
            done = yard.client().put(f"/api/{paths[0]}", json={"status": "COMPLETED", "result": 1})
            assert (done.status_code, done.json()["status"]) == (200, "COMPLETED")
            assert yard.client("user").get("/api/tasks").status_code == 401, f"signed under {SECRET}"
            # The apiKey, sealed under the old key, is still sent; the proof is made by the new one.
            backend.behave = echo
            headers = {"Authorization": f"Bearer {token('user', secret=secret)}"}
            body = {"type": fresh("t"), "payload": {}, "async": False}
            answer = yard.client(headers=headers).post("/api/task", json=body)
            assert answer.json()["status"] == "COMPLETED"
            assert len({head["authorization"] for head in backend.heads}) == 1
        finally:
            yard.stop()
        yard = Yard(tmp_path / "data", secret_key=(new,), endpoint_allow=("127.0.0.0/8",))
        try:
            refused = yard.client().put(f"/api/{paths[1]}", json={"status": "COMPLETED", "result": 1})
            assert refused.status_code == 401, "the old key is gone for good"
        finally:
            yard.stop()
    finally:
        backend.stop()
