"""What a backend gets: the request of an attempt, byte by byte, and the word to stop."""

import json
import re
from pathlib import Path

import pytest

from taskyard.domain.outcomes import Word
from taskyard.engine.facts import Unregistered
from taskyard.engine.plan import TaskDone
from tests.support.aio import until
from tests.support.backend import Backend, Gate, answer, hang
from tests.support.house import House, name_of, play

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
PAYLOADS = [
    "{}",
    '{ "b" :1,\t"a":  [ 1 ,2 ],\n "b": 2 }',
    '{"text":"Grüße 你好 \U0001f600 \\u00fc \\/ \\u0000"}',
    '{"n":123456789012345678901234567890,"f":1.0,"e":1E400,"z":-0.0,"s":1e-7}',
    '{"' + "k" * 3000 + '":"' + "v" * 200_000 + '"}',
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=["empty", "spacing and order", "unicode", "numbers", "large"])
@pytest.mark.parametrize("held", ["memory", "store"])
def test_the_payloads_bytes_are_sent_as_received(payload: str, held: str, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        task = await house.submit("t", payload, capabilities=())
        await house.ended(task)
        (request,) = backend.got()
        body = request.body
        before = b'{"task_id":"%b","request":{"type":"t","payload":' % task.encode()
        assert body.startswith(before)
        assert body[len(before) :].startswith(payload.encode() + b',"priority":')
        assert request.head["content-length"] == str(len(body))

    play(tmp_path, scene, payload_memory=64 << 20 if held == "memory" else 0)


def test_the_whole_request(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        members = {"priority": 7, "capabilities": ("b", "größe"), "run_async": False, "timeout_ms": 12_345}
        await house.register(backend, api_key=house.node.seal("s3cret"), capabilities=("größe", "b", "c"))
        record = await house.run("chat/größe", '{"x":1}', hops=2, traceparent=TRACE, **members)
        assert name_of(record) == "COMPLETED"
        (request,) = backend.got()
        task_id = record.task.id
        assert (request.method, request.path) == ("POST", "/predict")
        body = request.json
        url = body.pop("callback_url")
        assert body == {
            "task_id": task_id,
            "request": {
                "type": "chat/größe",
                "payload": {"x": 1},
                "priority": 7,
                "capabilities": ["b", "größe"],
                "async": False,
            },
            "attempt": 1,
            "timeout": 12_345,
        }
        assert re.fullmatch(r"https://yard\.example/base/api/task/" + task_id + r"/callback/1-[A-Za-z0-9_-]{24}", url)
        head = request.head
        assert head["authorization"] == "Bearer s3cret"
        assert head["idempotency-key"] == task_id
        assert head["x-taskyard-attempt"] == "1"
        assert head["x-taskyard-hops"] == "3"
        assert head["traceparent"] == TRACE
        assert head["content-type"] == "application/json"
        assert head["host"] == f"127.0.0.1:{backend.port}"
        assert "cookie" not in head

    play(tmp_path, scene, public_url="https://yard.example/base")


def test_a_request_without_key_and_trace(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        await house.run("t")
        head = backend.got()[0].head
        assert "authorization" not in head
        assert "traceparent" not in head
        assert head["x-taskyard-hops"] == "1"
        assert backend.got()[0].callback_url.startswith("http://127.0.0.1:8799/api/task/")

    play(tmp_path, scene)


def test_each_attempt_has_a_number_and_a_proof_of_its_own(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(500), answer(429, {"retry_after": 0.01}), answer(200, b"1"))
        await house.register(backend)
        record = await house.run("t", max_retries=1)
        assert name_of(record) == "COMPLETED"
        first, second, third = backend.got()
        assert [request.head["x-taskyard-attempt"] for request in backend.got()] == ["1", "2", "3"]
        assert [request.json["attempt"] for request in backend.got()] == [1, 2, 3]
        assert {request.head["idempotency-key"] for request in backend.got()} == {record.task.id}
        proofs = [request.callback_url.rpartition("/")[2].partition("-")[2] for request in (first, second, third)]
        assert len(set(proofs)) == 3
        node, task_id = house.node, record.task.id
        for attempt, proof in enumerate(proofs, 1):
            assert node.proof_is_good(task_id, attempt, "s1", proof)
            assert not node.proof_is_good(task_id, attempt + 1, "s1", proof)
            assert not node.proof_is_good(task_id, attempt, "s2", proof)
            assert not node.proof_is_good(task_id + "0", attempt, "s1", proof)

    play(tmp_path, scene)


def test_connections_are_used_again(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend, max_concurrent=1)
        for _ in range(5):
            await house.run("t")
        assert len({id(request.writer) for request in backend.got()}) == 1

    play(tmp_path, scene)


def test_never_more_at_once_than_max_concurrent(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, b"1"))
        backend.script("t", gate)
        await house.register(backend, max_concurrent=3)
        tasks = [await house.submit("t") for _ in range(8)]
        await until(lambda: gate.waiting == 3)
        assert house.node.live().processing == 3
        assert house.node.live().pending == 5
        gate.open()
        for task in tasks:
            assert name_of(await house.ended(task)) == "COMPLETED"
        assert gate.waiting == 8

    play(tmp_path, scene)


# --- giving up -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 204, 404])
def test_a_cancel_endpoint_that_confirms_frees_the_slot_at_once(status: int, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", hang, answer(200, b"1"))
        backend.cancel = answer(status)
        await house.register(backend, cancel=True, max_concurrent=1, api_key=house.node.seal("k"))
        task, waiting = await house.submit("t"), await house.submit("t")
        await until(lambda: bool(backend.got()))
        assert isinstance(await house.cancel(task), TaskDone)
        assert name_of(await house.ended(waiting)) == "COMPLETED"  # long before the linger of an hour
        (asked,) = backend.got("/cancel")
        assert (asked.method, asked.json) == ("POST", {"task_id": task, "attempt": 1})
        assert asked.head["authorization"] == "Bearer k"
        await until(backend.got()[0].gone.is_set)  # and the connection was closed
        assert name_of(await house.ended(task)) == "CANCELLED"

    play(tmp_path, scene, linger=3_600_000)


@pytest.mark.parametrize("status", [None, 400, 405, 500, 503])
def test_without_a_confirmation_the_slot_is_held_for_the_linger(status: int | None, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", hang, answer(200, b"1"))
        if status is not None:
            backend.cancel = answer(status)
        await house.register(backend, cancel=status is not None, max_concurrent=1)
        task, waiting = await house.submit("t"), await house.submit("t")
        await until(lambda: bool(backend.got()))
        began = house.node.now()
        await house.cancel(task)
        await until(backend.got()[0].gone.is_set)
        assert house.server().active == 1
        record = await house.ended(waiting)
        assert name_of(record) == "COMPLETED"
        assert record.task.started_at is not None
        assert record.task.started_at - began >= 300
        assert len(backend.got("/cancel")) == (status is not None)

    play(tmp_path, scene, linger=300)


def test_an_accepted_attempt_that_times_out_is_asked_to_stop(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(202), answer(200, b"2"))
        await house.register(backend, cancel=True, max_concurrent=1)
        record = await house.run("t", timeout_ms=200, max_retries=1)
        assert (name_of(record), record.task.failures) == ("COMPLETED", 1)
        assert [request.json for request in backend.got("/cancel")] == [{"task_id": record.task.id, "attempt": 1}]

    play(tmp_path, scene, linger=3_600_000)


def test_the_attempts_of_a_removed_server_are_asked_to_stop_with_its_key(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(202))
        await house.register(backend, cancel=True, api_key=house.node.seal("k"))
        task = await house.submit("t")
        await house.accepted(task)
        await house.ask(Unregistered(server_id="s1", who="ops", admin=True))
        await house.becomes(task, lambda record: record.queue is not None)
        assert await house.outcomes(task) == [("lost", 1)]
        await until(lambda: bool(backend.got("/cancel")))
        (asked,) = backend.got("/cancel")
        assert asked.json == {"task_id": task, "attempt": 1}
        assert asked.head["authorization"] == "Bearer k"
        assert house.status_of() is None
        answered = await house.call_back(backend.got()[0].callback_url, Word.COMPLETED, result="1")
        assert isinstance(answered, TaskDone)  # done all the same, and no newer attempt
        assert json.loads(await house.result(task) or "") == 1

    play(tmp_path, scene, removal_grace=100)


def test_a_callback_before_the_dispatch_answer(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(500, {"error": "too late to matter"}))
        backend.script("t", gate)
        await house.register(backend)
        task = await house.submit("t", max_retries=0)
        await until(lambda: gate.waiting == 1)
        url = backend.got()[0].callback_url
        assert isinstance(await house.call_back(url, Word.PROCESSING, progress=10), TaskDone)
        assert isinstance(await house.call_back(url, Word.COMPLETED, result='"early"'), TaskDone)
        gate.open()
        assert name_of(await house.ended(task)) == "COMPLETED"
        assert await house.result(task) == '"early"'
        assert isinstance(await house.call_back(url, Word.COMPLETED, result='"again"'), TaskDone)
        assert await house.result(task) == '"early"'

    play(tmp_path, scene)
