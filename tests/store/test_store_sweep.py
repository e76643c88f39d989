"""What the sweep leaves behind beside an absence: counters, and a file's WAL that stays small."""

import pytest

from taskyard.store.connection import WAL_PAGES
from taskyard.store.port import OutcomeUnknown
from taskyard.store.sqlite import SqliteStore
from tests.store.making import T0, ended, queued, stat_row


def test_the_sweep_counts_what_it_removes_by_type_and_end(store):
    ends = [("ocr", 2), ("ocr", 2), ("ocr", 3), ("ocr", 4), ("tts", 5), ("tts", 2)]
    for number, (kind, status) in enumerate(ends):
        ended(store, number, type=kind, status=status, completed_at=T0 + number)
    queued(store, 10)
    assert store.stats(0, 1, "removed") == []
    while store.sweep(T0 + 5, 0, 2) == 2:
        pass
    assert store.stats(0, 1, "removed") == [
        stat_row(0, "removed", "ocr", created=4, completed=2, failed=1, timed_out=1, last_at=T0 + 3),
        stat_row(0, "removed", "tts", created=1, cancelled=1, last_at=T0 + 4),
    ]
    assert store.sweep(T0 + 6, 0, 2) == 1
    assert store.stats(0, 1, "removed", "tts") == [
        stat_row(0, "removed", "tts", created=2, completed=1, cancelled=1, last_at=T0 + 5)
    ]


def test_it_empties_the_wal_itself_however_much_it_removes(tmp_path):
    """No turn shall have to copy what the sweep changed; and the next turns are not made to copy more often."""
    store = SqliteStore(tmp_path / "data", ballast=0)
    for first in range(0, 4000, 500):
        ended(store, *range(first, first + 500), result="x" * 6000)
    store.close()
    store = SqliteStore(tmp_path / "data", ballast=0)
    size = store.sizes()["database"]
    assert store.sizes()["wal"] < 10_000
    while store.sweep(2**52, 0, 50) == 50:
        pass
    assert store.sizes()["wal"] < size / 4
    assert pace(store) == (WAL_PAGES,)
    store.close()


def pace(store):
    return store._writer.row("PRAGMA wal_autocheckpoint")


def test_turns_go_on_as_before_after_a_sweep_whether_it_ended_well_or_not(tmp_path):
    store = SqliteStore(tmp_path / "data", ballast=0)
    ended(store, 1, completed_at=T0)
    assert pace(store) == (WAL_PAGES,)
    store._writer.row("PRAGMA query_only = ON")
    with pytest.raises(OutcomeUnknown):
        store.sweep(T0 + 1, 0, 9)
    assert pace(store) == (WAL_PAGES,)
    store._writer.row("PRAGMA query_only = OFF")
    assert store.sweep(T0 + 1, 0, 9) == 1
    assert pace(store) == (WAL_PAGES,)
    store.close()
