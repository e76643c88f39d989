"""As much HTTP/1.1 as the programs of this test need, on asyncio's streams: bodies with a length, connections kept."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlsplit

# Said of a request that was not carried out: it came too slowly, as from or to a process that was frozen; or not now.
AGAIN = (408, 503)
BROKEN = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError)


class Message(NamedTuple):
    """A request or an answer: its first line in words, headers by lower-case name, and the body."""

    start: list[str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Raises one of `BROKEN` when the connection ends first."""
    first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").rstrip().split("\r\n")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Message(first.split(" ", 2), headers, body)


class Caller:
    """One connection to one server, made anew after it broke."""

    def __init__(self, base: str, token: str | None = None) -> None:
        where = urlsplit(base)
        self._host, self._port = where.hostname, where.port
        self._authorization = f"Authorization: Bearer {token}\r\n" if token else ""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Message]:
        """The answer's status and all of it. Raises one of `BROKEN`: nobody knows what became of the request."""
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            data = b"" if body is None else json.dumps(body).encode()
            head = f"{method} {path} HTTP/1.1\r\nHost: test\r\n{self._authorization}Content-Length: {len(data)}\r\n\r\n"
            writer.write(head.encode() + data)
            answer = await read_message(reader)
        except BROKEN:
            self.close()
            raise
        if answer.headers.get("connection") == "close":
            self.close()
        return int(answer.start[1]), answer

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


class Reset(Exception):
    """The handler breaks the connection instead of answering."""


Handler = Callable[[Message], Awaitable[tuple[int, dict[str, str], bytes]]]


async def listen(port: int, handler: Handler) -> asyncio.Server:
    """A server on loopback."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                status, headers, body = await handler(await read_message(reader))
                lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
                writer.write(f"HTTP/1.1 {status} Word\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body)
        except BROKEN:
            pass
        except Reset:
            writer.transport.abort()
        finally:
            writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)


async def orphaned(reader_of: Any) -> None:
    """Return when the process that started this one has ended, or closed its end of our standard input."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), reader_of)
    await reader.read()
