"""Metrics in Prometheus' text format. Histograms and counters are fed from committed plans, gauges read at each scrape.

Label values come from closed sets, or from servers and pools cut to the top 50 and `other`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from taskyard.domain.fleet import Pool
from taskyard.domain.health import State
from taskyard.engine.memory import Memory
from taskyard.engine.plan import AttemptOver, Changed, Dispatch, Plan
from taskyard.host.views import oldest_in

LABELS_MOST = 50
LAG_INTERVAL_S = 0.5
_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 3600)
_TURN_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5)
_SIZES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


class Metrics:
    """One node's metrics. `memory` gives the engine's present memory, `sizes` the store's, `now` ms since the epoch."""

    def __init__(
        self, memory: Callable[[], Memory], sizes: Callable[[], dict[str, int]], now: Callable[[], int]
    ) -> None:
        self._registry = registry = CollectorRegistry()
        self._ended = Counter("taskyard_tasks_ended", "Tasks that ended.", ["status"], registry=registry)
        self._outcomes = Counter("taskyard_attempts", "Attempts that ended.", ["outcome"], registry=registry)
        self._wait = Histogram(
            "taskyard_queue_wait_seconds", "From ready to dispatched.", buckets=_SECONDS, registry=registry
        )
        self._run = Histogram(
            "taskyard_attempt_seconds", "From dispatch to the end of an attempt.", buckets=_SECONDS, registry=registry
        )
        self._response = Histogram(
            "taskyard_dispatch_seconds", "From dispatch to the predict answer.", buckets=_SECONDS, registry=registry
        )
        self._turn_facts = Histogram("taskyard_turn_facts", "Facts in a turn.", buckets=_SIZES, registry=registry)
        self._turn = Histogram(
            "taskyard_turn_seconds", "A turn, its commit included.", buckets=_TURN_SECONDS, registry=registry
        )
        self._lag = Gauge("taskyard_loop_lag_seconds", "How late the event loop last woke.", registry=registry)
        registry.register(_Now(memory, sizes, now))
        self._lag_task: asyncio.Task[None] | None = None

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

    def committed(self, plan: Plan) -> None:
        """Count what a committed plan says happened."""
        for effect in plan.effects:
            if isinstance(effect, Dispatch):
                self._wait.observe(effect.waited_ms / 1000)
            elif isinstance(effect, AttemptOver):
                self._outcomes.labels(effect.outcome.value).inc()
                self._run.observe(effect.took_ms / 1000)
                if effect.response_ms is not None:
                    self._response.observe(effect.response_ms / 1000)
            elif isinstance(effect, Changed) and effect.status.ended:
                self._ended.labels(effect.status.name).inc()

    def text(self) -> bytes:
        """All metrics."""
        return generate_latest(self._registry)

    async def _measure_lag(self) -> None:
        while True:
            due = time.monotonic() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._lag.set(max(0.0, time.monotonic() - due))


class _Now(Collector):
    """Gauges of the present moment."""

    def __init__(
        self, memory: Callable[[], Memory], sizes: Callable[[], dict[str, int]], now: Callable[[], int]
    ) -> None:
        self._memory = memory
        self._sizes = sizes
        self._now = now

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
