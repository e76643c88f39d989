"""A restored directory holds the backup alone; what was there is beside it; a half restored one is refused."""

import shutil
import sqlite3

import pytest

from taskyard.store.directory import DataDirectory
from taskyard.store.port import StoreError, Unusable
from taskyard.store.restore import check_backup, holds_data, restore
from taskyard.store.sqlite import SqliteStore
from tests.store.making import ended, queued, tid


class PowerCut(Exception):
    pass


def nothing(*_):
    pass


@pytest.fixture
def backup(tmp_path):
    """A backup of a yard in which tasks 1 to 99 wait."""
    store = SqliteStore(tmp_path / "first", ballast=0)
    queued(store, *range(1, 100))
    copy = store.copy(tmp_path / "backup.db")
    while not copy.step():
        pass
    copy.keep()
    store.close()
    return tmp_path / "backup.db"


@pytest.fixture
def full(tmp_path):
    """The directory of another yard that crashed: its tasks 500 to 599 stand in the WAL."""
    store = SqliteStore(tmp_path / "live", ballast=0)
    ended(store, *range(500, 600))
    shutil.copytree(tmp_path / "live", tmp_path / "full", ignore=shutil.ignore_patterns("lock"))
    store.close()
    (tmp_path / "full").chmod(0o700)
    assert (tmp_path / "full" / "taskyard.db-wal").stat().st_size > 10_000
    return tmp_path / "full"


def put(backup, data, ready=nothing):
    directory = DataDirectory(data, create=True)
    try:
        return restore(backup, directory, data / "replaced", ready, nothing)
    finally:
        directory.release()


def tasks(data):
    store = SqliteStore(data, create=False, ballast=0)
    try:
        return {number for number in range(1000) if store.task(tid(number), None) is not None}
    finally:
        store.close()


def test_into_a_directory_that_is_made(backup, tmp_path):
    assert put(backup, tmp_path / "new" / "data") == backup.stat().st_size
    assert tasks(tmp_path / "new" / "data") == set(range(1, 100))
    assert not (tmp_path / "new" / "data" / "replaced").exists()


def test_what_was_there_is_moved_aside_with_its_wal(backup, full, tmp_path):
    put(backup, full)
    assert tasks(full) == set(range(1, 100))
    moved = full / "replaced"
    assert moved.stat().st_mode & 0o077 == 0
    assert {"taskyard.db", "taskyard.db-wal"} <= {path.name for path in moved.iterdir()}
    assert tasks(moved) == set(range(500, 600))


def test_whether_there_is_data(full, tmp_path):
    directory = DataDirectory(tmp_path / "empty", create=True)
    assert not holds_data(directory)
    directory.release()
    directory = DataDirectory(full, create=False)
    assert holds_data(directory)
    (full / "taskyard.db").write_bytes(b"")
    assert holds_data(directory)  # all of it may be in the WAL
    directory.release()


def test_cut_short_before_anything_was_moved_a_start_is_refused_and_a_second_time_it_ends(backup, full):
    def cut():
        raise PowerCut

    with pytest.raises(PowerCut):
        put(backup, full, cut)
    with pytest.raises(Unusable, match="a restore was cut short: run `taskyard restore` again"):
        SqliteStore(full, ballast=0)
    put(backup, full)
    assert tasks(full) == set(range(1, 100))
    assert tasks(full / "replaced") == set(range(500, 600))


@pytest.mark.parametrize("moved", [("taskyard.db",), ("taskyard.db", "taskyard.db-wal", "taskyard.db-shm")])
def test_cut_short_while_things_are_moved(backup, full, moved):
    def half():
        (full / "replaced").mkdir(mode=0o700)
        for name in moved:
            (full / name).replace(full / "replaced" / name)
        raise PowerCut

    with pytest.raises(PowerCut):
        put(backup, full, half)
    with pytest.raises(Unusable, match="cut short"):
        SqliteStore(full, ballast=0)
    put(backup, full)
    assert tasks(full) == set(range(1, 100))


def test_a_failure_leaves_what_was_there(backup, full):
    def fail():
        raise OSError(28, "No space left on device", "key")

    with pytest.raises(StoreError, match="No space left"):
        put(backup, full, fail)
    assert tasks(full) == set(range(500, 600))


def test_a_copy_that_does_not_fit_touches_nothing(backup, full):
    (full / "taskyard.db.restored.partial").mkdir()
    with pytest.raises(StoreError, match="cannot be written"):
        put(backup, full)
    assert tasks(full) == set(range(500, 600))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.unlink(), "no backup in it"),
        (lambda path: path.write_bytes(b""), "no backup in it"),
        (lambda path: path.write_bytes(b"x" * 10_000), "no database"),
        (lambda path: path.write_bytes(path.read_bytes()[:-4096]), "damaged"),
        (
            lambda path: path.write_bytes(path.read_bytes()[:8192] + b"\xff" * 4096 + path.read_bytes()[12288:]),
            "damaged",
        ),
        (lambda path: change(path, "PRAGMA user_version = 99"), "newer taskyard"),
        (lambda path: change(path, "PRAGMA application_id = 7"), "another application"),
        (lambda path: change(path, "DROP TABLE queue"), "damaged"),
    ],
)
def test_what_is_no_good_backup_is_refused(backup, spoil, words):
    check_backup(backup)
    spoil(backup)
    with pytest.raises(Unusable, match=words):
        check_backup(backup)


def change(path, statement):
    with sqlite3.connect(path) as database:
        database.execute(statement)
    database.close()
