"""The power goes at every moment of a thousand turns: what was acknowledged is there, the database sound, work goes on.

With POWER=every (`make power`) it goes after every single write, not after one between any two syncs.
"""

import os
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.power.cuts import complaint, complaints, cut_points
from tests.power.disk import Acknowledged, Event, Synced
from tests.power.shim import RecordedConnection
from tests.power.work import losses, record

EVERY_WRITE = os.environ.get("POWER") == "every"
RUNS = 4
TURNS = 250


@pytest.mark.parametrize("seed", range(RUNS))
def test_the_power_goes_at_every_moment_of_a_thousand_turns(folder: Path, seed: int) -> None:
    events = record(folder / "data", TURNS, seed)
    assert sum(isinstance(event, Acknowledged) for event in events) >= TURNS
    assert events.count(Synced("taskyard.db")) > TURNS // 10, "checkpoints must come often"
    lost = losses(events)
    seen: Counter[str] = Counter()
    for left in cut_points(events, Random(seed), every_write=EVERY_WRITE):
        seen[left.how] += 1
        assert (words := complaint(left, folder / "left", lost)) is None, f"{words} (seed {seed})"
    print(dict(seen))
    # Each turn ends in a sync of the WAL, and each checkpoint in one of the database.
    assert min(seen["kept"], seen["torn"] + seen["shuffled"]) > TURNS


@pytest.mark.parametrize("synchronous", ["OFF", "NORMAL"])
def test_a_missing_sync_is_found(folder: Path, synchronous: str) -> None:
    class Unsynced(RecordedConnection):
        pass

    Unsynced.synchronous = synchronous
    events = record(folder / "data", 40, 1, Unsynced)
    found = list(complaints(cut_points(events, Random(1)), folder, losses(events)))
    assert any(words.startswith("kept") and "acknowledged tasks are lost" in words for words in found), found


def test_a_disk_that_leaves_out_a_sync_now_and_then_is_found(folder: Path) -> None:
    events = record(folder / "data", 40, 2)
    wal_syncs = [at for at, event in enumerate(events) if event == Synced("taskyard.db-wal")]
    left_out = set(wal_syncs[20::10])
    lying: list[Event] = [event for at, event in enumerate(events) if at not in left_out]
    assert any(complaints(cut_points(lying, Random(2)), folder, losses(lying)))


def test_a_checkpoint_whose_database_is_not_synced_is_found(folder: Path) -> None:
    events = record(folder / "data", 60, 3)
    lying: list[Event] = [event for event in events if event != Synced("taskyard.db")]
    assert any(complaints(cut_points(lying, Random(3)), folder, losses(lying)))
