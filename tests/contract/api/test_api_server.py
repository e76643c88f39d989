"""Slow and rude peers, the limits of a connection, and how a node starts and stops."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import structlog

from taskyard.api.connection import Connection
from taskyard.api.node import bind
from taskyard.api.server import HttpServer
from taskyard.host.errors import StartError
from taskyard.settings import Settings
from tests.contract.api.yard import PATIENCE_S, SECRET, Yard, eventually, fresh, read_all, token

HOST = b"Host: x\r\n"
BODY = b'{"type":"t","payload":{},"capabilities":["nobody"]}'


def auth() -> bytes:
    return f"Authorization: Bearer {token('user')}\r\n".encode()


def post(length: int = len(BODY), more: bytes = b"") -> bytes:
    return b"POST /api/task HTTP/1.1\r\n" + HOST + auth() + more + b"Content-Length: %d\r\n\r\n" % length


def answer_of(data: bytes) -> tuple[int, dict[str, str]]:
    head, _, body = data.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def connect(yard: Yard) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", yard.running.port), PATIENCE_S)
    connection.settimeout(PATIENCE_S)
    return connection


def _trickled(yard: Yard, first: bytes, then: bytes) -> bytes:
    """What is answered to these bytes and, every now and then, these."""
    with connect(yard) as connection:
        stop = threading.Event()

        def trickle() -> None:
            with contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    connection.sendall(then)

        connection.sendall(first)
        sender = threading.Thread(target=trickle)
        sender.start()
        data = read_all(connection)
        stop.set()
        sender.join()
    return data


def test_a_head_that_does_not_come_is_408(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(head_timeout=300)
    for start in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: x\r\nX-A: "):
        code, body = answer_of(yard.raw(start))
        assert (code, body["error"]) == (408, "Request timeout")


def test_a_head_that_trickles_is_408(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(head_timeout=500, idle_timeout=600_000)
    assert answer_of(_trickled(yard, b"GET / HTTP/1.1\r\nX: ", b"X"))[0] == 408


def test_a_body_that_stops_is_408(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(idle_timeout=300, body_timeout=600_000)
    code, body = answer_of(yard.raw(post() + BODY[:5]))
    assert (code, body["error"]) == (408, "Request timeout")
    assert yard.on_loop(lambda: yard.running.node.in_flight) == 0


def test_a_body_that_trickles_is_408(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(idle_timeout=600_000, body_timeout=500)
    assert answer_of(_trickled(yard, post(100_000), b" "))[0] == 408


def test_what_came_while_the_node_stood_still_is_in_time(
    own_yard: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that is frozen as it reads finds its timers due before it reads on."""
    yard = own_yard(head_timeout=2_000)
    begun, received = threading.Event(), Connection.data_received

    def stand_still(self: Connection, data: bytes) -> None:
        if data.startswith(b"GET /still"):
            begun.set()
            time.sleep(4)
        received(self, data)

    monkeypatch.setattr(Connection, "data_received", stand_still)
    with connect(yard) as connection, connect(yard) as other:
        connection.sendall(b"GET /health HT")
        other.sendall(b"GET /still HTTP/1.1\r\nHost: x\r\n\r\n")
        assert begun.wait(PATIENCE_S)
        connection.sendall(b"TP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer_of(read_all(connection))[0] == 200


def test_a_client_that_does_not_take_its_answer_is_cut_off(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(write_timeout=500)
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", yard.running.port))
        connection.sendall(b"GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
        server = yard.running.server
        eventually(lambda: yard.on_loop(lambda: len(server.connections)) == 1)
        eventually(lambda: yard.on_loop(lambda: len(server.connections)) == 0)


def test_an_early_answer_is_read_by_who_sends_a_large_body_to_its_end(own_yard: Callable[..., Yard]) -> None:
    """It sends all before it reads; to close, or to reset, before that would cost it the answer."""
    yard = own_yard(rest_timeout=60_000)
    length = Settings().body_max_bytes + 6_000_000
    data = yard.raw(post(length, b"Connection: close\r\n") + b"x" * length)
    assert answer_of(data)[0] == 413
    # Past `rest_max_bytes` it is cut off.
    with connect(yard) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(post(10**9))
        while True:
            connection.sendall(b"x" * 1_000_000)


def test_a_slow_call_is_not_cut_off(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(head_timeout=500, body_timeout=500, idle_timeout=500, write_timeout=500)
    body = BODY[:-1] + b',"async":false,"wait":2500}'
    data = yard.raw(post(len(body), b"Connection: close\r\n") + body)
    assert (answer_of(data)[0], b'"PENDING"' in data) == (200, True)


def test_an_idle_connection_is_kept(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(head_timeout=500, idle_timeout=500)
    with connect(yard) as connection:
        for _ in range(2):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"healthy" in connection.recv(65_536)
            # So long that two sweeps find it over these limits.
            sweeps = yard.on_loop(lambda: yard.loop.time())
            eventually(lambda begin=sweeps: yard.on_loop(lambda: yard.loop.time()) - begin > 1.6)


def test_a_connection_on_which_nothing_is_asked_is_closed(own_yard: Callable[..., Yard]) -> None:
    assert Settings().keep_alive == 75_000
    yard = own_yard(keep_alive=1000)
    with connect(yard) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("hosts", [b"", b"Host: a\r\nHost: b\r\n", b"Connection: upgrade\r\nUpgrade: x\r\n"])
def test_a_request_has_one_host(yard: Yard, hosts: bytes) -> None:
    code, body = answer_of(yard.raw(b"GET /health HTTP/1.1\r\n" + hosts + b"\r\n"))
    assert code == 400
    assert "Host" in body["details"]
    assert yard.raw(b"GET /health HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 200")


def test_a_fault_of_the_nodes_own_while_a_request_is_read_is_500_and_logged(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(url: bytes) -> tuple[str, bytes]:
        raise RuntimeError("a mistake")

    with monkeypatch.context() as planted, structlog.testing.capture_logs() as logged:
        planted.setattr("taskyard.api.connection.target", broken)
        code, body = answer_of(yard.raw(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"))
    assert (code, set(body)) == (500, {"error", "requestId"})
    (line,) = [line for line in logged if line["log_level"] == "error"]
    assert isinstance(line["exc_info"], RuntimeError)
    assert yard.client().get("/health").status_code == 200


@pytest.mark.parametrize(
    "head",
    [
        b"".join(b"X-%d: y\r\n" % n for n in range(65)),
        b"X-Long: " + b"y" * 16_500 + b"\r\n",
        b"X-Long: " + b"y" * 500_000,
    ],
)
def test_too_much_head_is_431(yard: Yard, head: bytes) -> None:
    code, body = answer_of(yard.raw(b"GET /health HTTP/1.1\r\n" + HOST + head + b"\r\n"))
    assert code == 431
    assert "64" in body["details"]


@pytest.mark.parametrize(
    "head", [b"X-Long: " + b"y" * 16_500, b"\r\n".join(b"X-%d: y" % n for n in range(65)), b"X: \0"]
)
def test_what_came_before_a_head_that_is_refused_is_answered(yard: Yard, head: bytes) -> None:
    first = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
    data = yard.raw(first * 3 + b"GET /health HTTP/1.1\r\n" + HOST + head + b"\r\n\r\n")
    assert data.count(b"HTTP/1.1 200") == data.count(b"healthy") == 3
    assert data.count(b"connection: close") == 1


def test_what_came_before_a_body_that_is_refused_is_answered(yard: Yard) -> None:
    broken = b"POST /api/task HTTP/1.1\r\n" + HOST + auth() + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n"
    data = yard.raw(b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n" + broken)
    assert data.count(b"HTTP/1.1") == data.count(b"healthy") == data.count(b"connection: close") == 1


def test_a_long_path_is_431(yard: Yard) -> None:
    assert answer_of(yard.raw(b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n"))[0] == 431


def test_as_much_head_as_allowed(yard: Yard) -> None:
    head = b"".join(b"X-%d: %s\r\n" % (n, b"y" * 200) for n in range(62))
    data = yard.raw(b"GET /health HTTP/1.1\r\n" + HOST + b"Connection: close\r\n" + head + b"\r\n")
    assert data.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "headers",
    [
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 5x\r\n",
        b"Bad Header: 1\r\n",
        b"X: a\0b\r\n",
    ],
)
def test_ambiguous_heads_are_400_and_close(yard: Yard, headers: bytes) -> None:
    data = yard.raw(b"POST /api/task HTTP/1.1\r\n" + HOST + auth() + headers + b"\r\n0\r\n\r\n")
    code, body = answer_of(data)
    assert code == 400
    assert body.keys() == {"error", "details", "requestId"}
    assert b"x-content-type-options: nosniff" in data


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"GARBAGE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_not_http_is_400(yard: Yard, data: bytes) -> None:
    assert answer_of(yard.raw(data))[0] == 400


def test_too_many_connections_from_one_address(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(connections_per_peer=3)
    kept = [connect(yard) for _ in range(3)]
    for connection in kept:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in connection.recv(65_536)
    code, _ = answer_of(yard.raw(b""))
    assert code == 503
    kept.pop().close()
    eventually(lambda: b"healthy" in yard.raw(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"))
    for connection in kept:
        connection.close()


def test_trusted_proxies_may_have_more(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(connections_per_peer=1, trusted_proxies=("127.0.0.0/8",))
    connections = [connect(yard) for _ in range(5)]
    for connection in connections:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200" in connection.recv(65_536)
        connection.close()


def test_an_upgrade_that_is_not_offered_is_served_as_usual(yard: Yard) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
    with connect(yard) as connection:
        for head in (upgrade, upgrade, b""):
            connection.sendall(post(more=head) + BODY)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_an_upgrade_in_pieces(yard: Yard) -> None:
    upgrade = b"Connection: close, Upgrade\r\nUpgrade: websocket\r\n"
    with connect(yard) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in (post(more=upgrade)[:60], post(more=upgrade)[60:], BODY[:9], BODY[9:]):
            connection.sendall(piece)
        assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_connect_is_refused(yard: Yard) -> None:
    data = yard.raw(b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer_of(data)[0] == 400


def test_expect_continue(yard: Yard) -> None:
    with connect(yard) as connection:
        connection.sendall(post(more=b"Expect: 100-continue\r\n"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 100")
        connection.sendall(BODY)
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")


def test_a_declared_length_over_the_limit_is_refused_before_the_body(yard: Yard) -> None:
    with connect(yard) as connection:
        connection.sendall(post(10**9, more=b"Expect: 100-continue\r\n"))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 413")


def test_pipelined_requests_are_answered_in_order(yard: Yard) -> None:
    paths = (b"/health", b"/ready", b"/")
    data = yard.raw(
        b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in paths)
        + b"GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    order = [data.index(word) for word in (b"healthy", b'"ready"', b"OK!", b"404")]
    assert order == sorted(order)


def test_a_client_that_goes_away_in_its_body_leaves_nothing(yard: Yard) -> None:
    yard.raw(post(1000) + BODY[:3], read=False)
    eventually(lambda: yard.on_loop(lambda: yard.running.node.in_flight) == 0)
    assert yard.client().get("/health").status_code == 200


# --- start and stop --------------------------------------------------------------------------------------------------


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(StartError, match="in use") as caught:
            bind("127.0.0.1", taken.getsockname()[1])
        assert "\n" not in str(caught.value)
        assert "--port" in str(caught.value)
        with pytest.raises(StartError, match="in use"):
            Yard(tmp_path / "data", port=taken.getsockname()[1])


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_an_address_that_is_not_ours(host: str) -> None:
    with pytest.raises(StartError) as caught:
        bind(host, 0)
    assert "\n" not in str(caught.value)
    assert host in str(caught.value)


def test_localhost_is_both_loopbacks() -> None:
    sockets = bind("localhost", 0)
    addresses = [listener.getsockname()[:2] for listener in sockets]
    for listener in sockets:
        listener.close()
    assert addresses[0][0] == "127.0.0.1"
    assert len({port for _, port in addresses}) == 1
    if len(addresses) > 1:
        assert addresses[1][0] == "::1"


def test_a_second_node_on_one_directory_is_refused(tmp_path: Path) -> None:
    first = Yard(tmp_path / "data")
    with pytest.raises(StartError):
        Yard(tmp_path / "data")
    assert first.client().get("/ready").status_code == 200
    first.stop()


def test_a_server_that_cannot_listen_leaves_no_node_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(server: HttpServer, sockets: object) -> None:
        raise OSError("no more descriptors")

    with monkeypatch.context() as planted:
        planted.setattr(HttpServer, "start_on", fails)
        with pytest.raises(OSError, match="descriptors"):
            Yard(tmp_path / "data")
    # The data folder is free again.
    Yard(tmp_path / "data").stop()


SCRIPT = """
import sys
from taskyard.api.node import run
from taskyard.settings import Secret, Settings
run(Settings(port=int(sys.argv[1]), data_dir=sys.argv[2], jwt_secret=(Secret(sys.argv[3]),)))
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_0(tmp_path: Path, signum: signal.Signals) -> None:
    port = free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(port), str(tmp_path / "data"), SECRET],
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=PATIENCE_S)
        client.headers["authorization"] = f"Bearer {token('user')}"

        def up() -> bool:
            try:
                return client.get("/ready").is_success
            except httpx.ConnectError:
                return False

        eventually(up, 20)
        body = {"type": fresh("t"), "payload": {}, "async": False}
        answers: list[httpx.Response] = []
        waiting = threading.Thread(target=lambda: answers.append(client.post("/api/task", json=body)))
        waiting.start()
        with httpx.Client(base_url=client.base_url, headers=client.headers, trust_env=False) as other:
            eventually(lambda: other.get("/api/tasks").json()["tasks"])
        process.send_signal(signum)
        waiting.join(PATIENCE_S)
        assert answers[0].json()["status"] == "PENDING"
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        log = [json.loads(line) for line in process.stderr.read().splitlines()]
        assert {"listening", "node_draining", "node_stopped"} <= {line["event"] for line in log}
        assert all({"level", "timestamp"} <= line.keys() for line in log)
        assert SECRET not in json.dumps(log)
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()
        client.close()
