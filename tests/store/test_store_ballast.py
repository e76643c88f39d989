"""A full disk, a real one: the ballast gives its room to what must be stored, and is made again when there is room."""

import os
import sqlite3

import pytest

from taskyard.store.port import DiskFull, StoreError, Unusable
from taskyard.store.sqlite import SqliteStore
from tests.store.making import ended, ended_task, plan, queued, tid
from tests.support.disks import small_disk

MIB = 1 << 20
DISK = 24 * MIB
BALLAST = 4 * MIB


@pytest.fixture
def disk(tmp_path):
    with small_disk(tmp_path / "disk", DISK) as made:
        yield made


@pytest.fixture
def opened(disk):
    """Opens a store on the disk; what is left open is closed before the disk goes."""
    stores = []

    def make(ballast=BALLAST):
        store = SqliteStore(disk.path / "data", ballast=ballast)
        stores.append(store)
        return store

    yield make
    for store in stores:
        store.close()


def result(number, size):
    """The end of a queued task, with a result of so many bytes."""
    return plan(unqueued=[(tid(number),)], ended=[ended_task(number)], results=[(tid(number), "1" * size)])


def commit_until_full(store, numbers):
    """Store results until there is no room; returns the numbers of those that were stored."""
    stored = []
    for number in numbers:
        try:
            store.commit(result(number, MIB))
        except DiskFull:
            break
        stored.append(number)
    return stored


def test_without_ballast_a_full_disk_stores_nothing(disk, opened):
    store = opened(ballast=0)
    queued(store, 1)
    disk.fill()
    assert store.tight() is None
    with pytest.raises(DiskFull, match="full"):
        store.commit(result(1, MIB))
    assert store.recover(1).lane_queued == {1: 1}
    assert store.result(tid(1), None) is None


def test_the_ballast_makes_room_for_a_result_and_says_so(disk, opened):
    store = opened()
    queued(store, 1, 2)
    disk.fill()
    assert (store.tight(), store.sizes()["ballast"]) == (None, BALLAST)
    store.commit(result(1, MIB))
    assert "8 MiB" in store.tight()
    assert store.sizes()["ballast"] == 0
    with pytest.raises(StoreError, match="full"):
        store.check()
    store.commit(result(2, MIB))
    assert [len(store.result(tid(number), None)) for number in (1, 2)] == [MIB, MIB]
    assert store.recover(1).lane_queued == {}


def test_when_the_ballast_too_is_used_up_the_commit_fails_whole(disk, opened):
    store = opened()
    numbers = range(1, 12)
    queued(store, *numbers)
    disk.fill()
    stored = commit_until_full(store, numbers)
    assert 2 <= len(stored) < len(numbers)
    assert [store.result(tid(number), None) is not None for number in numbers] == [n in stored for n in numbers]
    disk.make_room()
    for number in set(numbers) - set(stored):
        store.commit(result(number, MIB))
    assert store.recover(1).lane_queued == {}


def test_the_ballast_is_made_again_only_when_twice_its_size_is_free(disk, opened):
    store = opened()
    queued(store, 1)
    disk.fill()
    store.commit(result(1, MIB))
    store.sweep(0, 0, 1)
    assert store.tight() is not None
    disk.make_room()
    disk.fill(leave=2 * BALLAST - MIB)
    store.sweep(0, 0, 1)
    assert store.tight() is not None
    disk.make_room()
    store.sweep(0, 0, 1)
    assert (store.tight(), store.sizes()["ballast"]) == (None, BALLAST)
    store.check()
    disk.fill()
    queued(store, 2)
    store.commit(result(2, MIB))
    assert store.tight() is not None


def test_a_start_on_a_full_disk_takes_the_ballast(disk, opened):
    store = opened()
    ended(store, 1)
    store.close()
    disk.fill()
    store = opened()
    assert store.tight() is not None
    assert store.result(tid(1), None) == "1"
    queued(store, 2)


def test_a_start_without_any_room_says_that_and_not_that_the_database_is_damaged(disk, opened):
    store = opened(ballast=0)
    ended(store, 1)
    store.close()
    disk.fill()
    with pytest.raises(Unusable, match="the disk is full: make room"):
        opened(ballast=0)
    disk.make_room()
    assert opened().result(tid(1), None) == "1"


def test_a_disk_too_small_for_the_ballast_is_tight_from_the_start(disk, opened):
    store = opened(ballast=DISK)
    assert store.tight() is not None
    queued(store, 1)
    assert not (disk.path / "data" / "ballast").exists()


def test_the_ballast_takes_its_size_from_the_disk_for_its_owner_alone(disk, opened):
    store = opened()
    file = disk.path / "data" / "ballast"
    assert file.stat().st_blocks * 512 >= file.stat().st_size == BALLAST
    assert file.stat().st_mode & 0o077 == 0
    store.close()
    before = disk.free
    opened(ballast=2 * BALLAST).close()
    assert before - disk.free == BALLAST
    opened(ballast=0).close()
    assert not file.exists()
    file.touch(0o600)
    os.truncate(file, BALLAST)  # a hole, as a copy of the directory may have it
    store = opened()
    assert file.stat().st_blocks * 512 >= BALLAST
    assert store.tight() is None


def test_where_room_cannot_be_asked_for_the_ballast_is_written(disk, opened, monkeypatch):
    monkeypatch.delattr(os, "posix_fallocate")
    store = opened()
    assert store.tight() is None
    file = disk.path / "data" / "ballast"
    assert file.stat().st_blocks * 512 >= file.stat().st_size == BALLAST


def test_the_whole_database_is_sound_after_a_full_disk(disk, opened):
    store = opened()
    queued(store, *range(1, 9))
    disk.fill()
    assert len(commit_until_full(store, range(1, 9))) < 8
    store.close()
    disk.make_room()
    with sqlite3.connect(disk.path / "data" / "taskyard.db") as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
