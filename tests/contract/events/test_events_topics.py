"""`GET /api/events`: what is told to whom, how often it is encoded, and how it goes on after a break."""

import json
import socket
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from taskyard.tokens import LEEWAY_S
from tests.contract.api.yard import Backend, Yard, accept, eventually, fresh, refused, token
from tests.contract.events.streams import Listener

Listen = Callable[..., Listener]
EVERYTHING = "topics=overview,lanes,fleet,attention"


def submit(yard: Yard, sub: str = "ann", **members: Any) -> str:
    task = {"type": "t", "payload": {}, "capabilities": ["nobody"]} | members
    answer = yard.client("user", sub=sub).post("/api/task", json=task)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["id"]
    return found


def register(yard: Yard, backend: Backend, *skills: str, **more: Any) -> str:
    body = {"name": "s", "endpoints": backend.endpoints, "capabilities": skills} | more
    answer = yard.client("admin").post("/api/servers", json=body)
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["serverId"]
    return found


def test_a_snapshot_then_what_changes(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard, backend = own_yard(), Backend(accept)
    first = register(yard, backend, "a")
    try:
        task = submit(yard)
        stream = listen(yard, f"{EVERYTHING}&tasks={task},nope")
        assert stream.head["content-type"] == "text/event-stream"
        assert stream.head["cache-control"] == "no-store"
        events = stream.events()
        assert [name for name, _ in events] == ["snapshot", "task"]
        snapshot = events[0][1]
        assert snapshot["unknown"] == ["nope"]
        assert snapshot["lanes"]["lanes"][0]["code"] == "no_capability"
        assert snapshot["fleet"] == {"id": [first], "slots": [10], "active": [0], "status": ["online"], "ms": [None]}
        assert snapshot["overview"]["slots"] == {"used": 0, "total": 10}
        assert snapshot["overview"]["counts"]["pending"] == 1
        assert snapshot["attention"]["attention"][0]["code"] == "lane_unserved"
        assert (events[1][1]["id"], events[1][1]["status"]) == (task, "PENDING")
        assert "payload" not in events[1][1]
        running = submit(yard, capabilities=["a"])
        stream.until("fleet", i=[0], active=[1], status=[None])
        yard.client("admin").post(f"/api/task/{task}/cancel")
        stream.until("task", status="CANCELLED")
        second = register(yard, backend, "b", endpoints={**backend.endpoints, "predict": f"{backend.url}/two"})
        stream.until("fleet", id=[first, second])
        assert yard.client("admin").get(f"/api/task/{running}").json()["status"] == "PROCESSING"
    finally:
        backend.stop()


def test_a_watched_task_is_told_of_from_its_submission_to_its_end(
    own_yard: Callable[..., Yard], listen: Listen
) -> None:
    yard, backend = own_yard(), Backend(accept)
    try:
        task = submit(yard, capabilities=["a"])
        stream = listen(yard, f"tasks={task}", "user")
        assert [name for name, _ in stream.events()] == ["snapshot", "task"]
        register(yard, backend, "a")
        stream.until("task", status="PROCESSING")
        callback = backend.task(task)["callback_url"].partition("/api/")[2]
        yard.client().put(f"/api/{callback}", json={"status": "PROCESSING", "progress": 40, "message": "half"})
        stream.until("task", progress=40, message="half")
        yard.client().put(f"/api/{callback}", json={"status": "COMPLETED", "result": 1})
        stream.until("task", status="COMPLETED")
        life = yard.client("user").get(f"/api/task/{task}/events").json()
        kinds = [event["kind"] for event in life["events"]]
        assert (kinds, life["status"]) == (["submitted", "dispatched", "ended", "completed"], "COMPLETED")
        times = [event["at"] for event in life["events"]]
        assert times == sorted(times)
    finally:
        backend.stop()


def test_the_stream_of_one_task_ends_with_it(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard()
    task = submit(yard)
    own = f"/api/task/{task}/events"
    stream = listen(yard, "", "user", path=own, more="Accept: text/event-stream\r\n")
    assert [name for name, _ in stream.events()] == ["snapshot", "task"]
    yard.client("user").post(f"/api/task/{task}/cancel")
    stream.until("task", status="CANCELLED")
    assert stream.until("end")["reason"] == "ended"
    assert stream.events() == []
    # The connection goes on.
    stream.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
    stream.read_head()
    assert stream.status == 200
    again = listen(yard, "", "user", path=own, more="Accept: text/event-stream\r\n")
    assert [name for name, _ in again.events()] == ["snapshot", "task"]
    assert again.until("end")["reason"] == "ended"
    assert listen(yard, "", "user", path=own, sub="bob").status == 404


def test_a_user_is_told_of_its_own_alone(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard, backend = own_yard(), Backend(accept)
    register(yard, backend, "a")
    try:
        mine, other = submit(yard, "ann"), submit(yard, "bob", capabilities=["secret-skill"], metadata={"secret": 1})
        # An admin watches both, so that the node holds what it tells of the other's task.
        admin = listen(yard, f"tasks={mine},{other}", "admin")
        assert len(admin.events()) == 3
        stream = listen(yard, f"{EVERYTHING}&tasks={mine},{other}", "user", sub="ann")
        service = listen(yard, f"{EVERYTHING}&tasks={mine}", "service", sub="svc")
        snapshot, *tasks = stream.events()
        assert snapshot[1]["unknown"] == [other]
        assert [task["id"] for _, task in tasks] == [mine]
        assert service.events()[0][1]["unknown"] == [mine]
        for task in (other, mine):
            yard.client("admin").post(f"/api/task/{task}/cancel")
        seen = [snapshot]
        while not any(name == "task" for name, _ in seen):
            seen += stream.events()
        text = json.dumps(seen)
        assert [data["id"] for name, data in seen if name == "task"] == [mine]
        assert other not in text.replace(json.dumps(snapshot[1]["unknown"]), "")
        for secret in ('"bob"', '"secret"', backend.url, "endpoints", "counts", 'actions": [{'):
            assert secret not in text
    finally:
        backend.stop()


def test_words_are_those_of_the_language_that_was_asked_for(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard()
    submit(yard)
    texts = [
        listen(yard, "topics=lanes", more=f"Accept-Language: {language}\r\n").events()[0][1]["lanes"]["lanes"][0][
            "text"
        ]
        for language in ("en", "zh-CN", "en-GB")
    ]
    assert texts[0] == texts[2] == "No server is registered."
    assert texts[1] == "还没有注册服务器。"


def test_who_comes_back_is_told_what_changed_and_no_more(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard()
    query = f"topics=lanes,fleet&tasks={submit(yard)}"
    first = listen(yard, query)
    assert [name for name, _ in first.events()] == ["snapshot", "task"]
    first.close()
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)
    submit(yard, capabilities=["nobody", "else"])
    second = listen(yard, query, last=first.last_id)
    names = [name for name, _ in second.events()]
    # The lanes changed; a task that nobody watched meanwhile may have.
    assert names == ["lanes", "task"]
    assert second.last_id != first.last_id


@pytest.mark.parametrize("last", ["0badcafe-1", "nonsense", "-", "x" * 2000])
def test_an_id_of_another_life_is_answered_by_a_new_snapshot(
    own_yard: Callable[..., Yard], listen: Listen, last: str
) -> None:
    yard = own_yard()
    stream = listen(yard, "topics=fleet", last=last)
    assert [name for name, _ in stream.events()] == ["reset", "snapshot"]
    # An id that this node has not come to yet is none of its own.
    life = stream.last_id.partition("-")[0]
    assert [name for name, _ in listen(yard, "topics=fleet", last=f"{life}-999999").events()] == ["reset", "snapshot"]
    assert [name for name, _ in listen(yard, "topics=fleet", last=f"{life}-\u0663").events()] == ["reset", "snapshot"]


def test_who_names_nothing_is_told_everything(own_yard: Callable[..., Yard], listen: Listen) -> None:
    ((name, snapshot),) = listen(own_yard(), "").events()
    assert (name, set(snapshot)) == ("snapshot", {"now", "overview", "lanes", "fleet", "attention", "node"})


def test_one_on_which_nothing_happens_tells_the_time(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard(event_silence=100)
    stream = listen(yard, "topics=fleet")
    assert [name for name, _ in stream.events()] == ["snapshot"]
    assert stream.until("tick")["now"] <= stream.until("tick")["now"]


def test_a_token_that_expires_ends_the_stream(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard()
    bearer = token("user")
    stream = listen(yard, "topics=fleet", bearer=bearer)
    stream.events()
    (viewer,) = yard.on_loop(lambda: list(yard.running.live._viewers))
    expires_s = jwt.decode(bearer, options={"verify_signature": False})["exp"] + LEEWAY_S
    assert viewer.over(expires_s * 1000 - 1) is None
    assert viewer.over(expires_s * 1000) == "expired"
    # Nobody waits for an hour here: it is had sooner.
    yard.on_loop(lambda: setattr(viewer, "_expires_ms", 0))
    assert stream.until("end")["reason"] == "expired"
    assert stream.events() == []


def test_a_stream_does_not_live_for_ever(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard(event_lifetime=100)
    stream = listen(yard, "topics=fleet")
    assert stream.until("end")["reason"] == "renew"
    assert stream.events() == []


def test_streams_are_limited(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard(event_streams=3, event_streams_per_sub=2, event_tasks=1)
    open_ones = [listen(yard, "topics=fleet", "user", sub="ann") for _ in range(2)]
    for stream in open_ones:
        stream.events()
    ann, bob = yard.client("user", sub="ann"), yard.client("user", sub="bob")
    refused(ann.get("/api/events?topics=fleet"), 429, "EVENT_STREAMS_PER_SUB")
    assert ann.head("/api/events?topics=fleet").status_code == 429
    refused(bob.get("/api/events?tasks=a,b"), 503, "EVENT_TASKS")
    listen(yard, "topics=fleet", "user", sub="bob").events()
    assert "retry-after" in bob.get("/api/events?topics=fleet").headers
    refused(bob.get("/api/events?topics=fleet"), 503, "EVENT_STREAMS)")
    open_ones[0].close()
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 2)
    assert listen(yard, "topics=fleet", "user", sub="ann").status == 200
    # A HEAD counts for nothing, as it opens nothing.
    open_ones[1].close()
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 2)
    assert all(bob.head("/api/events?topics=fleet").status_code == 200 for _ in range(5))


@pytest.mark.parametrize(
    ("query", "word"),
    [
        ("topics=weather", "one of overview"),
        ("topics=fleet,", "one of overview"),
        (f"tasks={','.join(map(str, range(101)))}", "tasks"),
        ("tasks=%00", "tasks"),
    ],
)
def test_a_malformed_question_is_400(own_yard: Callable[..., Yard], query: str, word: str) -> None:
    refused(own_yard().client("user").get(f"/api/events?{query}"), 400, word)


def test_a_thousand_listeners_cost_one_encoding(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard(event_silence=60_000, event_streams_per_sub=2000)
    listeners = [listen(yard, "topics=fleet,lanes", read=False) for _ in range(1000)]
    for stream in listeners:
        stream.read_head()
        assert [name for name, _ in stream.events()] == ["snapshot"]

    def encodings() -> tuple[int, int]:
        return yard.on_loop(lambda: (yard.running.live.encoder.count, yard.running.live.tick))

    count, tick = encodings()
    submit(yard, type=fresh("type"))
    # The lane is told to each of them: the very same bytes.
    told = {stream.chunk() for stream in listeners}
    assert len(told) == 1
    assert b"event: lanes\n" in told.pop()
    after, later = encodings()
    # At each look the two topics are encoded once to see whether they changed.
    assert after - count <= 2 * (later - tick)
    assert after - count < 1000


def test_a_reader_that_sleeps_gets_the_newest_and_costs_nothing(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard(event_interval=10)
    client = yard.client("user")
    # A few lanes of 2 kB each: told anew at every change of one of them.
    tasks = [
        {"type": "t", "payload": {}, "group": f"{number}", "capabilities": [f"{n}-{'x' * 100}" for n in range(20)]}
        for number in range(4)
    ]
    # Connections take this from the socket that they were accepted on: else they hold some MB.
    listener = yard.running.server._listeners[0].sockets[0]
    yard.on_loop(lambda: listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384))
    assert client.post("/api/tasks", json={"tasks": tasks}).status_code == 200
    sleeper, witness = listen(yard, "topics=lanes"), listen(yard, "topics=lanes")
    witness.events()

    def change() -> int:
        """One more task; the bytes that the slowest connection has not taken once the others know of it."""
        submit(yard, group="0", capabilities=tasks[0]["capabilities"])
        witness.until("lanes")
        return yard.on_loop(
            lambda: max(one._transport.get_write_buffer_size() for one in yard.running.server.connections)
        )

    told = 1
    while not (full_at := change()):
        told += 1
        assert told < 1000, "the socket is never full"
    assert all(change() <= full_at for _ in range(20)), "what is not taken is not added to"
    newest = client.get("/api/lanes").json()["lanes"]
    chunks = 0
    while True:
        name, data = sleeper.events()[-1]
        chunks += 1
        if (data["lanes"]["lanes"] if name == "snapshot" else data["lanes"]) == newest:
            break
    assert chunks < told + 10, "no queue was kept for it"


def test_a_node_that_stops_ends_its_streams(own_yard: Callable[..., Yard], listen: Listen) -> None:
    yard = own_yard()
    streams = [listen(yard, "topics=fleet"), listen(yard, f"tasks={submit(yard)}")]
    for stream in streams:
        stream.events()
    yard.begin_stop()
    for stream in streams:
        assert stream.until("end")["reason"] == "draining"
        assert stream.events() == []
        assert stream.socket.recv(1) == b""
    yard.stop()
