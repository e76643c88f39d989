"""Metrics in Prometheus' text format. Histograms and counters are fed from committed plans, gauges read at each scrape.

Label values come from closed sets, or from servers and pools cut to the top 50 and `other`.
"""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from taskyard.domain.health import State
from taskyard.domain.outcomes import Outcome, Status
from taskyard.domain.pool import Pool
from taskyard.engine.memory import Memory
from taskyard.engine.plan import AttemptOver, Dispatch
from taskyard.host.promises import Promises
from taskyard.host.views import oldest_in

LABELS_MOST = 50
LAG_INTERVAL_S = 0.5
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_TURN_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)
_SIZES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Buckets:
    """A histogram that costs one bisection an observation; the library only shows it. `bounds` are upper limits."""

    __slots__ = ("_counts", "_help", "_name", "_sum", "bounds")

    def __init__(self, name: str, text: str, bounds: Sequence[float]) -> None:
        self._name = name
        self._help = text
        self.bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self._sum += value

    def family(self) -> HistogramMetricFamily:
        """As the library shows it: cumulative counts."""
        names = [*map(str, self.bounds), "+Inf"]
        return HistogramMetricFamily(
            self._name, self._help, buckets=list(zip(names, accumulate(self._counts), strict=True)), sum_value=self._sum
        )


class Metrics(Collector):
    """One node's metrics.

    `memory` gives the engine's present memory, `sizes` the store's, `tight` why the store wants nothing new, `now` the
    ms since the epoch, `ready` whether the node takes work.
    """

    def __init__(
        self,
        memory: Callable[[], Memory],
        sizes: Callable[[], dict[str, int]],
        tight: Callable[[], str | None],
        now: Callable[[], int],
        ready: Callable[[], bool],
        promises: Promises,
    ) -> None:
        self._promises = promises
        self._ended = dict.fromkeys((status for status in Status if status.ended), 0)
        self._outcomes: dict[Outcome, int] = {outcome: 0 for outcome in Outcome if outcome is not Outcome.ACCEPTED}
        self._wait = Buckets("taskyard_queue_wait_seconds", "From ready to dispatched.", _SECONDS)
        self._run = Buckets("taskyard_attempt_seconds", "From dispatch to the end of an attempt.", _SECONDS)
        self._response = Buckets("taskyard_dispatch_seconds", "From dispatch to the predict answer.", _SECONDS)
        self._turn_facts = Buckets("taskyard_turn_facts", "Facts in a turn.", _SIZES)
        self._turn = Buckets("taskyard_turn_seconds", "A turn, its commit included.", _TURN_SECONDS)
        self._lag = 0.0
        self._failed_rounds: dict[str, int] = {"sweep": 0}
        self._registry = CollectorRegistry()
        self._registry.register(_Now(memory, sizes, tight, now, ready))
        self._registry.register(self)
        self._lag_task: asyncio.Task[None] | None = None

    def collect(self) -> Iterable[Metric]:
        """What was counted so far, for the library's registry."""
        ended = CounterMetricFamily("taskyard_tasks_ended", "Tasks that ended.", labels=["status"])
        for status, count in self._ended.items():
            ended.add_metric([status.name], count)
        outcomes = CounterMetricFamily("taskyard_attempts", "Attempts that ended.", labels=["outcome"])
        for outcome, count in self._outcomes.items():
            outcomes.add_metric([outcome.value], count)
        kept = CounterMetricFamily(
            "taskyard_estimates", "Tasks whose start was foretold, by when they started.", labels=["started"]
        )
        kept.add_metric(["by_p50"], self._promises.by_p50)
        kept.add_metric(["by_p90"], self._promises.by_p90)
        kept.add_metric(["late"], self._promises.late)
        rounds = CounterMetricFamily(
            "taskyard_background_failures", "Rounds of background work that came to nothing.", labels=["work"]
        )
        for work, count in self._failed_rounds.items():
            rounds.add_metric([work], count)
        yield ended
        yield outcomes
        yield kept
        yield rounds
        for buckets in (self._wait, self._run, self._response, self._turn_facts, self._turn):
            yield buckets.family()
        yield GaugeMetricFamily("taskyard_loop_lag_seconds", "How late the event loop last woke.", value=self._lag)

    def start(self) -> None:
        """Begin to measure the event loop's lag."""
        self._lag_task = asyncio.get_running_loop().create_task(self._measure_lag())

    async def stop(self) -> None:
        """Stop measuring."""
        if self._lag_task is not None:
            self._lag_task.cancel()
            await asyncio.gather(self._lag_task, return_exceptions=True)

    def turned(self, facts: int, seconds: float) -> None:
        """A turn over so many facts took so long."""
        self._turn_facts.observe(facts)
        self._turn.observe(seconds)

    def dispatched(self, effect: Dispatch) -> None:
        """A committed plan dispatches an attempt."""
        self._wait.observe(effect.waited_ms / 1000)

    def attempt_over(self, effect: AttemptOver) -> None:
        """A committed plan ended an attempt."""
        self._outcomes[effect.outcome] += 1
        self._run.observe(effect.took_ms / 1000)
        if effect.response_ms is not None:
            self._response.observe(effect.response_ms / 1000)

    def round_failed(self, work: str) -> None:
        """A round of background work came to nothing."""
        self._failed_rounds[work] = self._failed_rounds.get(work, 0) + 1

    def ended(self, status: Status) -> None:
        """A committed plan ended a task."""
        self._ended[status] += 1

    def families(self) -> list[Metric]:
        """All metrics as data."""
        return list(self._registry.collect())

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self._registry)

    async def _measure_lag(self) -> None:
        while True:
            due = time.monotonic() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag = max(0.0, time.monotonic() - due)


class _Now(Collector):
    """Gauges of the present moment."""

    def __init__(
        self,
        memory: Callable[[], Memory],
        sizes: Callable[[], dict[str, int]],
        tight: Callable[[], str | None],
        now: Callable[[], int],
        ready: Callable[[], bool],
    ) -> None:
        self._memory = memory
        self._sizes = sizes
        self._tight = tight
        self._now = now
        self._ready = ready

    def collect(self) -> Iterable[GaugeMetricFamily]:
        memory = self._memory()
        tasks = GaugeMetricFamily("taskyard_tasks", "Tasks that have not ended, by status.", labels=["status"])
        tasks.add_metric(["PENDING"], memory.queued)
        tasks.add_metric(["PROCESSING"], memory.processing)
        yield tasks
        yield from self._pools(memory)
        yield from self._servers(memory)
        sizes = GaugeMetricFamily("taskyard_store_bytes", "Size of the store's files.", labels=["file"])
        for name, size in self._sizes().items():
            sizes.add_metric([name], size)
        yield sizes
        tight = 0.0 if self._tight() is None else 1.0
        ready = 1.0 if self._ready() else 0.0
        yield GaugeMetricFamily("taskyard_ready", "1 when /ready is 200: the node takes work.", value=ready)
        yield GaugeMetricFamily("taskyard_store_tight", "1 when the disk is full: nothing new is taken.", value=tight)

    def _pools(self, memory: Memory) -> Iterable[GaugeMetricFamily]:
        depth = GaugeMetricFamily("taskyard_queue_depth", "Queued tasks by pool.", labels=["pool"])
        age = GaugeMetricFamily("taskyard_queue_oldest_seconds", "Age of the oldest queued task.", labels=["pool"])
        pools = [(sum(lane.queued for lane in pool.lanes), pool) for pool in memory.fleet.pools.values()]
        pools.sort(key=lambda entry: -entry[0])
        shown, rest = pools[:LABELS_MOST], pools[LABELS_MOST:]
        for queued, pool in shown:
            name = pool_name(memory, pool)
            depth.add_metric([name], queued)
            age.add_metric([name], self._age([pool]))
        if rest:
            depth.add_metric(["other"], sum(entry[0] for entry in rest))
            age.add_metric(["other"], self._age([entry[1] for entry in rest]))
        return depth, age

    def _age(self, pools: Sequence[Pool]) -> float:
        found = [at for pool in pools for lane in pool.lanes if (at := oldest_in(lane)) is not None]
        return max(0, self._now() - min(found)) / 1000 if found else 0.0

    def _servers(self, memory: Memory) -> Iterable[GaugeMetricFamily]:
        load = GaugeMetricFamily("taskyard_server_load", "Share of a server's slots in use.", labels=["server"])
        online = GaugeMetricFamily("taskyard_server_online", "1 when the server is online.", labels=["server"])
        score = GaugeMetricFamily("taskyard_server_health_score", "0-100.", labels=["server"])
        for server in list(memory.fleet.servers.values())[:LABELS_MOST]:
            load.add_metric([server.id], server.load)
            online.add_metric([server.id], 1.0 if server.health.state is State.ONLINE else 0.0)
            score.add_metric([server.id], server.health.score)
        status = GaugeMetricFamily("taskyard_servers", "Servers by status.", labels=["status"])
        counts: dict[str, int] = {}
        for server in memory.fleet.servers.values():
            counts[server.status] = counts.get(server.status, 0) + 1
        for name, count in sorted(counts.items()):
            status.add_metric([name], count)
        return load, online, score, status


def pool_name(memory: Memory, pool: Pool) -> str:
    """A pool by what its servers can do, or by why it has none."""
    if pool.pin:
        return f"only {pool.pin}"
    classes = [cls for cls in memory.fleet.classes.values() if pool.mask >> cls.bit & 1]
    if not classes:
        return "no server"
    return " | ".join(sorted("+".join(sorted(cls.capabilities)) or "any" for cls in classes))[:200]
