"""Connections that are slow, silent, loud or speak something else: closed within the limits, and nobody else waits."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.contract.badinput.conftest import BODY_S, HEAD_S, IDLE_S, WRITE_S, Attacked
from tests.support.aio import run, until
from tests.support.nodes import NodeProcess, token
from tests.support.nodes import until as wait_until

# For a busy machine; who is not closed at all takes longer.
SLACK_S = 60.0
LIMIT_S = 120.0


def _post(node: Attacked, headers: str) -> bytes:
    return (
        f"POST /api/task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token('user', sub='user')}\r\n{headers}\r\n\r\n"
    ).encode()


async def _until_closed(node: Attacked, first: bytes, then: Iterator[bytes], pause_s: float) -> tuple[bytes, float]:
    """Send, then send on slowly for as long as the node stands it: what it said, and how long it took, in seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    began = time.monotonic()

    async def trickle() -> None:
        with suppress(OSError):
            writer.write(first)
            for data in then:
                await asyncio.sleep(pause_s)
                writer.write(data)
                await writer.drain()

    trickling = asyncio.create_task(trickle())
    heard = b""
    with suppress(ConnectionResetError):
        while data := await reader.read(65_536):
            heard += data
    took = time.monotonic() - began
    trickling.cancel()
    writer.close()
    return heard, took


SLOW: dict[str, tuple[Callable[[Attacked], bytes], bytes, float, float]] = {
    # first bytes, then this again and again, every so many seconds, closed within
    "silent": (lambda _: b"", b"", 9, HEAD_S),
    "silent after a line": (lambda _: b"GET / HTTP/1.1\r\n", b"", 9, HEAD_S),
    "a head by the byte": (lambda _: b"GET / HTTP/1.1\r\nX: ", b"y", 0.1, HEAD_S),
    "a head by the line": (lambda _: b"GET / HTTP/1.1\r\n", b"X: y\r\n", 0.2, HEAD_S),
    "a head that begins with empty lines": (lambda _: b"\r\n", b"\r\n", 0.2, HEAD_S),
    "a second head by the byte": (
        lambda _: b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nX: ",
        b"y",
        0.1,
        HEAD_S,
    ),
    "a silent body": (lambda node: _post(node, "Content-Length: 100"), b"", 9, IDLE_S),
    "a silent body in chunks": (lambda node: _post(node, "Transfer-Encoding: chunked"), b"", 9, IDLE_S),
    "a body that stops": (lambda node: _post(node, "Content-Length: 100") + b'{"type":', b"", 9, IDLE_S),
    "a body by the byte": (lambda node: _post(node, "Content-Length: 9999"), b" ", 0.1, BODY_S),
    "a body by small chunks": (lambda node: _post(node, "Transfer-Encoding: chunked"), b"1\r\n \r\n", 0.1, BODY_S),
}


def test_the_slow_are_closed_in_time_and_hold_up_nobody(node: Attacked) -> None:
    """Ten of each kind at once; meanwhile others are served."""

    async def main() -> None:
        waiting = {
            (name, number): asyncio.create_task(
                _until_closed(node, first(node), iter([again] * 10_000 if again else []), pause_s)
            )
            for name, (first, again, pause_s, _) in SLOW.items()
            for number in range(10)
        }
        served = 0
        while not all(task.done() for task in waiting.values()):
            reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
            writer.write(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()
            # One whom they held up would be served when the last of them is gone.
            served += not any(task.done() for task in waiting.values())
            await asyncio.sleep(0.1)
        assert served
        for (name, _), task in waiting.items():
            heard, took = task.result()
            assert took < SLOW[name][3] + SLACK_S, name
            assert b"HTTP/1.1 408" in heard, (name, heard)

    run(main(), limit_s=LIMIT_S)


def test_who_does_not_take_his_answer_is_closed(node: Attacked) -> None:
    """It asks and asks and reads nothing: the answers must not pile up."""

    async def main() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", node.port, limit=1024)
        before = node.rss_bytes()
        ask = b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 50
        async with asyncio.timeout(WRITE_S + SLACK_S):
            with suppress(ConnectionError):
                while True:
                    writer.write(ask)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        assert node.rss_bytes() - before < 32 << 20
        writer.close()
        del reader

    run(main(), limit_s=LIMIT_S)


def _heads(count: int, size: int) -> bytes:
    return b"".join(b"X-%d: %s\r\n" % (number, b"v" * size) for number in range(count))


FLOODS: dict[str, tuple[bytes, bytes]] = {
    "many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + _heads(100, 1) + b"\r\n", b"431"),
    "very many headers": (b"GET / HTTP/1.1\r\nHost: x\r\n" + _heads(100_000, 1), b"431"),
    "a long header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"v" * 20_000 + b"\r\n\r\n", b"431"),
    "an endless header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"v" * 3_000_000, b"431"),
    "an endless name": (b"GET / HTTP/1.1\r\nHost: x\r\n" + b"v" * 3_000_000, b"431"),
    "an endless path": (b"GET /" + b"a" * 3_000_000, b"431"),
    "a huge token": (
        b"GET /api/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"a" * 50_000 + b"\r\n\r\n",
        b"431",
    ),
    "an endless method": (b"G" * 100_000, b"400"),
    "TLS": (bytes.fromhex("16030100c8010000c40303") + b"\0" * 200, b"400"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2p1\r\n", b"400"),
    "noise": (bytes(range(256)) * 100, b"400"),
    "a bare line feed in a name": (b"GET / HTTP/1.1\r\nHo\0st: x\r\n\r\n", b"400"),
    "two lengths": (b"POST /api/task HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}", b"400"),
    "a length and chunks": (
        b"POST /api/task HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"400",
    ),
    "a chunk that is none": (b"POST /api/task HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"40"),
    "a path that is none": (b"GET api HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
    "HTTP/3.7": (b"GET / HTTP/3.7\r\nHost: x\r\n\r\n", b"400"),
    "a proxy's request": (b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n", b"40"),
}


@pytest.mark.parametrize("name", FLOODS)
def test_what_is_no_request_is_refused_and_closed(node: Attacked, name: str) -> None:
    data, code = FLOODS[name]
    before = node.rss_bytes()
    heard, took = run(_until_closed(node, data, iter(()), 9), limit_s=LIMIT_S)
    assert heard.startswith(b"HTTP/1.1 " + code), heard[:300]
    assert b"application/json" in heard.lower()
    assert b"Traceback" not in heard
    assert took < SLACK_S
    assert node.rss_bytes() - before < 16 << 20


def test_a_smuggled_request_is_not_carried_out(node: Attacked) -> None:
    """A body that looks like a request stays a body."""
    inner = b"POST /api/task HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    outer = _post(node, f"Content-Length: {len(inner)}\r\nConnection: close") + inner
    heard, _ = run(_until_closed(node, outer, iter(()), 9), limit_s=LIMIT_S)
    assert heard.count(b"HTTP/1.1 ") == 1


def test_a_thousand_connections_that_break_off_leave_nothing(node: Attacked) -> None:

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{node.pid}/fd"))

    async def main() -> None:
        before = descriptors()
        for _ in range(10):
            pairs = await asyncio.gather(*[asyncio.open_connection("127.0.0.1", node.port) for _ in range(100)])
            for number, (_, writer) in enumerate(pairs):
                writer.write(_post(node, "Content-Length: 1000")[: 20 + number * 3])
                writer.transport.abort()
        await until(lambda: descriptors() <= before + 5)

    run(main(), limit_s=LIMIT_S)


def test_one_address_cannot_have_all_connections(tmp_path: Path) -> None:
    """Past its share a peer is refused in words; a connection that ends makes room."""
    most = 20
    node = NodeProcess(tmp_path / "data", settings={"TASKYARD_CONNECTIONS_PER_PEER": str(most)})

    def answer(connection: socket.socket) -> bytes:
        connection.settimeout(60)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        return connection.recv(1000)

    def admitted() -> bool:
        with socket.create_connection(("127.0.0.1", node.port)) as one:
            return answer(one).startswith(b"HTTP/1.1 200")

    try:
        node.start()
        with ExitStack() as held:
            for _ in range(most):
                one = held.enter_context(socket.create_connection(("127.0.0.1", node.port)))
                assert answer(one).startswith(b"HTTP/1.1 200")
            with socket.create_connection(("127.0.0.1", node.port)) as more:
                more.settimeout(60)
                refusal = more.recv(1000)
            assert refusal.startswith(b"HTTP/1.1 503")
            assert b"retry-after" in refusal
        wait_until(admitted)
    finally:
        node.kill()
