"""What overview, failures and histories are read from: rows that the turn keeps, by index, and never tasks.

The statements have the same names in all stores, so this is one code for them all. Knows rows, not what they mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from taskyard.domain.spread import Spread
from taskyard.engine.plan import Snapshot
from taskyard.engine.rows import AuditRow, FailureRow, HealthRow, LoadRow, SeriesRow
from taskyard.engine.series import COARSE, FINE, MIDDLE
from taskyard.store.damage import is_whole

# Greater than every text that begins with a prefix, once it is put behind that.
_ABOVE: Final = "\U0010ffff"
_LATEST_ID: Final = 2**53 - 1
# What a start takes of the series: all seconds of the present 12 s, all spans of 12 s of the present 288 s.
_TAIL: Final = ((FINE, MIDDLE // FINE), (MIDDLE, COARSE // MIDDLE + 1))
# How long the finer spans are kept, in ms: a window and what the coarser ones are made of.
_KEPT: Final = ((FINE, 600_000), (MIDDLE, 7_200_000))
_HOUR_MS: Final = 3_600_000


class Rows(Protocol):
    """All rows of a named statement."""

    def __call__(self, name: str, values: Sequence[int | str] = ()) -> Sequence[Any]: ...


class LoadSum(NamedTuple):
    """The sums over some spans of a server."""

    server_id: str
    picks: int
    completed: int
    failed: int
    run_ms: int


class Figures:
    """Reads for any thread; each method raises `StoreError`."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def series(self, step: int, begin: int, end: int) -> list[SeriesRow]:
        """The spans of `step` ms that began from `begin` on and before `end`, after the last one before; by age."""
        before = self._rows("series_before", (step, begin))
        return [SeriesRow._make(row) for row in (*before, *self._rows("series_of", (step, begin, end)))]

    def failures(self, owner: str | None, hour: int) -> list[FailureRow]:
        """An owner's failures (`None`: all) from an hour since the epoch on."""
        if owner is None:
            rows = self._rows("failures_of_all", (hour,))
        else:
            rows = self._rows("failures_of_owner", (owner, hour))
        return [FailureRow._make(row) for row in rows]

    def last_failure(self, owner: str | None) -> int | None:
        """When something of an owner (`None`: of anyone) failed last."""
        of = ("last_failure_of_all",) if owner is None else ("last_failure_of_owner", (owner,))
        at: int | None = self._rows(*of)[0][0]
        return at

    def facets(self, field: str, owner: str, prefix: str, most: int) -> list[str]:
        """The values of a field that begin with a prefix; `owner` '' for all owners'."""
        values = (field, owner, prefix, prefix + _ABOVE, most)
        return [value for (value,) in self._rows("facets", values)]

    def health(self, begin: int, server_id: str | None, most: int) -> list[HealthRow]:
        """A server's changes of status (`None`: those of all) from a time on, after the last one before it; by age.

        Of more than `most` from then on the newest are given.
        """
        if server_id is None:
            return [*map(HealthRow._make, self._rows("health_before", (begin,))), *self.changes(begin, most)]
        before = self._rows("health_before_of", (server_id, begin))
        newest = self._rows("health_of", (server_id, begin, most))
        return [HealthRow._make(row) for row in (*before, *reversed(newest))]

    def changes(self, begin: int, most: int) -> list[HealthRow]:
        """The changes of all servers' status from a time on, by age; of more than `most` the newest."""
        return [HealthRow._make(row) for row in reversed(self._rows("health_of_all", (begin, most)))]

    def loads(self, server_id: str, begin: int) -> list[LoadRow]:
        """A server's spans that began from a time on, the oldest first."""
        return [LoadRow._make(row) for row in self._rows("loads_of", (server_id, begin))]

    def load_sums(self, begin: int, end: int) -> list[LoadSum]:
        """The sums of each registered server's spans that began from `begin` on and before `end`."""
        return [LoadSum._make(row) for row in self._rows("load_sums", (begin, end))]

    def audit(self, who: str | None, target: str | None, before: int | None, most: int) -> list[tuple[int, AuditRow]]:
        """Audit rows with their ids, the newest first, below an id; of a target, or else of a subject, or else all."""
        page = (_LATEST_ID if before is None else before, most)
        if target is not None:
            rows = self._rows("audit_of_target", (target, *page))
        elif who is not None:
            rows = self._rows("audit_of_who", (who, *page))
        else:
            rows = self._rows("audit_of_all", page)
        return [(row[0], AuditRow._make(row[1:])) for row in rows]


def read_tail(rows: Rows, snapshot: Snapshot) -> None:
    """What a start takes of the figures, into its snapshot."""
    # One that the disk has changed is left out: of all that a start reads it can be spared most easily.
    series = [SeriesRow._make(row) for values in _TAIL for row in rows("series_tail", values)]
    snapshot.series = [row for row in series if is_whole(row) and _is_counted(row)]
    failures = map(FailureRow._make, rows("failures_latest"))
    snapshot.failures = [row for row in failures if is_whole(row, row.minutes, row.servers, row.samples)]
    snapshot.loads = [row for row in map(LoadRow._make, rows("loads_latest")) if is_whole(row, row.outcomes)]
    snapshot.health = [HealthRow._make(row) for row in rows("healths_latest")]
    last = [point.at for point in snapshot.series] + [at for (at,) in rows("last_health") if at is not None]
    snapshot.last_time = max(snapshot.last_time, *last, 0)


def _is_counted(row: SeriesRow) -> bool:
    try:
        Spread.of(row.waits)
        Spread.of(row.runs)
    except ValueError:
        return False
    return True


class Keep(NamedTuple):
    """Until when figures are kept no longer (int ms), and how many rows of a kind one bite takes."""

    now: int
    history: int
    facets: int
    audit: int
    most: int


def forgetting(keep: Keep) -> list[tuple[str, tuple[int, ...]]]:
    """The statements of one bite with their values; each removes so many rows at most."""
    most = keep.most
    return [
        *(("series_forget", (step, keep.now - kept, most)) for step, kept in _KEPT),
        ("series_forget", (COARSE, keep.history, most)),
        ("failures_forget", (keep.history // _HOUR_MS, most)),
        ("health_forget", (keep.history, most)),
        ("loads_forget", (keep.history, most)),
        ("facets_forget", (keep.facets, most)),
        ("audit_forget", (keep.audit, most)),
    ]
