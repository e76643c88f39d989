"""The disk of these tests: what it keeps, and that it keeps no more than it must."""

from random import Random

import pytest

from tests.power.disk import (
    SECTOR,
    Acknowledged,
    Cut,
    Disk,
    Event,
    Files,
    Made,
    Removed,
    Renamed,
    Synced,
    SyncedNames,
    Wrote,
)

OLD, NEW = b"o" * 4 * SECTOR, b"n" * 4 * SECTOR
BASE: list[Event] = [Made("a"), Wrote("a", 0, OLD), Synced("a"), SyncedNames()]


def after(*events: Event) -> Disk:
    disk = Disk()
    for event in events:
        disk.take(event)
    return disk


@pytest.mark.parametrize(
    ("events", "kept"),
    [
        ([], {"a": OLD}),
        ([Wrote("a", 0, NEW)], {"a": OLD}),
        ([Wrote("a", 0, NEW), Acknowledged(1)], {"a": OLD}),
        ([Wrote("a", 0, NEW), Synced("a")], {"a": NEW}),
        ([Wrote("a", 6 * SECTOR, b"x"), Synced("a")], {"a": OLD + bytes(2 * SECTOR) + b"x"}),
        ([Cut("a", 3)], {"a": OLD}),
        ([Cut("a", 3), Synced("a")], {"a": b"ooo"}),
        ([Cut("a", 5 * SECTOR), Synced("a")], {"a": OLD + bytes(SECTOR)}),
        ([Made("b"), Wrote("b", 0, NEW), Synced("b")], {"a": OLD}),
        ([Made("b"), Wrote("b", 0, NEW), SyncedNames()], {"a": OLD, "b": b""}),
        ([Made("b"), Wrote("b", 0, NEW), Synced("b"), SyncedNames()], {"a": OLD, "b": NEW}),
        ([Removed("a")], {"a": OLD}),
        ([Removed("a"), SyncedNames()], {}),
        ([Renamed("a", "b")], {"a": OLD}),
        ([Renamed("a", "b"), SyncedNames()], {"b": OLD}),
        ([Made("b"), Wrote("b", 0, NEW), Synced("b"), Renamed("b", "a"), SyncedNames()], {"a": NEW}),
    ],
)
def test_what_was_synced_is_kept_and_nothing_else(events: list[Event], kept: Files) -> None:
    assert after(*BASE, *events).kept() == kept


def test_a_torn_write_is_there_in_part_and_all_before_it_whole() -> None:
    disk = after(*BASE, Cut("a", 0), Wrote("a", 0, NEW), Wrote("a", 0, b"x" * 3 * SECTOR))
    seen = {disk.torn(Random(seed))["a"] for seed in range(200)}
    heads = {b"x" * n * SECTOR + b"n" * (4 - n) * SECTOR for n in range(4)}
    tails = {b"n" * n * SECTOR + b"x" * (3 - n) * SECTOR + b"n" * SECTOR for n in range(4)}
    assert seen == heads | tails


def test_what_was_not_synced_may_be_there_in_any_order() -> None:
    writes = [Wrote("a", n * SECTOR, bytes([n]) * SECTOR) for n in range(4)]
    disk = after(*BASE, *writes)
    seen = {disk.shuffled(Random(seed))["a"] for seed in range(1000)}
    every = {b"".join(bytes([n]) * SECTOR if bits >> n & 1 else b"o" * SECTOR for n in range(4)) for bits in range(16)}
    assert seen == every


def test_what_was_synced_is_there_whatever_else_is_lost() -> None:
    disk = after(*BASE, Wrote("a", 0, NEW), Synced("a"), Wrote("a", 4 * SECTOR, OLD), Made("b"), Wrote("b", 0, OLD))
    for seed in range(100):
        for files in (disk.torn(Random(seed)), disk.shuffled(Random(seed))):
            assert files["a"].startswith(NEW)
    assert {"b" in disk.shuffled(Random(seed)) for seed in range(100)} == {True, False}
