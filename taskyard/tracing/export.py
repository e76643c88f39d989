"""What leaves the node: OpenTelemetry's SDK, set up for one OTLP/HTTP collector. Knows nothing of tasks.

The SDK's own variables (OTEL_*) are read by the SDK and here, and nowhere else. Exporters run on threads of their own
behind a queue that drops the oldest; whatever the collector does, nobody waits for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from os import environ

import requests
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import (
    OTEL_EXPORTER_OTLP_METRICS_ENDPOINT,
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT,
    OTEL_SDK_DISABLED,
)
from opentelemetry.sdk.resources import (
    SERVICE_INSTANCE_ID,
    SERVICE_NAME,
    SERVICE_VERSION,
    OTELResourceDetector,
    Resource,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Tracer
from prometheus_client import Metric

from taskyard.tracing.bridge import Bridge
from taskyard.tracing.spans import Ids

# The SDK leaves these two to whoever sets it up.
OTEL_TRACES_EXPORTER, OTEL_METRICS_EXPORTER = "OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER"


class Export:
    """Spans and metrics on their way to the collector at `endpoint`, from the node `instance` of this `version`.

    `tracer` is `None`, and `start` does nothing, for what the environment turns off. Raises `ValueError` for an
    environment that the SDK cannot use.
    """

    def __init__(self, endpoint: str, instance: str, version: str) -> None:
        self._endpoint = endpoint
        self._on = environ.get(OTEL_SDK_DISABLED, "").strip().lower() != "true"
        own = {SERVICE_NAME: "taskyard", SERVICE_VERSION: version, SERVICE_INSTANCE_ID: instance}
        # What the operator says in the environment is stronger.
        self._resource = Resource.create(own | dict(OTELResourceDetector().detect().attributes))
        self._bridge: Bridge | None = None
        self._provider: TracerProvider | None = None
        self.ids = Ids()
        self.tracer: Tracer | None = None
        if self._wants(OTEL_TRACES_EXPORTER):
            self._provider = TracerProvider(resource=self._resource, shutdown_on_exit=False, id_generator=self.ids)
            url = environ.get(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) or f"{endpoint}/v1/traces"
            self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(url, session=_session())))
            self.tracer = self._provider.get_tracer("taskyard", version)

    def start(self, families: Callable[[], list[Metric]]) -> None:
        """Begin to export metrics: those of `families`, which is called on this event loop."""
        if self._wants(OTEL_METRICS_EXPORTER):
            url = environ.get(OTEL_EXPORTER_OTLP_METRICS_ENDPOINT) or f"{self._endpoint}/v1/metrics"
            exporter = OTLPMetricExporter(url, session=_session())
            self._bridge = Bridge(exporter, self._resource, families, asyncio.get_running_loop())
            self._bridge.start()

    async def close(self, within_ms: int) -> None:
        """Send what is left, within so long; then it is let go."""
        last: list[Callable[[], None]] = []
        if self._provider is not None:
            last.append(self._provider.shutdown)
        if self._bridge is not None:
            last.append(self._bridge.stop)
        threads = [threading.Thread(target=end, name="otel-close", daemon=True) for end in last]
        for thread in threads:
            thread.start()
        until = time.monotonic() + within_ms / 1000
        for thread in threads:
            await asyncio.to_thread(thread.join, max(0.0, until - time.monotonic()))

    def _wants(self, exporter: str) -> bool:
        return self._on and environ.get(exporter, "otlp").strip().lower() != "none"


def _session() -> requests.Session:
    session = requests.Session()
    session.trust_env = False  # no proxy and no password from the environment
    return session
