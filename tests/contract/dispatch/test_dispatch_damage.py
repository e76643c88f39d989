"""One byte of a stored row is changed while no node runs: that task ends with an honest error, all others go on."""

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from taskyard.api.views import read_task, task_row
from taskyard.engine.engine import Engine
from taskyard.engine.facts import RetryAsked
from taskyard.engine.plan import Plan, Receipt, Refusal
from taskyard.host.errors import Unavailable
from taskyard.store.check import check
from taskyard.store.connection import Connection, read_failure, write_failure
from taskyard.store.port import StoreError, TaskQuery
from tests.support.aio import until
from tests.support.backend import Backend, answer
from tests.support.house import House, name_of, play

SECRET = "a word of somebody else's"
FUTURE_MS = 1_500


def spoil(file: Path, *texts: str, byte: int = 0xFF) -> None:
    """Change one byte in the only place where a text stands."""
    body = bytearray(file.read_bytes())
    for text in texts:
        assert body.count(text.encode()) == 1, text
        body[body.index(text.encode()) + len(text) // 2] = byte
    file.write_bytes(body)


def test_a_row_that_cannot_be_read_harms_its_own_task_alone(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        file = house.settings.data_path / "taskyard.db"
        backend.script("result", answer(200, {"status": "success", "result": "the result that spoils"}))
        await house.register(backend)
        done = (await house.run("result")).task.id
        failed = await house.submit("tagged end", tags=("spoilt later",), capabilities=("later",))
        await house.cancel(failed)
        waiting: dict[str, Any] = {"capabilities": ("later",), "owner": "ann"}
        damaged = {
            "payload": await house.submit("t", f'{{"payload":"{SECRET}"}}', **waiting),
            "no JSON": await house.submit("t", '{"n": "no JSON any more"}', **waiting),
            "tags": await house.submit("t", tags=("tags of it",), **waiting),
            "metadata": await house.submit("t", metadata='{"m":"metadata of it"}', **waiting),
            "capabilities": await house.submit("t", capabilities=("later", "capability of it")),
        }
        due = house.node.now() + FUTURE_MS
        damaged["delayed payload"] = await house.submit("t", '{"n":"delayed payload"}', run_at=due, **waiting)
        damaged["delayed tags"] = await house.submit("t", tags=("delayed tags",), run_at=due, **waiting)
        sound = [await house.submit("t", **waiting), await house.submit("t", run_at=due, **waiting)]
        await house.node.stop()
        spoil(file, SECRET, "the result that spoils", '["tags of it"]', "metadata of it", '["delayed tags"]')
        spoil(file, '["spoilt later"]', '{"n":"delayed payload"}')
        spoil(file, '"later", "capability of it"]', byte=ord('"'))  # in the task's row; in the lane's they are sorted
        spoil(file, 'no JSON any more"}', byte=ord('"'))
        faults = {fault.rule: fault.places for fault in check(file, lambda rule: None).faults}
        assert len(faults["payloads and results are JSON in UTF-8"]) == 4
        assert len(faults["lists and objects are JSON"]) == 1
        assert len(faults["all other text is UTF-8"]) == 4
        house.node = type(house.node)(house.settings)
        await house.node.start()
        await house.register(backend, "s2", capabilities=("later", "capability of it"))
        for task in sound:
            assert name_of(await house.ended(task)) == "COMPLETED"
        for what, task in damaged.items():
            record = await house.ended(task)
            assert name_of(record) == "FAILED", what
            assert record.task.error is not None
            assert record.task.error.startswith("unreadable: "), what
            assert SECRET not in record.task.error
            refused = await house.ask(RetryAsked(task_id=task, owner=None, who="ops"))
            assert isinstance(refused, Refusal) is ("payload" not in what and what != "no JSON"), what
        assert isinstance(await house.ask(RetryAsked(task_id=failed, owner=None, who="ops")), Refusal)
        assert name_of(await house.run("t")) == "COMPLETED"
        assert house.node.not_ready() is None
        assert house.node.memory.queued == len(house.node.memory.queued_by_owner) == 0

        page = await house.node.read(lambda store: store.tasks(TaskQuery(None, limit=100)))
        shown = {row.id: row for row in map(task_row, page.records)}
        assert {done, failed, *sound, *damaged.values()} < set(shown)
        assert msgspec.json.encode(list(shown.values()))
        assert shown[failed].error == "unreadable: its row in the database is damaged (tags)"
        whole = await house.node.read(lambda store: read_task(store, done, None, with_payload=True))
        assert whole is not None
        assert (whole[0].status, whole[0].result) == ("COMPLETED", None)
        assert whole[0].error == "unreadable: its result in the database is damaged"
        swept = await house.node._storage.write(lambda store: store.sweep(house.node.now() + 1, 0, 100))
        assert swept == len(shown)
        assert (await house.node.read(lambda store: store.tasks(TaskQuery(None)))).records == []

    play(tmp_path, scene)
    (fault,) = check(tmp_path / "taskyard.db", lambda rule: None).faults
    assert fault.rule.endswith("tags are of tasks that there are")  # what they were can be read nowhere
    assert len(fault.places) == 3


def test_a_lane_and_a_server_that_cannot_be_read_are_made_anew(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        file = house.settings.data_path / "taskyard.db"
        await house.register(backend, "s1", name="the name of it")
        await house.register(backend, "s2")
        task = await house.submit("t", capabilities=("second", "first"))
        await house.node.stop()
        spoil(file, '["first", "second"]', "the name of it")
        house.node = type(house.node)(house.settings)
        await house.node.start()
        assert (house.status_of("s1"), house.status_of("s2")) != (None, None)
        assert house.status_of("s1") is None
        assert name_of(await house.run("t")) == "COMPLETED"
        await house.register(backend, "s1", capabilities=("first", "second"))
        assert name_of(await house.ended(task)) == "COMPLETED"

    play(tmp_path, scene)


def test_a_turn_that_fails_after_its_commit_refuses_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settle = Engine.settle
    struck: list[str] = []

    def failing(engine: Engine, plan: Plan, receipt: Receipt) -> None:
        settle(engine, plan, receipt)
        if plan.writes.tasks and not struck:
            struck.append(plan.writes.tasks[0].id)
            raise KeyError(SECRET)

    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        with pytest.raises(Unavailable, match="whether this was done is not known") as told:
            await house.submit("t")
        assert SECRET not in str(told.value)
        assert name_of(await house.ended(struck[0])) == "COMPLETED"
        await until(lambda: house.node.not_ready() is None, 10)

    monkeypatch.setattr(Engine, "settle", failing)
    play(tmp_path, scene)


def test_what_a_driver_says_stays_with_the_node(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.touch()
    port = Connection(path, writer=True)
    port.change("CREATE TABLE t (x TEXT PRIMARY KEY, n INTEGER) STRICT")
    found: list[StoreError] = []
    for statement, values in (
        ("INSERT INTO t VALUES (?, 1)", ("\ud800",)),
        ("INSERT INTO t VALUES ('a', ?)", (1 << 70,)),
        ("INSERT INTO t VALUES ('a', ?)", (SECRET,)),
        (f'INSERT INTO "{SECRET}" VALUES (1)', ()),
    ):
        with pytest.raises(StoreError) as told, port.writing():
            port.change(statement, values)
        found.append(told.value)
        with pytest.raises(StoreError) as told, port.reading():
            port.rows(statement.replace("INSERT", "SELECT * FROM t WHERE x = ? --"), ("\ud800",))
        found.append(told.value)
    port.close()
    decoding = sqlite3.OperationalError(f"Could not decode to UTF-8 column 'body' with text '{SECRET}'")
    found += [read_failure(decoding), write_failure(decoding)]
    for error in found:
        assert SECRET not in str(error) + error.detail
        assert "SQLITE" in str(error) + error.detail or "Error" in error.detail
