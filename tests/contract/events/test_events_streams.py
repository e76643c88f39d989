"""Answers in pieces, over real sockets and on both event loops: framing, connections that go on, and slow readers."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from taskyard.api.request import Request, Response
from taskyard.api.server import HttpServer
from taskyard.api.stream import Outlet, Piece
from taskyard.settings import Secret, Settings
from tests.support.aio import LOOPS, run, until

BIG = 400_000


class Numbers:
    """A stream that is given what to say, and remembers what becomes of it."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.readies = 0
        self.goners = 0
        self.said = 0
        self.newest: int | None = None

    def open(self, outlet: Outlet) -> None:
        self.outlet = outlet

    def ready(self) -> None:
        self.readies += 1
        if self.newest is not None:
            number, self.newest = self.newest, None
            self.say(number)

    def gone(self) -> None:
        self.goners += 1

    def heard(self, data: bytes) -> None:
        raise AssertionError("nobody upgraded")

    def say(self, number: int, size: int = 10) -> None:
        """Say a number, in so many bytes; while the client is slow only the newest is kept."""
        assert self.outlet is not None
        if self.outlet.full:
            self.newest = number
        else:
            self.said += 1
            self.outlet.write(Piece(f"{number:>{size - 1}}\n".encode()))

    def end(self) -> None:
        assert self.outlet is not None
        self.outlet.end()


class Place:
    """A server whose answers are streams but for /plain."""

    def __init__(self, server: HttpServer, port: int) -> None:
        self.server = server
        self.port = port
        self.streams: list[Numbers] = []

    async def answer(self, request: Request) -> Response:
        if request.path == "/plain":
            return Response(200, b"content-length: 5\r\n", b"plain")
        stream = Numbers()
        self.streams.append(stream)
        return Response(200, b"content-type: text/plain\r\n", b"", stream)

    async def stream(self) -> Numbers:
        """The newest stream, once it is open."""
        await until(lambda: bool(self.streams) and self.streams[-1].outlet is not None, 15)
        return self.streams[-1]


@asynccontextmanager
async def place(**settings: Any) -> AsyncIterator[Place]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)

    async def answer(request: Request) -> Response:
        return await made.answer(request)

    server = HttpServer(answer, Settings(jwt_secret=(Secret("x" * 40),), **settings))
    made = Place(server, listener.getsockname()[1])
    await server.start_on([listener])
    try:
        yield made
    finally:
        await server.stop(0.2)


@asynccontextmanager
async def client(port: int, limit: int = 65_536) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
    try:
        yield reader, writer
    finally:
        writer.close()


async def head_of(reader: asyncio.StreamReader) -> tuple[str, dict[str, str]]:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    return lines[0], {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}


async def chunk_of(reader: asyncio.StreamReader) -> bytes:
    size = int((await reader.readuntil(b"\r\n"))[:-2], 16)
    data = await reader.readexactly(size + 2)
    assert data.endswith(b"\r\n")
    return data[:-2]


def asks(path: str = "/", method: str = "GET", version: str = "1.1", more: str = "") -> bytes:
    return f"{method} {path} HTTP/{version}\r\nHost: x\r\n{more}\r\n".encode()


def on_both(test: Callable[[], Awaitable[None]]) -> Any:
    """Run it on each event loop: how full a transport is, is their own business."""

    @pytest.mark.parametrize("loop", LOOPS)
    def each(loop: str) -> None:
        async def main() -> None:
            await test()

        run(main(), loop, limit_s=60)

    each.__name__ = test.__name__  # type: ignore[attr-defined]
    return each


@on_both
async def test_pieces_come_as_chunks_and_the_connection_goes_on() -> None:
    async with place() as at, client(at.port) as (reader, writer):
        writer.write(asks() + asks("/plain"))
        stream = await at.stream()
        status, head = await head_of(reader)
        assert status == "HTTP/1.1 200 OK"
        assert head["transfer-encoding"] == "chunked"
        assert "content-length" not in head
        assert "connection" not in head
        for number in (1, 2):
            stream.say(number)
            assert await chunk_of(reader) == f"{number:>9}\n".encode()
        stream.outlet.write(Piece(b""))  # an empty chunk would be the end
        stream.end()
        assert await chunk_of(reader) == b""
        assert (await head_of(reader))[1]["content-length"] == "5"
        assert await reader.readexactly(5) == b"plain"
        stream.end()
        stream.say(3)
        writer.write(asks("/plain"))
        assert (await head_of(reader))[0] == "HTTP/1.1 200 OK"
        assert (stream.goners, stream.readies) == (0, 0)


@on_both
async def test_a_client_of_http_1_0_gets_bytes_up_to_the_end() -> None:
    async with place() as at, client(at.port) as (reader, writer):
        writer.write(asks(version="1.0", more="Connection: keep-alive\r\n"))
        stream = await at.stream()
        _, head = await head_of(reader)
        assert "transfer-encoding" not in head
        assert head["connection"] == "close"
        stream.say(1)
        stream.say(2)
        stream.end()
        assert (await reader.read()).split() == [b"1", b"2"]


@on_both
async def test_one_that_wants_to_close_is_closed_after_the_last_chunk() -> None:
    async with place() as at, client(at.port) as (reader, writer):
        writer.write(asks(more="Connection: close\r\n"))
        stream = await at.stream()
        _, head = await head_of(reader)
        assert (head["transfer-encoding"], head["connection"]) == ("chunked", "close")
        stream.say(1)
        stream.end()
        assert (await reader.read()).endswith(b"1\n\r\n0\r\n\r\n")


@on_both
async def test_head_gives_the_head_and_no_stream() -> None:
    async with place() as at, client(at.port) as (reader, writer):
        writer.write(asks(method="HEAD") + asks("/plain"))
        _, head = await head_of(reader)
        assert "content-length" not in head
        assert (await head_of(reader))[1]["content-length"] == "5"
        assert at.streams[0].outlet is None


@on_both
async def test_a_client_that_leaves_is_told_of_once() -> None:
    async with place() as at:
        async with client(at.port) as (reader, writer):
            writer.write(asks())
            stream = await at.stream()
            await head_of(reader)
        await until(lambda: stream.goners == 1, 15)
        stream.say(1)
        stream.end()
        await until(lambda: not at.server.connections, 15)
        assert stream.goners == 1


@on_both
async def test_a_slow_reader_gets_the_newest_and_holds_one_piece() -> None:
    async with place() as at, client(at.port, limit=2 * BIG) as (reader, writer):
        writer.write(asks())
        stream = await at.stream()
        await head_of(reader)
        writer.transport.pause_reading()
        connection = next(iter(at.server.connections))
        number = 0
        while not stream.outlet.full:  # type: ignore[union-attr]
            number += 1
            stream.say(number, BIG)
        last_in_full = number
        for number in range(last_in_full + 1, last_in_full + 1000):
            stream.say(number, BIG)
        assert stream.said == last_in_full
        held = connection._transport.get_write_buffer_size()
        assert 0 < held <= BIG + 20
        writer.transport.resume_reading()
        seen = [int(await chunk_of(reader)) for _ in range(last_in_full)]
        assert seen == list(range(1, last_in_full + 1))
        assert int(await chunk_of(reader)) == number  # those in between are forgotten
        await until(lambda: not stream.outlet.full, 15)  # type: ignore[union-attr]
        stream.end()
        assert await chunk_of(reader) == b""
        writer.write(asks("/plain"))
        assert (await head_of(reader))[0] == "HTTP/1.1 200 OK"


@on_both
async def test_a_reader_that_takes_nothing_is_cut_off() -> None:
    async with place(write_timeout=300) as at, client(at.port) as (reader, writer):
        writer.write(asks())
        stream = await at.stream()
        await head_of(reader)
        writer.transport.pause_reading()
        while not stream.outlet.full:  # type: ignore[union-attr]
            stream.say(1, BIG)
        await until(lambda: stream.goners == 1, 30)
        await until(lambda: not at.server.connections, 30)


@on_both
async def test_nonsense_behind_a_request_leaves_its_stream_alone_and_ends_the_connection_after_it() -> None:
    async with place() as at, client(at.port) as (reader, writer):
        writer.write(asks() + b"\0 nonsense\r\n\r\n")
        stream = await at.stream()
        await head_of(reader)
        stream.say(1)
        assert int(await chunk_of(reader)) == 1
        stream.end()
        assert await reader.read() == b"0\r\n\r\n"
