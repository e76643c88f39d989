"""The metrics that `/metrics` shows, under the same names, for an OTLP collector. Counts nothing itself."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as TookTooLong
from os import environ

import structlog
from opentelemetry.sdk.environment_variables import OTEL_METRIC_EXPORT_INTERVAL, OTEL_METRIC_EXPORT_TIMEOUT
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    MetricExporter,
    MetricsData,
    NumberDataPoint,
    ResourceMetrics,
    ScopeMetrics,
    Sum,
)
from opentelemetry.sdk.metrics.export import Metric as OtlpMetric
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from prometheus_client import Metric

log = structlog.get_logger()
# The SDK's own defaults, ms.
_INTERVAL_MS, _TIMEOUT_MS = 60_000, 30_000
_CUMULATIVE = AggregationTemporality.CUMULATIVE


class Bridge:
    """Exports on a thread of its own, as often as OTEL_METRIC_EXPORT_INTERVAL says, what `families` gives on `loop`."""

    def __init__(
        self,
        exporter: MetricExporter,
        resource: Resource,
        families: Callable[[], list[Metric]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._families = families
        self._loop = loop
        self._began = time.time_ns()
        self._interval_s = _ms(OTEL_METRIC_EXPORT_INTERVAL, _INTERVAL_MS) / 1000
        self._timeout_s = _ms(OTEL_METRIC_EXPORT_TIMEOUT, _TIMEOUT_MS) / 1000
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otel-metrics", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End, after a last export; from another thread than the loop's."""
        self._stopping.set()
        self._thread.join()
        self._exporter.shutdown()

    def _run(self) -> None:
        last = False
        while not last:
            last = self._stopping.wait(self._interval_s)
            try:
                self._export()
            except (TookTooLong, CancelledError):
                log.warning("metrics_not_exported", reason="the event loop did not answer in time")
            except Exception:
                log.exception("metrics_not_exported")

    def _export(self) -> None:
        found: Future[list[Metric]] = Future()
        self._loop.call_soon_threadsafe(self._collect, found)
        now = time.time_ns()
        metrics = [otlp(family, self._began, now) for family in found.result(self._timeout_s) if family.samples]
        scope = ScopeMetrics(InstrumentationScope("taskyard"), metrics, "")
        self._exporter.export(MetricsData([ResourceMetrics(self._resource, [scope], "")]), self._timeout_s * 1000)

    def _collect(self, found: Future[list[Metric]]) -> None:
        try:
            found.set_result(self._families())
        except Exception as error:
            found.set_exception(error)


def otlp(family: Metric, began: int, now: int) -> OtlpMetric:
    """A family of the registry as OTLP has it, since `began` and up to `now` (ns), under the name of its samples."""
    if family.type == "histogram":
        points = [_histogram(family, began, now)]
        return OtlpMetric(family.name, family.documentation, "", Histogram(points, _CUMULATIVE))
    numbers = [
        NumberDataPoint(dict(sample.labels), began if family.type == "counter" else 0, now, sample.value)
        for sample in family.samples
    ]
    if family.type == "counter":
        counted = Sum(numbers, _CUMULATIVE, is_monotonic=True)
        return OtlpMetric(f"{family.name}_total", family.documentation, "", counted)
    return OtlpMetric(family.name, family.documentation, "", Gauge(numbers))


def _histogram(family: Metric, began: int, now: int) -> HistogramDataPoint:
    """Of a histogram without labels, whose buckets are cumulative and end with +Inf."""
    buckets = [sample for sample in family.samples if sample.name.endswith("_bucket")]
    counts = [int(sample.value) for sample in buckets]
    bounds = [float(sample.labels["le"]) for sample in buckets[:-1]]
    total = next(sample.value for sample in family.samples if sample.name.endswith("_sum"))
    own = [count - before for before, count in zip([0, *counts], counts, strict=False)]
    # The registry keeps neither the least nor the most, and OTLP can do without.
    return HistogramDataPoint({}, began, now, counts[-1], total, own, bounds, None, None)  # type: ignore[arg-type]


def _ms(variable: str, default: int) -> float:
    try:
        found = float(environ.get(variable, ""))
    except ValueError:
        return default
    return found if found > 0 else default
