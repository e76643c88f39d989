"""A copy is the database as it is at its end, whatever was written while it was made; or there is none."""

import os
import shutil
import sqlite3
import stat

import pytest

from taskyard.store.backup import Copy, back_up_stopped, copy_whole
from taskyard.store.directory import DataDirectory
from taskyard.store.port import BadData, StoreError, Unusable
from taskyard.store.sqlite import SqliteStore
from tests.store.making import ended, new_task, plan, queued, running, tid

PAGES = 8


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def store(data):
    opened = SqliteStore(data, ballast=0)
    yield opened
    opened.close()


def rows_of(path):
    """All rows of all tables, read from the file alone."""
    database = sqlite3.connect(path.as_uri() + "?mode=ro", uri=True)
    try:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return {name: sorted(database.execute(f"SELECT * FROM {name}"), key=repr) for name in tables}
    finally:
        database.close()


def finish(copy):
    """Step to the end; how many steps that took."""
    steps = 1
    while not copy.step():
        steps += 1
    return steps


def test_what_is_written_meanwhile_is_in_the_copy_and_it_does_not_begin_anew(store, data, tmp_path):
    ended(store, *range(1, 200), result="x" * 3000)
    copy = Copy(store._writer, tmp_path / "copy.db", PAGES)
    steps, number = 1, 1000
    while not copy.step():
        steps += 1
        # New pages, changed pages before and behind the place of the copy, freed pages, and the WAL cut in between.
        queued(store, number)
        store.commit(plan(settings=[("a", str(number) * 500)]))
        store.commit(plan(unqueued=[(tid(number),)]))
        running(store, number + 1)
        if steps % 4 == 0:
            store._writer.trim_wal()
        if steps % 8 == 0:
            store.sweep(2**52, 0, 3)
        number += 2
    size = copy.keep()
    store.close()
    assert rows_of(tmp_path / "copy.db") == rows_of(data / "taskyard.db")
    assert size == (tmp_path / "copy.db").stat().st_size
    # Each step copied pages that none had copied before.
    assert steps >= 20
    assert steps <= -(-copy.pages // PAGES) + 1


def test_a_refused_plan_between_two_steps_is_not_in_the_copy(store, data, tmp_path):
    ended(store, *range(1, 100), result="x" * 3000)
    copy = Copy(store._writer, tmp_path / "copy.db", PAGES)
    for _ in range(5):
        assert not copy.step()
    with pytest.raises(BadData):
        store.commit(plan(tasks=[new_task(500), new_task(1)]))
    queued(store, 501)
    finish(copy)
    copy.keep()
    store.close()
    kept = rows_of(tmp_path / "copy.db")
    assert kept == rows_of(data / "taskyard.db")
    assert {tid(1), tid(501)} <= {row[0] for row in kept["task"]}
    assert tid(500) not in {row[0] for row in kept["task"]}


def test_it_says_how_far_it_is(store, tmp_path):
    ended(store, *range(1, 100), result="x" * 3000)
    copy = Copy(store._writer, tmp_path / "copy.db", PAGES)
    seen = []
    while not copy.step():
        seen.append((copy.left, copy.pages))
    copy.keep()
    assert [left for left, _ in seen] == sorted((left for left, _ in seen), reverse=True)
    assert all(0 < left < pages for left, pages in seen)
    assert copy.left == 0
    assert copy.step() is True  # again, to no harm


def test_nothing_stands_under_its_name_before_it_is_kept(store, tmp_path):
    ended(store, *range(1, 50))
    file = tmp_path / "copy.db"
    copy = Copy(store._writer, file, PAGES)
    finish(copy)
    assert not file.exists()
    copy.keep()
    copy.abandon()  # what was kept stays
    assert [path.name for path in tmp_path.glob("copy*")] == ["copy.db"]


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_an_abandoned_copy_leaves_nothing_and_the_store_goes_on(store, tmp_path, steps):
    ended(store, *range(1, 100), result="x" * 3000)
    copy = Copy(store._writer, tmp_path / "copy.db", PAGES)
    for _ in range(steps):
        copy.step()
    copy.abandon()
    assert list(tmp_path.glob("copy*")) == []
    queued(store, 500)
    copy = Copy(store._writer, tmp_path / "copy.db")
    finish(copy)
    copy.keep()
    assert tid(500) in {row[0] for row in rows_of(tmp_path / "copy.db")["task"]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_it_is_for_its_owner_alone(store, tmp_path, umask):
    old = os.umask(umask)
    try:
        copy = Copy(store._writer, tmp_path / "copy.db")
        finish(copy)
        copy.keep()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "copy.db").stat().st_mode) == 0o600


def test_a_place_that_cannot_be_written(store, tmp_path):
    with pytest.raises(StoreError, match="No such file"):
        Copy(store._writer, tmp_path / "nowhere" / "copy.db")


def test_a_copy_whose_file_is_taken_away_fails_and_leaves_nothing(store, tmp_path):
    ended(store, *range(1, 100), result="x" * 3000)
    copy = Copy(store._writer, tmp_path / "copy.db", PAGES)
    copy.step()
    (tmp_path / "copy.db.partial").unlink()
    finish(copy)
    with pytest.raises(StoreError, match="cannot be written"):
        copy.keep()
    copy.abandon()
    assert list(tmp_path.glob("copy*")) == []


def test_what_a_copy_that_was_cut_short_left_is_replaced(store, tmp_path):
    (tmp_path / "copy.db.partial").write_text("half a database")
    copy = Copy(store._writer, tmp_path / "copy.db")
    finish(copy)
    copy.keep()
    assert rows_of(tmp_path / "copy.db")["task"] == []


# --- nobody has it open ----------------------------------------------------------------------------------------------


def back_up(data, file):
    directory = DataDirectory(data, create=False)
    try:
        return back_up_stopped(directory, file, lambda left, pages: None)
    finally:
        directory.release()


def test_what_a_crash_left_in_the_wal_is_in_the_copy_and_stays_where_it_is(store, data, tmp_path):
    queued(store, *range(1, 50))
    crashed = tmp_path / "crashed"
    shutil.copytree(data, crashed, ignore=shutil.ignore_patterns("lock"))
    before = {path.name: path.read_bytes() for path in crashed.iterdir() if path.suffix != ".db-shm"}
    assert len(before["taskyard.db-wal"]) > 10_000
    back_up(crashed, tmp_path / "copy.db")
    assert len(rows_of(tmp_path / "copy.db")["queue"]) == 49
    after = {path.name: path.read_bytes() for path in crashed.iterdir() if path.name in before}
    assert after == before


def test_a_database_of_an_earlier_version_stays_one(store, data, tmp_path):
    store.close()
    with sqlite3.connect(data / "taskyard.db") as database:
        database.execute("CREATE TABLE earlier (x)")
    database.close()
    back_up(data, tmp_path / "copy.db")
    assert "earlier" in rows_of(tmp_path / "copy.db")


def test_there_must_be_something_to_back_up(store, data, tmp_path):
    store.close()
    (data / "taskyard.db").write_bytes(b"")
    with pytest.raises(Unusable, match="nothing in it"):
        back_up(data, tmp_path / "copy.db")
    (data / "taskyard.db").write_bytes(b"x" * 5000)
    with pytest.raises(Unusable, match="no database"):
        back_up(data, tmp_path / "copy.db")
    assert list(tmp_path.glob("copy*")) == []


def test_a_damaged_database_gives_no_copy(store, data, tmp_path):
    """Damage that SQLite's copy does not see is seen before the copy is kept."""
    ended(store, *range(1, 100), result="x" * 3000)
    store.close()
    body = bytearray((data / "taskyard.db").read_bytes())
    body[4096 * 5 : 4096 * 6] = b"\xff" * 4096
    (data / "damaged.db").write_bytes(body)
    with pytest.raises(Unusable, match="damaged"):
        copy_whole(data / "damaged.db", tmp_path / "copy.db", lambda left, pages: None)
    assert list(tmp_path.glob("copy*")) == []
