"""A node stopped and started on its directory: what it was told is still there, and work goes on."""

import asyncio
from pathlib import Path

import pytest

from taskyard.domain.outcomes import Status, Word
from taskyard.engine.facts import AlgorithmSet, Beat, MaintenanceSet
from taskyard.engine.plan import Refusal, TaskDone
from taskyard.host.errors import StartError
from taskyard.host.node import Node
from tests.support.aio import run, until
from tests.support.backend import Backend, Gate, answer, hang
from tests.support.house import House, living, name_of, play

KEPT = (
    "id",
    "name",
    "owner",
    "status",
    "registered_at",
    "last_heartbeat",
    "groups",
    "capabilities",
    "weight",
    "max_concurrent",
    "predict",
    "health_url",
    "cancel_url",
    "is_async",
    "maintenance_reason",
)


def test_a_stop_waits_for_what_is_being_sent_no_longer_than_it_may(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200))
        backend.script("t", gate)
        await house.register(backend)
        await house.submit("t")
        await until(lambda: gate.waiting == 1)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await house.node.drain()
        assert loop.time() - began >= 0.3
        assert gate.waiting == 1  # it was not waited for
        gate.open()

    play(tmp_path, scene, drain_timeout=300)


def test_servers_algorithm_and_queue_are_kept(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        key = house.node.seal("s3cret")
        await house.register(
            backend,
            "s1",
            cancel=True,
            api_key=key,
            capabilities=("a", "größe"),
            groups=("east",),
            max_concurrent=7,
            weight=3,
            is_async=True,
        )
        await house.ask(AlgorithmSet(name="least-connections", who="root"))
        await house.ask(MaintenanceSet(server_id="s1", who="ops", admin=True, on=True, reason="disk"))
        await house.ask(Beat(server_id="s1", who="ops", admin=True))
        payload = '{ "bytes" : 12345678901234567890 }'
        queued = [await house.submit("t", payload, priority=n, capabilities=("a",)) for n in (1, 9, 5)]
        before = house.node.server("s1")
        assert before is not None
        await house.restart()
        assert house.node.algorithm == "least-connections"
        after = house.node.server("s1")
        assert after is not None
        for name in KEPT:
            assert getattr(after, name) == getattr(before, name), name
        assert house.node.live().pending == 3
        backend.script("t", answer(200, {"status": "success", "result": 1}))
        await house.ask(MaintenanceSet(server_id="s1", who="ops", admin=True, on=False))
        for task in queued:
            assert name_of(await house.ended(task)) == "COMPLETED"
        assert {request.json["task_id"] for request in backend.got()} == set(queued)
        assert all(payload.encode() in request.body for request in backend.got())
        assert all(request.head["authorization"] == "Bearer s3cret" for request in backend.got())

    play(tmp_path, scene)


def test_ended_tasks_results_and_history_are_kept(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(500), answer(200, {"status": "success", "result": {"ü": 1}}))
        await house.register(backend)
        record = await house.run("t", max_retries=1)
        result, history = await house.result(record.task.id), await house.history(record.task.id)
        assert result == '{"ü": 1}' or result == '{"\\u00fc": 1}'
        await house.restart()
        again = await house.ended(record.task.id)
        assert again == record
        assert await house.result(record.task.id) == result
        assert await house.history(record.task.id) == history != []

    play(tmp_path, scene)


def test_an_accepted_attempt_waits_on_and_its_callback_url_still_works(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(202))
        await house.register(backend)
        task = await house.submit("t")
        await house.accepted(task)
        url = backend.got()[0].callback_url
        await house.restart()
        record = await house.becomes(task, lambda record: True)
        assert record.run is not None
        assert (record.run.attempt, record.run.accepted) == (1, 1)
        assert isinstance(await house.call_back(url, Word.PROCESSING, progress=50), TaskDone)
        done = await house.call_back(url, Word.COMPLETED, result='"after"')
        assert isinstance(done, TaskDone)
        assert done.status is Status.COMPLETED
        await house.restart()
        assert await house.result(task) == '"after"'
        again = await house.call_back(url, Word.COMPLETED, result='"again"')
        assert isinstance(again, TaskDone)
        refused = await house.call_back(url, Word.FAILED)
        assert isinstance(refused, Refusal)
        assert refused.status is Status.COMPLETED
        assert len(backend.got()) == 1

    play(tmp_path, scene)


def test_an_interrupted_dispatch_is_lost_and_sent_again(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", hang, answer(200, {"status": "success", "result": 2}))
        await house.register(backend)
        task = await house.submit("t")
        once = await house.submit("once", max_retries=0)
        await house.ended(once)
        await until(lambda: len(backend.got()) == 2)
        first = backend.got()[0]
        await house.restart()
        assert await house.outcomes(task) == [("lost", 1)]
        record = await house.ended(task)
        assert (name_of(record), record.task.attempts, record.task.lost, record.task.failures) == ("COMPLETED", 2, 1, 0)
        refused = await house.call_back(first.callback_url, Word.COMPLETED, result="1")
        assert isinstance(refused, Refusal)
        assert await house.result(task) == "2"

    play(tmp_path, scene)


def test_at_most_once_with_max_retries_0(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", hang)
        await house.register(backend)
        task = await house.submit("t", max_retries=0)
        await until(lambda: bool(backend.got()))
        await house.restart()
        assert name_of(await house.ended(task)) == "FAILED"
        assert len(backend.got()) == 1

    play(tmp_path, scene)


def test_waiting_times_go_on(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        now = house.node.now()
        later = await house.submit("t", run_at=now + 400)
        expires = await house.submit("t", ttl_ms=300, capabilities=("nobody",))
        await house.register(backend)
        await house.restart()
        record = await house.ended(later)
        assert record.task.started_at is not None
        assert record.task.started_at >= now + 400
        assert name_of(await house.ended(expires)) == "TIMEOUT"

    play(tmp_path, scene)


def test_a_drained_node_ends_what_it_sends_and_dispatches_nothing_new(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, b"1"))
        backend.script("t", gate)
        await house.register(backend)
        running = await house.submit("t")
        await until(lambda: gate.waiting == 1)
        draining = asyncio.ensure_future(house.node.drain())
        await until(house.node.draining)
        waiting = await house.submit("t")
        gate.open()
        await draining
        assert len(backend.got()) == 1
        await house.restart()
        assert name_of(await house.ended(running)) == "COMPLETED"
        assert name_of(await house.ended(waiting)) == "COMPLETED"
        assert await house.outcomes(running) == []

    play(tmp_path, scene)


def test_a_second_node_on_the_same_directory_is_refused(tmp_path: Path) -> None:
    async def main() -> None:
        async with living(tmp_path, 0) as (house, _):
            with pytest.raises(StartError):
                await Node(house.settings).start()
            assert house.node.not_ready() is None

    run(main())
