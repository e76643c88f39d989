"""A real node with its HTTP server on a free port, in a thread of its own; and real backend servers, one each."""

import asyncio
import itertools
import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import httpx
import uvicorn
import uvloop

from taskyard.api.node import Running, start
from taskyard.settings import Secret, Settings
from taskyard.tokens import sign

T = TypeVar("T")
SECRET = "a secret of the tests, long enough for HS256"
SERVICE_SECRET = "another secret of the tests, for services only"
PATIENCE_S = 60.0
_numbers = itertools.count(1)


def fresh(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{next(_numbers)}"


def token(*roles: str, sub: str = "ann", secret: str = SECRET, lifetime_ms: int = 3_600_000) -> str:
    """A token as `taskyard token` makes it."""
    return sign(secret, sub, roles, lifetime_ms, time.time_ns() // 1_000_000)


def eventually(what: Callable[[], T | bool | None], patience_s: float = PATIENCE_S) -> T:
    """Ask until there is an answer that counts."""
    end = time.monotonic() + patience_s
    while True:
        found = what()
        if found:
            return found  # type: ignore[return-value]
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.005)


def refused(answer: httpx.Response, code: int, *words: str) -> dict[str, str]:
    """The body of an answer that refuses with this code and says these words."""
    assert answer.status_code == code, answer.text
    body: dict[str, str] = answer.json()
    assert {"error", "requestId"} <= set(body) <= {"error", "details", "requestId", "status"}
    assert body["requestId"] == answer.headers["x-request-id"]
    for word in words:
        assert word in body["error"] + " " + body["details"]
    return body


class Yard:
    """A running node."""

    def __init__(self, data_dir: Path, **settings: Any) -> None:
        settings = {
            "port": 0,
            "ballast": 0,
            # However busy the machine: a server is registered when its first check has ended, and that passes.
            "registration_wait": 60_000,
            "check_timeout": 30_000,
            "jwt_secret": (Secret(SECRET),),
            "service_jwt_secret": (Secret(SERVICE_SECRET),),
        } | settings
        self.settings = Settings(data_dir=str(data_dir), **settings)
        self._ready = threading.Event()
        self._error: BaseException | None = None
        self._clients: list[httpx.Client] = []
        self.running: Running
        self.loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._run, name="yard", daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE_S)
        if self._error is not None:
            raise self._error
        self.url = f"http://127.0.0.1:{self.running.port}"

    def _run(self) -> None:
        async def main() -> None:
            try:
                self.loop = asyncio.get_running_loop()
                self.running = await start(self.settings)
            except BaseException as error:
                self._error = error
                return
            finally:
                self._ready.set()
            await self.running.wait()

        uvloop.run(main())

    def on_loop(self, call: Callable[[], T]) -> T:
        """Call something in the node's own thread."""

        async def there() -> T:
            return call()

        return asyncio.run_coroutine_threadsafe(there(), self.loop).result(PATIENCE_S)

    def client(self, *roles: str, sub: str = "ann", **options: Any) -> httpx.Client:
        """A client with a token of these roles; none without roles."""
        headers = {"Authorization": f"Bearer {token(*roles, sub=sub)}"} if roles else {}
        headers |= options.pop("headers", {})
        client = httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **options)
        self._clients.append(client)
        return client

    def raw(self, data: bytes, read: bool = True) -> bytes:
        """Send bytes on a connection of its own and read until the node closes it."""
        with socket.create_connection(("127.0.0.1", self.running.port), PATIENCE_S) as connection:
            connection.sendall(data)
            return read_all(connection) if read else b""

    def begin_stop(self) -> None:
        """As SIGTERM does."""
        self.loop.call_soon_threadsafe(self.running.stop)

    def stop(self) -> None:
        """End it, and wait for that."""
        for client in self._clients:
            client.close()
        if self._thread.is_alive():
            self.begin_stop()
            self._thread.join(PATIENCE_S + 15)
        assert not self._thread.is_alive()


def read_all(connection: socket.socket) -> bytes:
    """All bytes until the other end closes."""
    connection.settimeout(PATIENCE_S)
    received = b""
    while True:
        try:
            chunk = connection.recv(65_536)
        except ConnectionResetError:
            return received
        if not chunk:
            return received
        received += chunk


Behaviour = Callable[[dict[str, Any]], tuple[int, Any]]


def accept(_: dict[str, Any]) -> tuple[int, Any]:
    """Takes the task and says nothing more: it will call back."""
    return 202, {"status": "accepted"}


def echo(task: dict[str, Any]) -> tuple[int, Any]:
    """Does the task at once."""
    return 200, {"status": "success", "result": {"echo": task["request"]["payload"]}}


class Backend:
    """A backend server; `behave` decides about each task, `healthy` about each check."""

    def __init__(self, behave: Behaviour = echo) -> None:
        self.behave = behave
        self.health: tuple[int, Any] = (200, {"status": "healthy"})
        self.hold_health: threading.Event | None = None
        self.seen: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.raw: list[bytes] = []
        self.checks = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        # Ports come again, and a predict URL belongs to whoever registered it first.
        self._path = fresh("predict")
        config = uvicorn.Config(
            self._app, interface="asgi3", lifespan="off", ws="none", log_level="critical", timeout_keep_alive=60
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],), daemon=True)
        self._thread.start()
        eventually(lambda: self._server.started)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if scope["path"] == "/health":
            self.checks += 1
            if self.hold_health is not None:
                await asyncio.to_thread(self.hold_health.wait, PATIENCE_S)
            status, answer = self.health
        else:
            task = json.loads(body)
            self.heads.append({name.decode(): value.decode() for name, value in scope["headers"]})
            self.raw.append(body)
            status, answer = self.behave(task)
            self.seen.append(task)
        content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    @property
    def endpoints(self) -> dict[str, str]:
        """What it registers with."""
        return {"predict": f"{self.url}/{self._path}", "health": f"{self.url}/health"}

    def task(self, task_id: str) -> dict[str, Any]:
        """What it was sent for a task, once that came."""
        return eventually(lambda: next((task for task in reversed(self.seen) if task["task_id"] == task_id), None))

    def stop(self) -> None:
        """End it."""
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(PATIENCE_S)
        self._socket.close()
