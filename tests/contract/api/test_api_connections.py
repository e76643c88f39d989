"""A connection at its edges: what comes after an answer, beside a body, or from clients of another age."""

import gc
import re
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress

import pytest

from taskyard.api.connection import Connection
from tests.contract.api.yard import PATIENCE_S, Yard, eventually, read_all, token

AUTH = f"Authorization: Bearer {token('user')}\r\n".encode()
BODY = b'{"type":"t","payload":{},"capabilities":["nobody"]}'
CHUNKED = b"POST /api/task HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
# More than all buffers between two sockets of one machine hold.
MOST = 64 << 20


def connect(yard: Yard) -> socket.socket:
    return socket.create_connection(("127.0.0.1", yard.running.port), PATIENCE_S)


def codes(data: bytes) -> list[int]:
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", data)]


ENDLESS = {
    "trailers": (b"2\r\n{}\r\n0\r\n", b"X-Abc: y\r\n" * 10_000),
    "a trailer": (b"2\r\n{}\r\n0\r\nX: ", b"y" * 100_000),
    "a trailer's name": (b"2\r\n{}\r\n0\r\n", b"y" * 100_000),
    "a chunk's extension": (b"2;a=", b"y" * 100_000),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("sender", [AUTH, b""])  # the second is answered before its body has come
def test_what_stands_beside_a_body_has_an_end(yard: Yard, name: str, sender: bytes) -> None:
    first, again = ENDLESS[name]
    sent = 0
    with connect(yard) as connection:
        connection.sendall(CHUNKED + sender + b"\r\n" + first)
        with suppress(ConnectionError):
            while sent < MOST:
                connection.sendall(again)
                sent += len(again)
    assert sent < MOST
    eventually(lambda: yard.on_loop(lambda: yard.running.node.in_flight) == 0)


def test_trailers_that_are_small_are_read_over(yard: Yard) -> None:
    body = b"%x;a=b\r\n%b\r\n0\r\nX-Sum: 1\r\n\r\n" % (len(BODY), BODY)
    assert codes(yard.raw(CHUNKED + AUTH + b"\r\n" + body + HEALTH)) == [200, 200]


def test_what_is_wrong_with_the_rest_of_an_answered_request_is_not_a_second_answer(yard: Yard) -> None:
    with connect(yard) as connection:
        connection.sendall(CHUNKED + b"\r\n")
        assert codes(connection.recv(65_536)) == [401]
        connection.sendall(b"no number\r\n")
        assert read_all(connection) == b""


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_who_is_answered_while_it_sends_its_last_body_can_send_it_to_its_end(yard: Yard, version: bytes) -> None:
    """A connection that is closed while data comes is reset, and the reset takes the answer with it."""
    piece, pieces = b"x" * 50_000, 10
    head = b"POST /api/task HTTP/%b\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    with connect(yard) as connection:
        connection.sendall(head % (version, len(piece) * pieces))
        answer = connection.recv(65_536)
        assert codes(answer) == [401]
        assert b"connection: close" in answer
        for _ in range(pieces):
            connection.sendall(piece)
        connection.sendall(HEALTH)
        assert codes(read_all(connection)) == []


def test_a_second_head_may_be_no_longer_than_the_first(yard: Yard) -> None:
    """Its first part comes together with a body."""
    long = b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 20_000
    with connect(yard) as connection:
        connection.sendall(b"POST /api/task HTTP/1.1\r\nHost: x\r\n" + AUTH + b"Content-Length: %d\r\n\r\n" % len(BODY))
        connection.sendall(BODY + long)
        assert codes(connection.recv(65_536)) == [200]
        connection.sendall(b"\r\n\r\n")
        assert codes(read_all(connection)) == [431]


def test_older_clients_are_not_told_to_continue(yard: Yard) -> None:
    head = b"POST /api/task HTTP/1.0\r\n" + AUTH + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(BODY)
    node = yard.running.node
    with connect(yard) as connection:
        connection.sendall(head + BODY[:9])
        eventually(lambda: yard.on_loop(lambda: node.in_flight) == 9)
        connection.sendall(BODY[9:])
        assert codes(read_all(connection)) == [200]


def test_an_older_client_that_asks_for_an_upgrade_stays_an_older_client(yard: Yard) -> None:
    """It reads until the connection is closed."""
    data = yard.raw(b"GET /health HTTP/1.0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    assert codes(data) == [200]
    assert b"connection: close" in data


def test_a_connection_that_is_gone_leaves_nothing_to_the_collector(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    server = yard.running.server
    left: list[weakref.ref[Connection]] = []

    def watch() -> bool:
        left.extend(map(weakref.ref, server.connections))
        return bool(server.connections)

    gc.disable()
    try:
        with connect(yard) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert codes(connection.recv(65_536)) == [200]
            eventually(lambda: yard.on_loop(watch))
        eventually(lambda: yard.on_loop(lambda: all(ref() is None for ref in left)))
        assert left
    finally:
        gc.enable()
