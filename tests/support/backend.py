"""A backend server on a real socket of loopback whose every answer a test scripts; it keeps what it got, byte by byte.

For each task type a list of behaviours: the first request of the type gets the first, the last one stays. A behaviour
writes what it likes to the connection; `answer` makes the usual ones.
"""

import asyncio
import json
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
    """One request as it came. `head` has lower-case names; `body` is what stood behind the head."""

    method: str
    path: str
    head: dict[str, str]
    body: bytes
    writer: asyncio.StreamWriter
    reader: asyncio.StreamReader
    gone: asyncio.Event = field(default_factory=asyncio.Event)  # the other side closed the connection

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def callback_url(self) -> str:
        return str(self.json["callback_url"])

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def reset(self) -> None:
        """Close with RST in place of FIN."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def until_gone(self) -> None:
        """Answer nothing; return when the other side has closed."""
        try:
            while await self.reader.read(65536):
                pass
        except OSError:
            pass
        self.gone.set()


Behaviour = Callable[[Request], Awaitable[None]]


def answer(status: int = 200, body: bytes | str | object = b"", /, **head: str) -> Behaviour:
    """An answer with this body (bytes as they are, a str in UTF-8, anything else as JSON); `head` as `retry_after`."""
    if isinstance(body, str):
        body = body.encode()
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json"} | {name.replace("_", "-").title(): v for name, v in head.items()}
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(data)}", *(f"{n}: {v}" for n, v in fields.items())]

    async def behave(request: Request) -> None:
        request.send("\r\n".join([*lines, "", ""]).encode() + data)

    return behave


async def hang(request: Request) -> None:
    """Never answer."""
    await request.until_gone()


async def reset(request: Request) -> None:
    request.reset()


async def close(request: Request) -> None:
    request.writer.close()


async def trickle(request: Request) -> None:
    """A head and a part of the body, then silence."""
    request.send(b'HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{"status":')
    await request.until_gone()


async def no_http(request: Request) -> None:
    request.send(b"SSH-2.0-OpenSSH_9.2\r\n")
    request.writer.close()


class Gate:
    """A behaviour that waits to be opened before it goes on as another one does."""

    def __init__(self, then: Behaviour) -> None:
        self._then = then
        self._open = asyncio.Event()
        self.waiting = 0

    async def __call__(self, request: Request) -> None:
        self.waiting += 1
        await self._open.wait()
        await self._then(request)

    def open(self) -> None:
        self._open.set()


class Backend:
    """The server. `health` and `cancel` are behaviours too; `requests` is everything that came, in order."""

    def __init__(self) -> None:
        self.scripts: dict[str, list[Behaviour]] = {}
        self.health: Behaviour = answer(200, {"status": "healthy"})
        self.cancel: Behaviour = answer(200, {})
        self.requests: list[Request] = []
        self.port = 0
        self._turns: Counter[str] = Counter()
        self._by_path: defaultdict[str, list[Request]] = defaultdict(list)
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; on the port it had, if it listened before."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections from now on, and drop those there are."""
        if self._server is not None:
            self._server.close()
            self._server = None
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    def script(self, task_type: str, *behaviours: Behaviour) -> None:
        """What requests of a type get, one after the other; the last stays."""
        self.scripts[task_type] = list(behaviours)
        self._turns[task_type] = 0

    def got(self, path: str = "/predict") -> list[Request]:
        """The requests that came to a path."""
        return self._by_path[path]

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            while not writer.is_closing() and (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                self._by_path[request.path].append(request)
                await self._behaviour(request)(request)
        except asyncio.CancelledError:
            pass
        finally:
            self._connections.discard(task)
            writer.transport.abort()

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").split("\r\n")
            method, path, _ = first.split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
            body = await reader.readexactly(int(fields.get("content-length", "0")))
        except (asyncio.IncompleteReadError, OSError):
            return None
        return Request(method, path, fields, body, writer, reader)

    def _behaviour(self, request: Request) -> Behaviour:
        if request.path == "/health":
            return self.health
        if request.path == "/cancel":
            return self.cancel
        task_type = request.json["request"]["type"]
        script = self.scripts.get(task_type) or [answer(200, {"status": "success", "result": "done"})]
        turn = self._turns[task_type]
        self._turns[task_type] += 1
        return script[min(turn, len(script) - 1)]
