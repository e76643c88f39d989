"""The budget of bodies in flight, as dispatches use it: nothing is sent while it is used up, and all comes back."""

from pathlib import Path

import pytest

from taskyard.domain.outcomes import Word
from taskyard.engine.plan import Plan, Receipt
from taskyard.store.port import OutcomeUnknown
from taskyard.store.sqlite import SqliteStore
from tests.support.aio import until
from tests.support.backend import Backend, Behaviour, Gate, answer, close, no_http, reset
from tests.support.house import House, name_of, play

MIB = 1 << 20
LARGE = "x" * 5_000  # over a half of what House lets a result be


def test_nothing_is_sent_while_the_budget_is_used_up(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        assert house.node.reserve(MIB)
        task = await house.submit("t")
        await until(lambda: house.node.live().processing == 1)
        assert await house.check() == "online"  # small answers are read all the same
        assert backend.got() == []
        house.node.release(MIB)
        assert name_of(await house.ended(task)) == "COMPLETED"
        assert house.node.in_flight == 0

    play(tmp_path, scene, memory_budget=MIB)


def test_many_large_answers_at_once_all_come_in(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        count, size = 20, 250_000  # five times the budget
        gates = [Gate(answer(200, {"status": "success", "result": "x" * size})) for _ in range(count)]
        backend.script("t", *gates)
        await house.register(backend, max_concurrent=count)
        tasks = [await house.submit("t", max_retries=0) for _ in range(count)]
        await until(lambda: sum(gate.waiting for gate in gates) == count)
        for gate in gates:
            gate.open()
        assert {name_of(await house.ended(task)) for task in tasks} == {"COMPLETED"}
        assert {len(await house.result(task) or "") for task in tasks} == {size + 2}
        assert house.node.in_flight == 0

    play(tmp_path, scene, memory_budget=MIB, result_max_bytes=MIB, silence_timeout=20_000)


BEHAVIOURS = {
    "a result": answer(200, {"status": "success", "result": LARGE}),
    "a failure": answer(500, {"error": LARGE}),
    "no JSON": answer(200, "[" + LARGE),
    "a result over the limit": answer(200, {"result": LARGE * 3}),
    "reset": reset,
    "closed": close,
    "no HTTP": no_http,
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_whatever_a_backend_answers_the_budget_comes_back(tmp_path: Path, name: str) -> None:
    async def scene(house: House, backend: Backend) -> None:
        behaviour: Behaviour = BEHAVIOURS[name]
        backend.script("t", behaviour, behaviour)
        await house.register(backend)
        await house.run("t", max_retries=1)
        assert house.node.in_flight == 0

    play(tmp_path, scene)


def test_an_answer_that_nobody_waits_for_any_more_gives_its_bytes_back(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, {"result": LARGE}))
        backend.script("t", gate)
        await house.register(backend)
        task = await house.submit("t")
        await until(lambda: gate.waiting == 1)
        url = backend.got()[0].callback_url
        await house.call_back(url, Word.COMPLETED, result='"by callback"')
        gate.open()
        await until(lambda: house.server().active == 0)
        await house.check()  # a turn later
        assert await house.result(task) == '"by callback"'
        assert house.node.in_flight == 0

    play(tmp_path, scene)


def test_a_result_counts_until_it_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    commit = SqliteStore.commit

    async def scene(house: House, backend: Backend) -> None:
        def failing_once(store: SqliteStore, plan: Plan) -> Receipt:
            if plan.writes.results:
                seen.append(house.node.in_flight)
                if len(seen) == 1:
                    raise OutcomeUnknown("the disk went away for a moment")
            return commit(store, plan)

        monkeypatch.setattr(SqliteStore, "commit", failing_once)
        backend.script("t", answer(200, {"status": "success", "result": LARGE}))
        await house.register(backend)
        assert name_of(await house.run("t")) == "COMPLETED"
        assert seen == [len(LARGE) + 2] * 2
        assert house.node.in_flight == 0

    play(tmp_path, scene)
