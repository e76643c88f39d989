"""What is kept of ended tasks, by age and by number, in a running node; live tasks are never touched."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from taskyard.host import sweeper
from taskyard.host.storage import Storage
from taskyard.host.sweeper import Sweeper
from taskyard.store.port import Store, TaskQuery
from taskyard.store.sqlite import SqliteStore
from tests.store.making import T0, ended, key_row, plan, queued, stat_row, tid
from tests.support.aio import run, until
from tests.support.backend import Backend
from tests.support.house import House, play


def test_the_newest_are_kept_and_the_rest_goes_whatever_its_age(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend, capabilities=("a",))
        waiting = [await house.submit(capabilities=("nobody",)) for _ in range(3)]
        done = [(await house.run(capabilities=("a",))).task.id for _ in range(7)]

        async def kept() -> set[str]:
            page = await house.node.read(lambda store: store.tasks(TaskQuery(None)))
            return {record.task.id for record in page.records}

        async with asyncio.timeout(60):
            while (now := await kept()) != {*waiting, *done[-2:]}:
                assert {*waiting, *done[-2:]} <= now
                await asyncio.sleep(0.01)
        assert house.node.memory.queued == 3

    play(tmp_path / "data", scene, retention_count=2)


def test_none_are_kept_with_a_number_of_none(tmp_path: Path) -> None:
    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        record = await house.run()
        await until_gone(house.node.read, record.task.id)

    play(tmp_path / "data", scene, retention_count=0)


async def until_gone(read: Callable, task_id: str) -> None:
    async with asyncio.timeout(60):
        while await read(lambda store: store.task(task_id, None)) is not None:  # noqa: ASYNC110 - no event tells of it
            await asyncio.sleep(0.01)


# --- the sweeper alone -----------------------------------------------------------------------------------------------


def sweep(path: Path, fill: Callable[[SqliteStore], None], done: Callable[[Store], bool], **options) -> SqliteStore:
    """Run a sweeper over a filled store until a condition holds; the store is open then, and to be closed."""
    store = SqliteStore(path, ballast=0)
    fill(store)

    async def main() -> None:
        storage = Storage(store, 256)
        options.setdefault("live", lambda: 0)
        made = Sweeper(storage, lambda: T0 + 1000, options.pop("live"), **options)
        made.start()
        try:
            await until(lambda: done(store), 35)
        finally:
            await made.stop()

    run(main())
    return store


def test_it_goes_on_until_nothing_is_due(tmp_path: Path) -> None:
    """More than fit into many bites, in one pass: no second one comes within the time of this test."""
    count = 40 * sweeper.FIRST

    def fill(store: SqliteStore) -> None:
        ended(store, *range(count), completed_at=T0 + 10)
        ended(store, count, completed_at=T0 + 900)
        store.commit(plan(keys=[key_row(f"k{n}", n, expires_at=T0 + n) for n in range(count)]))

    store = sweep(
        tmp_path / "data", fill, lambda store: store.task(tid(count - 1), None) is None, retention_ms=500, count=None
    )
    assert store.stats(0, 1, "removed")[0].created == count
    assert store.task(tid(count), None) is not None
    store.close()


def test_live_tasks_do_not_count(tmp_path: Path) -> None:
    """The store's counters tell of all tasks; those that have not ended are taken off."""

    def fill(store: SqliteStore) -> None:
        for number in range(10):
            ended(store, number, completed_at=T0 + number)
        queued(store, *range(10, 30))
        store.commit(plan(stats=[stat_row(1, "yard", "", created=30)]))

    store = sweep(
        tmp_path / "data",
        fill,
        lambda store: store.task(tid(5), None) is None,
        live=lambda: 20,
        retention_ms=10**9,
        count=4,
    )
    assert [number for number in range(30) if store.task(tid(number), None) is not None] == [*range(6, 30)]
    store.close()


def test_a_store_that_fails_does_not_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "IDLE_FIRST_S", 0.01)
    monkeypatch.setattr(sweeper, "FAILED_PAUSE_S", 0.01)
    fails = [True, True]

    class Failing(SqliteStore):
        def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
            if fails:
                fails.pop()
                self._writer._db.execute("PRAGMA query_only = ON")
            try:
                return super().sweep(ended_before, keys_before, most)
            finally:
                self._writer._db.execute("PRAGMA query_only = OFF")

    store = Failing(tmp_path / "data", ballast=0)
    ended(store, 1, completed_at=T0)

    async def main() -> None:
        made = Sweeper(Storage(store, 256), lambda: T0 + 1000, lambda: 0, retention_ms=1, count=None)
        made.start()
        await until(lambda: store.task(tid(1), None) is None)
        await made.stop()

    run(main())
    assert fails == []
    store.close()


def test_it_goes_on_after_an_error_that_nobody_foresaw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeper, "FAILED_PAUSE_S", 0.01)
    fails = [ValueError("a row that cannot be read"), sqlite3.OperationalError("disk I/O error")]
    heard: list[str] = []

    class Failing(SqliteStore):
        def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
            if fails:
                raise fails.pop()
            return super().sweep(ended_before, keys_before, most)

    store = Failing(tmp_path / "data", ballast=0)
    ended(store, 1, completed_at=T0)

    async def main() -> None:
        made = Sweeper(
            Storage(store, 256), lambda: T0 + 1000, lambda: 0, retention_ms=1, count=None, failed=heard.append
        )
        made.start()
        await until(lambda: store.task(tid(1), None) is None, 15)
        await made.stop()

    run(main())
    assert heard == ["sweep", "sweep"]
    store.close()


def test_it_has_stopped_when_its_last_bite_has_ended(tmp_path: Path) -> None:
    """Whoever stops it may close the store then."""
    begun, go_on = threading.Event(), threading.Event()
    swept = []

    class Slow(SqliteStore):
        def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
            begun.set()
            assert go_on.wait(60)
            swept.append(super().sweep(ended_before, keys_before, most))
            return swept[-1]

    store = Slow(tmp_path / "data", ballast=0)
    ended(store, 1, completed_at=T0)

    async def main() -> None:
        storage = Storage(store, 256)
        made = Sweeper(storage, lambda: T0 + 1000, lambda: 0, retention_ms=1, count=None)
        made.start()
        await until(begun.is_set, 15)
        stopping = asyncio.ensure_future(made.stop())
        for _ in range(10):
            await asyncio.sleep(0)
        assert storage.turn.locked()
        assert not stopping.done()
        go_on.set()
        await stopping
        assert swept == [1]
        assert not storage.turn.locked()

    run(main())
    store.close()


def test_a_bite_is_fitted_to_what_it_takes() -> None:
    """It grows by steps up to what fits, shrinks fast, and one slow bite among others does not make it small."""
    made = Sweeper(None, lambda: 0, lambda: 0, retention_ms=1, count=None, hold_ms=20)  # type: ignore[arg-type]
    sizes = []
    for _ in range(30):
        made._fit(made._bite * 0.0001, made._bite)
        sizes.append(made._bite)
    assert sizes == sorted(sizes)
    assert sizes[0] <= 1.3 * sweeper.FIRST
    assert sizes[-1] == 200  # of 0.1 ms each in 20 ms
    made._fit(0.06, 200)
    assert 120 <= made._bite < 200
    for _ in range(20):
        made._fit(made._bite * 0.002, made._bite)
    assert made._bite == sweeper.LEAST
    for _ in range(60):
        made._fit(1e-9, made._bite)
    assert made._bite == sweeper.MOST
