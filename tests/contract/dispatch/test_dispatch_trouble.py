"""What a node does when a commit fails, seems to have failed, or is given a value that the store refuses."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from taskyard.domain.outcomes import Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import Submitted
from taskyard.engine.plan import Plan, Receipt, Refusal, Snapshot, SubmitDone, TaskDone
from taskyard.host.errors import Unavailable
from taskyard.store.port import OutcomeUnknown
from taskyard.store.sqlite import SqliteStore
from tests.support.aio import until
from tests.support.backend import Backend, Gate, answer
from tests.support.house import House, name_of, play


class Fault:
    """Breaks chosen commits of the real store: before they are done, or after (then nobody knows)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.when: Callable[[Plan], bool] | None = None
        self.done_all_the_same = False
        self.struck = 0
        commit = SqliteStore.commit

        def breaking(store: SqliteStore, plan: Plan) -> Receipt:
            strikes = self.when is not None and self.when(plan)
            if strikes:
                self.when = None
                self.struck += 1
                if self.done_all_the_same:
                    commit(store, plan)
                raise OutcomeUnknown("the disk went away for a moment")
            return commit(store, plan)

        monkeypatch.setattr(SqliteStore, "commit", breaking)


@pytest.fixture
def fault(monkeypatch: pytest.MonkeyPatch) -> Fault:
    return Fault(monkeypatch)


@pytest.mark.parametrize("done", [False, True])
def test_a_submission_whose_commit_failed_is_not_acknowledged(fault: Fault, done: bool, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        fault.done_all_the_same = done
        fault.when = lambda plan: bool(plan.writes.tasks)
        with pytest.raises(Unavailable):
            await house.submit("t")
        assert fault.struck == 1
        await until(lambda: house.node.not_ready() is None)
        assert name_of(await house.run("t")) == "COMPLETED"
        await until(lambda: house.node.live().processing == house.node.live().pending == 0, 10)
        assert len(backend.got()) == (2 if done else 1)

    play(tmp_path, scene)


@pytest.mark.parametrize("done", [False, True])
def test_an_attempt_that_is_being_sent_survives_a_failed_commit(fault: Fault, done: bool, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, {"status": "success", "result": 1}))
        backend.script("t", gate)
        await house.register(backend)
        task = await house.submit("t", max_retries=0)
        await until(lambda: gate.waiting == 1)
        fault.done_all_the_same = done
        fault.when = lambda plan: bool(plan.writes.tasks)
        with pytest.raises(Unavailable):
            await house.submit("other")
        await until(lambda: house.node.not_ready() is None)
        gate.open()
        record = await house.ended(task)
        assert (name_of(record), record.task.attempts, record.task.lost) == ("COMPLETED", 1, 0)
        assert len([request for request in backend.got() if request.json["task_id"] == task]) == 1

    play(tmp_path, scene)


@pytest.mark.parametrize("done", [False, True])
def test_an_end_whose_commit_failed_is_told_again_and_counted_once(fault: Fault, done: bool, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(200, {"status": "success", "result": 1}))
        await house.register(backend)
        fault.done_all_the_same = done
        fault.when = lambda plan: bool(plan.writes.ended)
        record = await house.run("t", max_retries=0)
        assert fault.struck == 1
        assert (name_of(record), record.task.attempts) == ("COMPLETED", 1)
        assert await house.result(record.task.id) == "1"
        await until(lambda: house.server().active == 0)
        total = await house.node.read(lambda store: store.stats_total("server", "s1"))
        assert total.attempts_ok == 1
        assert len(backend.got()) == 1

    play(tmp_path, scene)


@pytest.mark.parametrize("done", [False, True])
def test_a_callback_whose_commit_failed_is_decided_all_the_same(fault: Fault, done: bool, tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        backend.script("t", answer(202))
        await house.register(backend)
        task = await house.submit("t")
        await house.accepted(task)
        fault.done_all_the_same = done
        fault.when = lambda plan: bool(plan.writes.ended)
        answered = await house.call_back(backend.got()[0].callback_url, Word.COMPLETED, result="1")
        assert fault.struck == 1
        assert isinstance(answered, TaskDone)
        assert name_of(await house.ended(task)) == "COMPLETED"

    play(tmp_path, scene)


def test_a_value_that_the_store_refuses_harms_nobody_else(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        gate = Gate(answer(200, b"1"))
        backend.script("slow", gate)
        await house.register(backend, max_concurrent=50)
        running = await house.submit("slow", max_retries=0)
        await until(lambda: gate.waiting == 1)
        now = house.node.now()
        facts = []
        for number in range(20):
            task_type = "bad \ud800" if number == 7 else "t"
            spec = Spec(id=house.node.new_task_id(now), owner="ann", type=task_type, created_at=now)
            facts.append(Submitted(spec=spec, payload="{}"))
        results = await asyncio.gather(*[house.ask(fact) for fact in facts], return_exceptions=True)
        kinds = [type(result) for result in results]
        assert kinds[7] is Refusal
        assert kinds[:7] + kinds[8:] == [SubmitDone] * 19
        for number, fact in enumerate(facts):
            if number != 7:
                assert name_of(await house.ended(fact.spec.id)) == "COMPLETED"
        gate.open()
        record = await house.ended(running)
        assert (name_of(record), record.task.lost) == ("COMPLETED", 0)
        assert len(backend.got()) == 20  # nothing was sent twice

    play(tmp_path, scene)


def test_a_store_that_can_be_read_but_not_written_is_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Recovery, which only reads where nothing runs, proves nothing."""
    recover, tries = SqliteStore.recover, []

    def counting(store: SqliteStore, wakes: int) -> Snapshot:
        tries.append(wakes)
        return recover(store, wakes)

    async def scene(house: House, backend: Backend) -> None:
        other = sqlite3.connect(house.settings.data_path / "taskyard.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        before = len(tries)
        refused = await asyncio.gather(*[house.submit("t") for _ in range(3)], return_exceptions=True)
        assert [type(answer) for answer in refused] == [Unavailable] * 3
        reasons: set[str | None] = set()
        await until(lambda: reasons.add(house.node.not_ready()) is not None or len(tries) > before + 2, 10)
        assert reasons == {"the store is away: the database cannot be written (another process has locked it)"}
        other.close()
        await until(lambda: house.node.not_ready() is None, 10)
        await house.register(backend)
        assert name_of(await house.run("t")) == "COMPLETED"

    monkeypatch.setattr(SqliteStore, "recover", counting)
    play(tmp_path, scene)
