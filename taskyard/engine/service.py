"""How each server fared: its changes of status, and its load, picks and outcomes in spans of 288 s.

Changes are written by the turn that makes them. The spans are kept in memory, written every 12 s while something
happens in them and when they are over: a crash can cost what its last 12 s tell of loads, picks and outcomes by type.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Sequence

from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Server
from taskyard.engine.rows import HealthRow, LoadRow
from taskyard.engine.series import COARSE, MIDDLE

SAMPLE_MS = 1_000
# So many of a server's latest changes of status are remembered.
CHANGES = 8
REASON_MOST = 200
_PLACES = {Outcome.COMPLETED: 0, Outcome.FAILED: 1, Outcome.TIMEOUT: 2}
_OTHER = 3


class _Span:
    """One server in a span. `busy_ms` of `slot_ms` its slots were in use."""

    __slots__ = (
        "active",
        "busy_ms",
        "completed",
        "dirty",
        "failed",
        "outcomes",
        "picks",
        "response_ms",
        "responses",
        "run_ms",
        "slot_ms",
        "slots",
    )

    def __init__(self) -> None:
        self.active = self.slots = self.busy_ms = self.slot_ms = 0
        self.picks = self.completed = self.failed = self.run_ms = self.responses = self.response_ms = 0
        self.outcomes: dict[str, list[int]] = {}
        self.dirty = False


class Service:
    """All servers; `at` is when the present span began."""

    def __init__(self, now: int, rows: Iterable[LoadRow] = (), changes: Iterable[HealthRow] = ()) -> None:
        self.at = now // COARSE * COARSE
        self._spans: dict[str, _Span] = {}
        self._sampled_at = now
        self._write_at = now + MIDDLE
        self.changes: dict[str, deque[HealthRow]] = {}
        for change in changes:
            self.changes[change.server_id] = deque([change], CHANGES)
        for row in rows:
            if row.at == self.at:
                span = self._spans[row.server_id] = _Span()
                span.busy_ms, span.slot_ms, span.picks = row.busy_ms, row.slot_ms, row.picks
                span.completed, span.failed, span.run_ms = row.completed, row.failed, row.run_ms
                span.responses, span.response_ms = row.responses, row.response_ms
                span.outcomes = json.loads(row.outcomes)

    def changed(self, server_id: str, status: str, reason: str | None, now: int) -> HealthRow | None:
        """A server has this status now: the row to write, unless it had it already."""
        known = self.changes.get(server_id)
        if known is None:
            known = self.changes[server_id] = deque(maxlen=CHANGES)
        elif known[-1].status == status:
            return None
        row = HealthRow(server_id, now, status, None if reason is None else reason[:REASON_MOST])
        if known and known[-1].at == now:
            known.pop()
        known.append(row)
        return row

    def forget(self, server_id: str) -> None:
        """A server was removed."""
        self.changes.pop(server_id, None)

    def take(
        self,
        now: int,
        servers: Iterable[Server],
        picks: dict[str, int],
        outcomes: dict[tuple[str, str, Outcome], int],
        counted: dict[str, Sequence[int]],
        *,
        last: bool,
    ) -> list[LoadRow]:
        """Take in what a turn counted: the rows to write. `last`: everything, for there may be no turn after this one.

        `counted` has by server: completed and failed attempts, ms of the completed ones, answers and ms until these.
        """
        over = now >= self.at + COARSE
        if over or last or now >= self._sampled_at + SAMPLE_MS:
            self._sample(now, servers)
        rows: list[LoadRow] = []
        if over:
            rows = self._rows(every=True)
            self._spans.clear()
            self.at = now // COARSE * COARSE
            self._sample(now, servers)
        for server_id, count in picks.items():
            span = self._span(server_id)
            span.picks += count
            span.dirty = True
        for (server_id, task_type, outcome), count in outcomes.items():
            span = self._span(server_id)
            by_type = span.outcomes.get(task_type)
            if by_type is None:
                by_type = span.outcomes[task_type] = [0, 0, 0, 0]
            by_type[_PLACES.get(outcome, _OTHER)] += count
            span.dirty = True
        for server_id, (completed, failed, run_ms, responses, response_ms) in counted.items():
            span = self._span(server_id)
            span.completed += completed
            span.failed += failed
            span.run_ms += run_ms
            span.responses += responses
            span.response_ms += response_ms
        if last or now >= self._write_at:
            self._write_at = now + MIDDLE
            rows += self._rows(every=False)
        return rows

    def _span(self, server_id: str) -> _Span:
        span = self._spans.get(server_id)
        if span is None:
            span = self._spans[server_id] = _Span()
        return span

    def _sample(self, now: int, servers: Iterable[Server]) -> None:
        """Since the last sample each server had as many slots in use as it had then."""
        passed, self._sampled_at = now - self._sampled_at, now
        for server in servers:
            span = self._span(server.id)
            span.busy_ms += passed * span.active
            span.slot_ms += passed * span.slots
            span.active, span.slots = min(server.active, server.max_concurrent), server.max_concurrent
            if span.active:
                span.dirty = True

    def _rows(self, *, every: bool) -> list[LoadRow]:
        rows = []
        for server_id, span in self._spans.items():
            if span.dirty or (every and span.slot_ms):
                span.dirty = False
                rows.append(self._row(server_id, span))
        return rows

    def _row(self, server_id: str, span: _Span) -> LoadRow:
        return LoadRow(
            server_id,
            self.at,
            span.busy_ms,
            span.slot_ms,
            span.picks,
            span.completed,
            span.failed,
            span.run_ms,
            span.responses,
            span.response_ms,
            json.dumps(span.outcomes, ensure_ascii=False),
        )

    def sums(self) -> list[tuple[str, int, int, int, int]]:
        """Of the span that is not over by server: picks, completed and failed attempts, ms of the completed ones."""
        return [
            (server_id, span.picks, span.completed, span.failed, span.run_ms)
            for server_id, span in self._spans.items()
            if span.slot_ms or span.picks
        ]

    def present(self, server_id: str) -> LoadRow | None:
        """A server's span that is not over, with all that was taken in so far."""
        span = self._spans.get(server_id)
        return self._row(server_id, span) if span is not None and (span.slot_ms or span.picks) else None
