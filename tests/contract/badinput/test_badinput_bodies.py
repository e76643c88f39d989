"""Bodies that are no JSON, or JSON that nobody should take."""

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.contract.badinput.conftest import Attacked
from tests.contract.badinput.refusals import refused
from tests.support.accepting import Accepting
from tests.support.nodes import token

DEEP = 10_000
MIB = 1 << 20


def _task(payload: bytes = b"{}", more: bytes = b"") -> bytes:
    return b'{"type":"t","payload":' + payload + more + b"}"


def _nested(opening: bytes, closing: bytes, inner: bytes = b"1", depth: int = DEEP) -> bytes:
    return opening * depth + inner + closing * depth


BROKEN = {
    "empty": (b"", "empty"),
    "only spaces": (b" \n ", "empty"),
    "cut short": (b'{"type":"t","payload":{', "ends too early"),
    "cut in a string": (b'{"type":"t', "ends too early"),
    "no quotes": (b"{type: t}", "not valid JSON"),
    "single quotes": (b"{'type': 't'}", "not valid JSON"),
    "a comma too many": (b'{"type":"t","payload":{},}', "not valid JSON"),
    "something behind": (_task() + b"x", "not valid JSON"),
    "two objects": (_task() + _task(), "not valid JSON"),
    "a comment": (b'{"type":"t",/* */"payload":{}}', "not valid JSON"),
    "a form": (b"type=t&payload=%7B%7D", "not valid JSON"),
    "HTML": (b"<html></html>", "not valid JSON"),
    "an array": (b"[]", "the body must be an object"),
    "a string": (b'"task"', "the body must be an object"),
    "a number": (b"17", "the body must be an object"),
    "null": (b"null", "the body"),
    "true": (b"true", "the body must be an object"),
    "NaN": (_task(b'{"a":NaN}'), "not valid JSON"),
    "Infinity": (_task(b'{"a":Infinity}'), "not valid JSON"),
    "-Infinity": (_task(b'{"a":-Infinity}'), "not valid JSON"),
    "NaN outside of the payload": (_task(more=b',"priority":NaN'), "not valid JSON"),
    "a hexadecimal number": (_task(b'{"a":0x10}'), "not valid JSON"),
    "a leading zero": (_task(b'{"a":01}'), "not valid JSON"),
    "a wrong byte in the payload": (_task(b'{"a":"\xff"}'), "UTF-8"),
    "a wrong byte in the type": (b'{"type":"\xc3\x28","payload":{}}', "UTF-8"),
    "a wrong byte in a tag": (_task(more=b',"tags":["\x80"]'), "UTF-8"),
    "a wrong byte in a name": (_task(more=b',"\xf5":1'), "UTF-8"),
    "an overlong form": (_task(b'{"a":"\xc0\xaf"}'), "UTF-8"),
    "a raw surrogate": (_task(b'{"a":"\xed\xa0\x80"}'), "UTF-8"),
    "a raw surrogate in the type": (b'{"type":"\xed\xb0\x80","payload":{}}', "UTF-8"),
    "an escaped surrogate in the payload": (_task(b'{"a":"\\ud800"}'), "surrogate"),
    "an escaped low surrogate in the payload": (_task(b'{"a":"\\udc00 x"}'), "surrogate"),
    "two high surrogates": (_task(b'{"a":"\\ud800\\ud800"}'), "surrogate"),
    "an escaped surrogate in the type": (b'{"type":"\\udfff","payload":{}}', "surrogate"),
    "an escaped surrogate in a name": (_task(b'{"\\ud800":1}'), "surrogate"),
    "an escaped surrogate in metadata": (_task(more=b',"metadata":{"a":"\\ud83d"}'), "surrogate"),
    "an escaped surrogate in an unknown member": (_task(more=b',"zzz":"\\ud83d"'), "surrogate"),
    "a damaged escape": (_task(b'{"a":"\\x41"}'), "not valid JSON"),
    "UTF-16": (_task().decode().encode("utf-16"), "UTF-8"),
    "a raw NUL in a string": (b'{"type":"a\0b","payload":{}}', "not valid JSON"),
    "a raw NUL in the payload": (_task(b'{"a":"\0"}'), "not valid JSON"),
    "NULs": (b"\0" * 1000, "not valid JSON"),
    "an escaped NUL in the type": (b'{"type":"a\\u0000","payload":{}}', "type"),
    "an escaped NUL in a tag": (_task(more=b',"tags":["\\u0000"]'), "tags"),
    "an escaped NUL in a capability": (_task(more=b',"capabilities":["a\\u0000b"]'), "capabilities"),
    "an escaped NUL in the group": (_task(more=b',"group":"\\u0000"'), "group"),
    "an escaped NUL in the key": (_task(more=b',"idempotencyKey":"\\u0000"'), "idempotencyKey"),
    "a deep payload": (_task(_nested(b'{"a":', b"}")), "deep"),
    "a deep array in the payload": (_task(b'{"a":' + _nested(b"[", b"]") + b"}"), "deep"),
    "a payload one level too deep": (_task(_nested(b'{"a":', b"}", depth=513)), "512"),
    "deep metadata": (_task(more=b',"metadata":' + _nested(b'{"a":', b"}", depth=600)), "metadata"),
    "deeper metadata": (_task(more=b',"metadata":' + _nested(b'{"a":', b"}")), ""),
    "a deep unknown member": (_task(more=b',"zzz":' + _nested(b"[", b"]")), "deep"),
    "a deep tag": (_task(more=b',"tags":' + _nested(b"[", b"]")), "deep"),
    "a deep type": (b'{"payload":{},"type":' + _nested(b"[", b"]") + b"}", "deep"),
    "a deep body": (_nested(b"[", b"]"), ""),
    "a deep body without an end": (b"[" * 500_000, ""),
    "deep objects without an end": (b'{"payload":' * 80_000, ""),
    "deep, under a key": (_task(_nested(b'{"a":', b"}"), b',"idempotencyKey":"k"'), "deep"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_submission_is_400(user: httpx.Client, name: str) -> None:
    body, words = BROKEN[name]
    before = _tasks(user)
    refused(user.post("/api/task", content=body), 400, words)
    assert _tasks(user) == before


def _tasks(client: httpx.Client) -> list[str]:
    return [task["id"] for task in client.get("/api/tasks?limit=500").json()["tasks"]]


GOOD = {
    "NUL as an escape in the payload": b'{"a":"\\u0000","\\u0000":1}',
    "512 levels": _nested(b'{"a":', b"}", depth=512),
    "a pair of surrogates": b'{"a":"\\ud83d\\ude00"}',
    "brackets in a string": b'{"a":"' + b"[{" * 5000 + b'"}',
    "a number beyond all": b'{"a":1e999,"b":' + b"9" * 400 + b"}",
    "the same name twice": b'{"a":1,"a":2}',
    "noncharacters": '{"a":"\ufffe\uffff"}'.encode(),
}


@pytest.mark.parametrize("name", GOOD)
def test_what_is_odd_but_allowed_is_kept_as_it_came(user: httpx.Client, name: str) -> None:
    payload = GOOD[name]
    answer = user.post("/api/task", content=_task(payload))
    assert answer.status_code == 200, answer.text
    shown = user.get(f"/api/task/{answer.json()['id']}?include=payload").content
    assert b'"payload":' + payload in shown


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/task"),
        ("POST", "/api/tasks"),
        ("PUT", "/api/task/{task}"),
        ("POST", "/api/tasks/retry"),
        ("POST", "/api/tasks/cancel"),
        ("POST", "/api/servers"),
        ("PATCH", "/api/servers/{server}"),
        ("POST", "/api/servers/{server}/heartbeat"),
        ("POST", "/api/servers/{server}/maintenance"),
        ("PUT", "/api/loadbalancer/algorithm"),
    ],
)
def test_every_call_with_a_body_refuses_what_is_no_json(admin: httpx.Client, method: str, path: str) -> None:
    task = admin.post("/api/task", json={"type": "t", "payload": {}}).json()["id"]
    server = _register(admin)
    path = path.format(task=task, server=server)
    for body in (b'{"a":', b"[]", b'{"a":NaN}', b'{"a":"\xff"}', b'{"a":"\\ud800"}', _nested(b'{"a":', b"}"), b"\0"):
        refused(admin.request(method, path, content=body), 400)
    refused(admin.request(method, path, content=b"{}", headers={"Content-Encoding": "gzip"}), 415)
    assert admin.get(f"/api/task/{task}").json()["status"] == "PENDING"


def _register(admin: httpx.Client) -> str:
    endpoints = {"predict": "http://127.0.0.1:9/predict", "health": "http://127.0.0.1:9/health"}
    answer = admin.post(
        "/api/servers", json={"id": "nobody", "name": "nobody", "endpoints": endpoints, "groups": ["x"]}
    )
    assert answer.status_code == 200, answer.text
    return str(answer.json()["serverId"])


def test_one_bad_item_does_not_spoil_a_batch(user: httpx.Client) -> None:
    items: list[Any] = [{"type": "t", "payload": {}}, {"type": "t"}, {"type": "t", "payload": {"a": 1}, "priority": 11}]
    deep = _task(_nested(b'{"a":', b"}", depth=600))
    body = b'{"tasks":[' + b",".join([*(json.dumps(item).encode() for item in items), deep]) + b"]}"
    results = user.post("/api/tasks", content=body).json()["results"]
    assert [("id" in result, result.get("details", "")[:8]) for result in results] == [
        (True, ""),
        (False, "tasks[1]"),
        (False, "tasks[2]"),
        (False, "tasks[3]"),
    ]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity", "nonsense"])
def test_a_compressed_body_is_415(user: httpx.Client, encoding: str) -> None:
    packed = zlib.compress(_task()) if encoding == "deflate" else gzip.compress(_task())
    refused(user.post("/api/task", content=packed, headers={"Content-Encoding": encoding}), 415, "uncompressed")


def test_a_bomb_is_not_even_read(node: Attacked, user: httpx.Client) -> None:
    bomb = gzip.compress(b" " * (200 * MIB), 9)
    refused(user.post("/api/task", content=bomb, headers={"Content-Encoding": "gzip"}), 415)
    refused(user.post("/api/task", content=bomb), 400)


def test_a_body_over_the_limit_is_413(user: httpx.Client) -> None:
    most = _task(b'{"a":"' + b"x" * (MIB - len(_task(b'{"a":""}'))) + b'"}')
    assert len(most) == MIB
    assert user.post("/api/task", content=most).status_code == 200
    refused(user.post("/api/task", content=most + b" "), 413, str(MIB))


def test_a_large_body_is_refused_before_it_is_sent(node: Attacked) -> None:
    """100 MB are announced: the answer comes without one byte of them."""
    with _open(node, f"Content-Length: {100 * MIB}") as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413")


@pytest.mark.parametrize("length", ["99999999999999999999999999", "-1", "1e3", "0x10", "1, 2", "abc", ""])
def test_a_length_that_is_none_is_refused(node: Attacked, length: str) -> None:
    with _open(node, f"Content-Length: {length}") as connection:
        connection.settimeout(60)
        answer = connection.recv(1000)
        assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 413")), answer


def test_100_mb_without_a_length_cost_no_memory(node: Attacked) -> None:
    """Eight at once, in chunks, as fast as they can; the node stops reading soon after the limit."""
    sent: list[int] = []
    heard: list[bytes] = []

    def flood() -> None:
        with _open(node, "Transfer-Encoding: chunked") as connection:
            chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
            count = 0
            try:
                for _ in range(100 * MIB // 0x10000):
                    connection.sendall(chunk)
                    count += 0x10000
            except OSError:
                pass
            sent.append(count)
            try:
                heard.append(connection.recv(20))
            except OSError:
                heard.append(b"")

    base = node.rss_bytes()
    threads = [threading.Thread(target=flood) for _ in range(8)]
    for thread in threads:
        thread.start()
    highest = base
    while any(thread.is_alive() for thread in threads):
        highest = max(highest, node.rss_bytes())
        time.sleep(0.002)
    for thread in threads:
        thread.join()
    assert max(sent) < 20 * MIB, "it must stop listening long before 100 MB"
    assert highest - base < 48 * MIB
    assert {answer[:12] for answer in heard} <= {b"HTTP/1.1 413", b""}


def test_bodies_in_flight_cost_no_more_than_their_bytes(node: Attacked) -> None:
    """64 bodies of 1 MiB that do not end: the node keeps their bytes, not a multiple of them."""
    base = node.rss_bytes()
    open_ones = []
    for _ in range(64):
        connection = _open(node, f"Content-Length: {MIB}")
        connection.sendall(b"x" * (MIB - 1))
        open_ones.append(connection)
    assert node.rss_bytes() - base < 160 * MIB
    for connection in open_ones:
        connection.close()


def _open(node: Attacked, header: str) -> socket.socket:
    """A connection on which the head of a submission was sent."""
    connection = socket.create_connection(("127.0.0.1", node.port), 60)
    head = (
        f"POST /api/task HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token('user', sub='user')}\r\n{header}\r\n\r\n"
    )
    connection.sendall(head.encode())
    return connection


@pytest.fixture
def accepted(node: Attacked, admin: httpx.Client) -> Iterator[str]:
    """The callback path of a running attempt."""
    with Accepting() as backend:
        body = {"id": "taker", "name": "taker", "endpoints": backend.endpoints, "capabilities": ["taker"]}
        assert admin.post("/api/servers", json=body).json()["status"] == "online"
        admin.post("/api/task", json={"type": "t", "payload": {}, "capabilities": ["taker"]})
        yield backend.order()["callback_url"].removeprefix(node.url)
        admin.delete("/api/servers/taker")


def test_a_bad_callback_changes_nothing(node: Attacked, accepted: str) -> None:
    with node.client() as backend:
        for body in (b"", b"{", b"[]", b'{"status":"DONE"}', b'{"status":1}', b'{"status":"COMPLETED","result":NaN}'):
            refused(backend.put(accepted, content=body), 400)
        for result in (b'"\xff"', b'"\\ud800"', b'"\0"', _nested(b"[", b"]"), _nested(b'{"a":', b"}")):
            refused(backend.put(accepted, content=b'{"status":"COMPLETED","result":' + result + b"}"), 400)
        refused(backend.put(accepted, content=b"{}", headers={"Content-Encoding": "gzip"}), 415)
        refused(backend.put(accepted[:-4] + "AAAA", content=b'{"status":"COMPLETED"}'), 401)
        refused(backend.put(accepted.replace("callback/1-", "callback/2-"), content=b'{"status":"COMPLETED"}'), 401)
        good = b'{"status":"COMPLETED","result":"\\u0000","metadata":{"a":"' + b"x" * 20_000 + b'"}}'
        answer = backend.put(accepted, content=good)
        assert answer.status_code == 200
        assert "metadata" in answer.json()["warnings"][0]
