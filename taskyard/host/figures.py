"""The yard's figures that only memory knows: what is not over yet, in the form that the store has for what is.

`FiguresView.point` is what live events send once a second: one point of the overview, as a struct.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from taskyard.engine.memory import Memory
from taskyard.engine.rows import HealthRow, LoadRow, SeriesRow
from taskyard.engine.series import COARSE, FINE
from taskyard.host.views import live_counts
from taskyard.store.figures import LoadSum
from taskyard.store.port import Store

T = TypeVar("T")
# So many of the values that are worked out once in a while are kept; the one asked for least lately goes.
REMEMBERED = 64


class OverviewPoint(NamedTuple):
    """One second of the overview: what happened in the last one that is over, and how things stand.

    `at` is when that second began. `failed` counts ends as FAILED and TIMEOUT; spreads are ms or `None`. `used` of
    `total` slots of the servers in service are in use; `oldest` is when the oldest waiting task was submitted.
    """

    at: int
    submitted: int
    completed: int
    failed: int
    waiting: int
    running: int
    wait_p95: int | None
    run_p95: int | None
    used: int
    total: int
    oldest: int | None


def overview_point(memory: Memory, now: int) -> OverviewPoint:
    """The overview's point of the last second that is over; `now` is the node's clock. For live events, at 1 Hz.

    It reads memory, asks no store, and costs a look at each server and lane.
    """
    second = memory.series.second(now // FINE * FINE - FINE)
    live = live_counts(memory)
    used, total = slots(memory)
    return OverviewPoint(
        at=second.at,
        submitted=second.submitted,
        completed=second.completed,
        failed=second.failed + second.timed_out,
        waiting=live.pending,
        running=live.processing,
        wait_p95=second.waits.quantile(0.95),
        run_p95=second.runs.quantile(0.95),
        used=used,
        total=total,
        oldest=live.oldest_pending_at,
    )


def slots(memory: Memory) -> tuple[int, int]:
    """Slots in use, and all slots, of the servers that may be given tasks."""
    serving = [server for server in memory.fleet.servers.values() if server.status in ("online", "degraded")]
    return sum(min(server.active, server.max_concurrent) for server in serving), sum(
        server.max_concurrent for server in serving
    )


class FiguresView:
    """Views of the present memory, which `memory` gives (it raises `Unavailable`); `now` is the node's clock."""

    def __init__(self, memory: Callable[[], Memory], now: Callable[[], int]) -> None:
        self._memory = memory
        self._now = now
        self._remembered: dict[tuple[object, ...], tuple[int, Any]] = {}
        self._remembering = Lock()

    def point(self) -> OverviewPoint:
        """See `overview_point`."""
        return overview_point(self._memory(), self._now())

    def present(self, step: int) -> SeriesRow:
        """The span of `step` ms that is not over; its `since` says since when this node has been counting."""
        series = self._memory().series
        return series.present(step).row(step)._replace(since=series.since)

    def load(self, server_id: str) -> LoadRow | None:
        """A server's span that is not over; `None` when nothing is known of it yet."""
        return self._memory().service.present(server_id)

    def loads_since(self) -> int:
        """When the servers' spans that are not over began."""
        return self._memory().service.at

    def present_sums(self) -> list[LoadSum]:
        """Of each server what the span that is not over has so far."""
        return [LoadSum(*sums) for sums in self._memory().service.sums()]

    def load_sums(self, store: Store, begin: int, end: int) -> list[LoadSum]:
        """The sums of each server's spans from `begin` on that were over at `end`; on a reader's thread.

        A server may be there twice. All but the last span are read once, when another one is over: of the last one the
        commit may be under way. Raises `StoreError`.
        """
        last = max(begin, end - COARSE)
        earlier = self.remember(("loads", end - begin), last, lambda: store.figures.load_sums(begin, last))
        return [*earlier, *store.figures.load_sums(last, end)]

    def remember(self, key: tuple[object, ...], moment: int, make: Callable[[], T]) -> T:
        """What was made for this key and moment, made now if it was for another one; on any thread."""
        with self._remembering:
            kept = self._remembered.get(key)
        if kept is None or kept[0] != moment:
            kept = moment, make()
        with self._remembering:
            self._remembered.pop(key, None)
            self._remembered[key] = kept
            if len(self._remembered) > REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        value: T = kept[1]
        return value

    def slots(self) -> tuple[int, int]:
        """Slots in use, and all slots, of the servers that may be given tasks."""
        return slots(self._memory())

    def changes(self, server_id: str) -> list[HealthRow]:
        """The latest changes of a server's status, the oldest first."""
        return list(self._memory().service.changes.get(server_id, ()))

    def live_of(self, owner: str) -> tuple[int, int]:
        """How many tasks of an owner wait and run."""
        memory = self._memory()
        running = sum(run.task is not None and run.task.spec.owner == owner for run in memory.runs.values())
        return memory.queued_by_owner.get(owner, 0), running
