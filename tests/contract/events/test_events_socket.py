"""`/ws`: tasks over a WebSocket, spoken to by the library's client, and by bytes where that would not say it."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage

from tests.contract.api.yard import PATIENCE_S, Yard, eventually, refused, token
from tests.contract.events.test_events_topics import submit

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Socket:
    """One WebSocket to a node."""

    def __init__(self, yard: Yard, *roles: str, sub: str = "ann", **more: str) -> None:
        self.socket = socket.create_connection(("127.0.0.1", yard.running.port), PATIENCE_S)
        self.socket.settimeout(2 * PATIENCE_S)
        self.frames = WSConnection(ConnectionType.CLIENT)
        headers = [("Authorization", f"Bearer {token(*(roles or ('user',)), sub=sub)}"), *more.items()]
        self.send(Request(host="x", target="/ws", extra_headers=[(n.encode(), v.encode()) for n, v in headers]))
        self._events: Iterator[Any] = iter(())
        assert isinstance(self.next(), AcceptConnection)

    def send(self, event: Any) -> None:
        self.socket.sendall(self.frames.send(event))

    def say(self, **message: Any) -> None:
        self.send(TextMessage(data=json.dumps(message)))

    def next(self) -> Any:
        """The next event; a lost connection fails."""
        while True:
            for event in self._events:
                return event
            data = self.socket.recv(65_536)
            assert data, "the node closed the connection"
            self.frames.receive_data(data)
            self._events = self.frames.events()

    def told(self) -> dict[str, Any]:
        """The next message."""
        text = ""
        while True:
            event = self.next()
            assert isinstance(event, TextMessage), event
            text += event.data
            if event.message_finished:
                found: dict[str, Any] = json.loads(text)
                return found


@pytest.fixture
def ws() -> Iterator[Callable[..., Socket]]:
    made: list[Socket] = []

    def make(yard: Yard, *roles: str, **how: str) -> Socket:
        made.append(Socket(yard, *roles, **how))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


def test_a_task_is_subscribed_to_and_followed(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard()
    task, other = submit(yard), submit(yard, sub="bob")
    client = ws(yard)
    client.say(type="subscribe", taskId=task)
    assert client.told() == {"type": "subscribed", "taskId": task}
    shown = client.told()
    assert (shown["type"], shown["task"]["id"], shown["task"]["status"]) == ("task", task, "PENDING")
    for nothing in (other, "task_none", "\n"):
        client.say(type="subscribe", taskId=nothing)
        said = client.told()
        assert (said["type"], said["error"], said["taskId"]) == ("error", "Task not found", nothing)
    yard.client("admin").post(f"/api/task/{other}/cancel")
    yard.client("user").post(f"/api/task/{task}/cancel")
    assert client.told()["task"]["status"] == "CANCELLED"
    client.say(type="unsubscribe", taskId=task)
    assert client.told() == {"type": "unsubscribed", "taskId": task}
    yard.client("user").post(f"/api/task/{task}/retry")
    client.say(type="ping")
    assert client.told()["type"] == "pong"
    client.send(Ping(payload=b"x"))
    assert client.next().payload == b"x"
    client.send(CloseConnection(code=1000))
    assert client.next().code == 1000
    assert client.socket.recv(1) == b""
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)
    assert yard.on_loop(lambda: not yard.running.node.watched)


def test_what_is_asked_for_in_one_breath_is_answered_in_order_and_nothing_twice(
    own_yard: Callable[..., Yard], ws: Callable[..., Socket]
) -> None:
    # Looks are far apart, so that what is asked for and what changes fall between the same two.
    yard = own_yard(event_interval=1500)
    one, two = submit(yard), submit(yard)
    client = ws(yard)

    def say_all(*messages: tuple[str, str]) -> None:
        said = [TextMessage(data=json.dumps({"type": kind, "taskId": task})) for kind, task in messages]
        client.socket.sendall(b"".join(client.frames.send(text) for text in said))

    def hear(kind: str, task: str) -> None:
        said = client.told()
        assert (said["type"], said.get("taskId") or said["task"]["id"]) == (kind, task)

    say_all(("subscribe", one), ("unsubscribe", one), ("subscribe", two))
    for kind, task in (("subscribed", one), ("task", one), ("unsubscribed", one), ("subscribed", two), ("task", two)):
        hear(kind, task)
    yard.client("user").post(f"/api/task/{one}/cancel")
    # What was told when it was subscribed to is not told again because another task changed.
    say_all(("unsubscribe", two), ("subscribe", two), ("subscribe", one))
    for kind, task in (
        ("unsubscribed", two),
        ("subscribed", two),
        ("task", two),
        ("subscribed", one),
        ("task", one),
    ):
        hear(kind, task)
    yard.client("user").post(f"/api/task/{two}/cancel")
    said = client.told()
    assert (said["task"]["id"], said["task"]["status"]) == (two, "CANCELLED")
    yard.client("user").post(f"/api/task/{one}/retry")
    said = client.told()
    assert (said["task"]["id"], said["task"]["status"]) == (one, "PENDING")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", '{"type":"dance"}', '{"type":"subscribe"}', '{"type":"subscribe","taskId":7}', "[" * 4000],
)
def test_what_is_not_understood_is_said_and_nothing_else_happens(
    own_yard: Callable[..., Yard], ws: Callable[..., Socket], text: str
) -> None:
    client = ws(own_yard())
    client.send(TextMessage(data=text))
    assert client.told()["error"] == "Bad request"
    client.say(type="ping")
    assert client.told()["type"] == "pong"


def test_what_is_too_much_or_no_text_ends_it(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard()
    for event, code in ((TextMessage(data="x" * 5000), 1009), (BytesMessage(data=b"x"), 1003)):
        client = ws(yard)
        client.send(event)
        closed = client.next()
        assert isinstance(closed, CloseConnection)
        assert closed.code == code
        assert client.socket.recv(1) == b""
    # A frame without a mask, as no client may send one; and one of 2**62 bytes, of which nothing may be kept.
    for raw in (b"\x81\x02hi", b"\x81\xff" + (1 << 62).to_bytes(8, "big") + b"mask" + b"x" * 9000):
        client = ws(yard)
        client.socket.sendall(raw)
        assert isinstance(client.next(), CloseConnection)
        assert client.socket.recv(1) == b""
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)


def test_who_says_too_much_is_cut_off(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard()
    client = ws(yard)
    for _ in range(3):
        client.send(TextMessage(data="nonsense"))
    assert [client.told()["error"] for _ in range(3)] == ["Bad request"] * 3
    closed = client.next()
    assert isinstance(closed, CloseConnection)
    assert closed.code == 1008
    # A flood that is sent as one piece, far more than one read takes.
    client = ws(yard)
    client.socket.sendall(b"".join(client.frames.send(Ping()) for _ in range(5_000)))
    pongs, event = 0, client.next()
    while isinstance(event, Pong):
        pongs, event = pongs + 1, client.next()
    assert isinstance(event, CloseConnection)
    assert event.code == 1008
    assert pongs < 5_000
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)


def test_subscriptions_are_limited(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard(event_streams_per_sub=1, event_tasks=101)
    batch = {"tasks": [{"type": "t", "payload": {}, "capabilities": ["nobody"]} for _ in range(102)]}
    tasks = [answer["id"] for answer in yard.client("user").post("/api/tasks", json=batch).json()["results"]]
    client = ws(yard)
    for task in tasks[:101]:
        client.say(type="subscribe", taskId=task)
    told = [client.told() for _ in range(201)]
    assert sum(message["type"] == "task" for message in told) == 100
    assert [message["error"] for message in told if message["type"] == "error"] == ["Too many tasks"]
    refused(yard.client("user").get("/ws", headers=handshake()), 429, "PER_SUB")
    bob = ws(yard, "admin", sub="bob")
    bob.say(type="subscribe", taskId=tasks[100])
    assert bob.told()["type"] == "subscribed"
    assert bob.told()["type"] == "task"
    bob.say(type="subscribe", taskId=tasks[101])
    assert bob.told()["error"] == "Service unavailable"


def handshake(**more: str) -> dict[str, str]:
    return {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": KEY,
    } | {name.replace("_", "-"): value for name, value in more.items()}


def test_who_may_open_one(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard(cors_origins=("https://friend.example",))
    user = yard.client("user")
    refused(yard.client().get("/ws", headers=handshake()), 401)
    refused(yard.client("service").get("/ws", headers=handshake()), 403)
    answer = user.get("/ws")
    refused(answer, 426)
    assert answer.headers["upgrade"] == "websocket"
    assert user.get("/ws", headers=handshake(Sec_WebSocket_Version="8")).status_code == 426
    assert user.get("/ws", headers=handshake(Sec_WebSocket_Key="")).status_code == 426
    refused(user.get("/ws", headers=handshake(Origin="https://other.example")), 403, "another origin")
    # What a browser sends along by itself serves the node's own pages and those that are allowed.
    for origin in (yard.url, "https://friend.example"):
        client = Socket.__new__(Socket)
        client.socket = socket.create_connection(("127.0.0.1", yard.running.port), PATIENCE_S)
        lines = {"Host": yard.url[7:], "Authorization": f"Bearer {token('user')}"} | handshake(Origin=origin)
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        client.socket.sendall(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode())
        answer = client.socket.recv(4096)
        assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
        assert b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in answer  # RFC 6455, 1.3
        client.socket.close()


def test_bytes_before_the_upgrade_end_the_connection(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    lines = {"Host": "x", "Authorization": f"Bearer {token('user')}"} | handshake()
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    answer = yard.raw(f"GET /ws HTTP/1.1\r\n{head}\r\n".encode() + b"\x81\x85abcdhello")
    assert b"101" not in answer
    assert yard.on_loop(lambda: len(yard.running.live)) == 0


def test_an_upgrade_that_is_not_offered_is_an_ordinary_request(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard()
    user = yard.client("user")
    assert user.get("/api/tasks", headers=handshake()).status_code == 200
    assert user.post("/api/task", headers=handshake(), json={"type": "t", "payload": {}}).status_code == 200
    assert user.get("/ws", headers=handshake(Upgrade="h2c")).status_code == 426


def test_a_node_that_stops_says_so(own_yard: Callable[..., Yard], ws: Callable[..., Socket]) -> None:
    yard = own_yard(event_silence=100)
    client = ws(yard)
    assert isinstance(client.next(), Ping), "a connection on which nothing happens is asked whether it lives"
    client.send(Pong())
    yard.begin_stop()
    while not isinstance(closed := client.next(), CloseConnection):
        pass
    assert (closed.code, closed.reason) == (1001, "draining")
    assert client.socket.recv(1) == b""
    yard.stop()
