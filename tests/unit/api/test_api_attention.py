"""What attention looks at: the last 5 minutes, whatever was written last before them."""

from pathlib import Path

from taskyard.api.attention import trouble
from taskyard.api.overview import MIDDLE, recent_spans
from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import SeriesRow
from taskyard.settings import Settings
from taskyard.store.sqlite import SqliteStore

T0 = 1_760_000_004_000
LATELY = 300_000


def row(number: int, failed: int) -> SeriesRow:
    return SeriesRow(MIDDLE, T0 + number * MIDDLE, T0, 0, 0, failed, 0, 0, "", "", 0, 0)


def test_what_failed_counts_once_and_for_five_minutes(tmp_path: Path) -> None:
    store, settings = SqliteStore(tmp_path / "data"), Settings(data_dir=str(tmp_path / "data"))
    try:
        store.commit(Plan(T0, Writes(series=[row(0, 5), row(1, 7), row(2, 1)])))
        present = row(2, 30)
        for now, counted in (
            (present.at, 42),
            (T0 + LATELY, 42),
            (T0 + LATELY + 1, 37),
            (present.at + LATELY, 30),
            (present.at + LATELY + 1, 0),
            (present.at + 100 * LATELY, 0),
        ):
            found = trouble(store, settings, recent_spans(store, present, now))
            assert (found.failed, found.ended, found.grown_from) == (counted, counted, None)
    finally:
        store.close()
