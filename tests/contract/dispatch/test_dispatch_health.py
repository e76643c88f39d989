"""API.md §7's health rules with real checks over HTTP: what a check's answer means, and what follows for tasks."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from taskyard.domain import health as health_rules
from taskyard.engine.facts import Beat, MaintenanceSet
from taskyard.engine.plan import ServerDone
from tests.support.aio import run, until
from tests.support.backend import Backend, Behaviour, Gate, answer, close, hang, no_http, trickle
from tests.support.house import House, living, name_of, play

GOOD = answer(200, {"status": "healthy"})
BAD = answer(500)

PASSED = [
    ("healthy", GOOD),
    ("in capitals, 204-like 201", answer(201, {"status": "HEALTHY"})),
    ("its own serverId", answer(200, {"status": "healthy", "serverId": "s1"})),
    ("serverId null", answer(200, {"status": "healthy", "serverId": None})),
    ("another's serverId deeper down", answer(200, {"status": "healthy", "server": {"serverId": "s2"}})),
    ("text/html", answer(200, {"status": "healthy"}, content_type="text/html")),
    ("capabilities that are none", answer(200, {"status": "healthy", "capabilities": "all"})),
]
FAILED = [
    ("500", BAD),
    ("404", answer(404, {"status": "healthy"})),
    ("redirect", answer(302, {"status": "healthy"}, location="/health")),
    ("another word", answer(200, {"status": "starting"})),
    ("no word", answer(200, {"ok": True})),
    ("status is no string", answer(200, {"status": True})),
    ("an array", answer(200, ["healthy"])),
    ("text", answer(200, "healthy", content_type="text/plain")),
    ("empty", answer(200)),
    ("another's serverId", answer(200, {"status": "healthy", "serverId": "s2"})),
    ("serverId is no string", answer(200, {"status": "healthy", "serverId": 1})),
    ("invalid UTF-8", answer(200, b'{"status":"healthy","x":"\xff"}')),
    ("nested too deep", answer(200, b'{"status":"healthy","x":' + b"[" * 30_000 + b"]" * 30_000 + b"}")),
    ("too large", answer(200, {"status": "healthy", "x": "x" * 100_000})),
    ("closed", close),
    ("no HTTP", no_http),
    ("silence", hang),
    ("half an answer", trickle),
]


@pytest.mark.parametrize(("name", "behaviour"), PASSED, ids=[row[0] for row in PASSED])
def test_a_check_that_passes(name: str, behaviour: Behaviour, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.health = behaviour
        await house.register(backend)
        view = house.node.server("s1")
        assert view is not None
        assert (view.status, view.last_passed, view.check_error) == ("online", True, None)
        assert name_of(await house.run("t")) == "COMPLETED"
        assert backend.got("/health")[0].method == "GET"

    play(tmp_path, scene)


@pytest.mark.parametrize(("name", "behaviour"), FAILED, ids=[row[0] for row in FAILED])
def test_a_check_that_fails(name: str, behaviour: Behaviour, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.health = behaviour
        await house.register(backend)
        view = house.node.server("s1")
        assert view is not None
        assert (view.status, view.last_passed) == ("offline", False)
        assert view.check_error
        assert len(view.check_error) < 400
        assert backend.got("/predict") == []

    play(tmp_path, scene, check_timeout=250)


def test_a_refused_connection_is_a_failed_check(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await backend.stop()
        await house.register(backend)
        assert house.status_of() == "offline"

    play(tmp_path, scene)


def test_initializing_gets_no_task_until_its_first_check_has_ended(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(GOOD)
        backend.health = gate
        task = await house.submit("t")
        registration = house.register(backend)
        registering = asyncio.ensure_future(registration)
        await until(lambda: gate.waiting == 1)
        assert house.status_of() == "initializing"
        assert backend.got() == []
        gate.open()
        await registering
        assert name_of(await house.ended(task)) == "COMPLETED"

    play(tmp_path, scene)


def test_one_failed_is_degraded_three_are_offline_and_three_passed_are_online(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        backend.health = BAD
        assert [await house.check() for _ in range(4)] == ["degraded", "degraded", "offline", "offline"]
        backend.health = GOOD
        assert [await house.check() for _ in range(4)] == ["offline", "offline", "online", "online"]
        backend.health = BAD
        assert await house.check() == "degraded"
        backend.health = GOOD
        assert [await house.check() for _ in range(2)] == ["degraded", "degraded"]
        backend.health = BAD
        assert await house.check() == "degraded"
        backend.health = GOOD
        assert [await house.check() for _ in range(3)] == ["degraded", "degraded", "online"]

    play(tmp_path, scene)


def test_checks_go_on_by_themselves_faster_when_failing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_rules, "FIRST_INTERVAL_MS", 40)
    monkeypatch.setattr(health_rules, "FAILING_INTERVAL_MS", 20)
    monkeypatch.setattr(health_rules, "STABLE_INTERVAL_MS", 60)

    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        await until(lambda: len(backend.got("/health")) >= 4)
        backend.health = BAD
        await until(lambda: house.status_of() == "offline")
        backend.health = GOOD
        await until(lambda: house.status_of() == "online")
        await backend.stop()
        await until(lambda: house.status_of() == "offline")
        await backend.start()
        await until(lambda: house.status_of() == "online")

    play(tmp_path, scene)


def test_a_degraded_server_comes_only_when_the_online_ones_are_full(tmp_path: Path) -> None:
    async def main() -> None:
        async with living(tmp_path, 2) as (house, (bad, good)):
            gates = [Gate(answer(200, b"1")), Gate(answer(200, b"1"))]
            for backend, gate in zip((bad, good), gates, strict=True):
                backend.script("t", gate)
            await house.register(bad, "bad", weight=10)
            await house.register(good, "good", weight=1, max_concurrent=1)
            bad.health = BAD
            assert await house.check("bad") == "degraded"
            first = await house.submit("t")
            await until(lambda: gates[1].waiting == 1)
            second = await house.submit("t")
            await until(lambda: gates[0].waiting == 1)
            for gate in gates:
                gate.open()
            assert (await house.ended(first)).task.server_id == "good"
            assert (await house.ended(second)).task.server_id == "bad"

    run(main())


def test_capabilities_are_learnt_only_when_the_registration_had_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with living(tmp_path, 2) as (house, (learning, told)):
            learning.health = told.health = answer(200, {"status": "healthy", "capabilities": ["ocr", "größe", "ocr"]})
            await house.register(told, "told", capabilities=("text",))
            task = await house.submit("t", capabilities=("ocr",))
            await house.register(learning, "learning")
            record = await house.ended(task)
            assert record.task.server_id == "learning"
            assert house.server("learning").capabilities == ("ocr", "größe")
            assert house.server("told").capabilities == ("text",)
            learning.health = answer(200, {"status": "healthy", "capabilities": []})
            await house.check("learning")
            assert house.server("learning").capabilities == ()

    run(main())


async def beat(house: House, status: str | None, **members: Any) -> str:
    done = await house.ask(Beat(server_id="s1", who="ops", admin=True, status=status, **members))
    assert isinstance(done, ServerDone)
    return done.status


def test_heartbeats_and_draining(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.health = BAD
        await house.register(backend)
        assert [await beat(house, "healthy") for _ in range(3)] == ["offline", "offline", "online"]
        assert await beat(house, "unhealthy") == "degraded"
        assert [await beat(house, "healthy") for _ in range(3)] == ["degraded", "degraded", "online"]
        view = house.node.server("s1")
        assert view is not None
        before = view.last_heartbeat
        assert await beat(house, "draining", active=3) == "draining"
        view = house.node.server("s1")
        assert view is not None
        assert (view.last_heartbeat >= before, view.reported_active, view.active) == (True, 3, 0)
        backend.health = GOOD
        task = await house.submit("t")
        assert await house.check() == "draining"  # the node's own checks do not end it
        assert await beat(house, None) == "draining"
        assert backend.got() == []
        assert await beat(house, "healthy") == "online"
        assert name_of(await house.ended(task)) == "COMPLETED"

    play(tmp_path, scene)


def test_maintenance_lets_running_tasks_end_and_takes_nothing_new(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, b"1"))
        backend.script("t", gate)
        await house.register(backend)
        running = await house.submit("t")
        await until(lambda: gate.waiting == 1)
        await house.ask(MaintenanceSet(server_id="s1", who="ops", admin=True, on=True, reason="disk"))
        waiting = await house.submit("t")
        gate.open()
        assert name_of(await house.ended(running)) == "COMPLETED"
        assert await house.check() == "maintenance"
        assert len(backend.got()) == 1
        await house.ask(MaintenanceSet(server_id="s1", who="ops", admin=True, on=False))
        assert name_of(await house.ended(waiting)) == "COMPLETED"

    play(tmp_path, scene)


def test_a_5xx_orders_one_check_at_once_and_three_bad_inputs_switch_nothing_off(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(500))
        await house.register(backend)
        checks = len(backend.got("/health"))
        for _ in range(3):
            assert name_of(await house.run("t", max_retries=0)) == "FAILED"
        await until(lambda: len(backend.got("/health")) > checks)
        view = house.node.server("s1")
        assert view is not None
        assert view.status == "online"
        assert view.score < 100
        assert name_of(await house.run("fine")) == "COMPLETED"

    play(tmp_path, scene)


def test_an_offline_servers_attempts_are_lost_after_the_grace(tmp_path: Path) -> None:
    async def main() -> None:
        async with living(tmp_path, 2, offline_grace=150) as (house, (dead, alive)):
            dead.script("t", answer(202))
            await house.register(dead, "dead", weight=10)
            task = await house.submit("t")
            await house.accepted(task)
            await house.register(alive, "alive")
            dead.health = BAD
            assert [await house.check("dead") for _ in range(3)] == ["degraded", "degraded", "offline"]
            record = await house.ended(task)
            assert (name_of(record), record.task.server_id, record.task.lost) == ("COMPLETED", "alive", 1)
            assert await house.outcomes(task) == [("lost", 1)]
            assert record.task.failures == 0

    run(main())


def test_a_server_nobody_heard_of_is_stale_and_offline(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        assert house.status_of() == "online"
        await until(lambda: house.status_of() == "offline")
        assert "too long" in (house.server().health.last_error or "")

    play(tmp_path, scene, server_stale_threshold=200, server_cleanup_interval=100)  # the next check is 10 s away
