"""OpenTelemetry for a node, where its settings ask for it: the spans of its tasks, and its metrics once more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import structlog
from prometheus_client import Metric

from taskyard.engine.memory import Memory
from taskyard.host.errors import StartError
from taskyard.settings import Settings
from taskyard.store.port import Store

if TYPE_CHECKING:
    from taskyard.tracing.export import Export
    from taskyard.tracing.spans import Spans, Traced

log = structlog.get_logger()
T = TypeVar("T")


class Telemetry:
    """What a node exports; `spans` is `None` when the environment turns traces off."""

    def __init__(self, export: Export, spans: Spans | None, last_ms: int) -> None:
        self._export = export
        self._last_ms = last_ms
        self.spans = spans

    def start(self, families: Callable[[], list[Metric]]) -> None:
        """Begin to export what `families` gives."""
        self._export.start(families)

    async def stop(self) -> None:
        """Export what is left, as far as the collector takes it in time."""
        if self.spans is not None:
            self.spans.close()
        await self._export.close(self._last_ms)


def open_telemetry(
    settings: Settings,
    instance: str,
    version: str,
    *,
    now: Callable[[], int],
    memory: Callable[[], Memory | None],
    read: Callable[[Callable[[Store], Traced | None]], Awaitable[Traced | None]],
) -> Telemetry | None:
    """Telemetry from the node `instance`; `None` without an endpoint. `memory` is the engine's while this node decides.

    Raises `StartError` without the extra, `ValueError` for an environment that the SDK cannot use.
    """
    endpoint = settings.otlp_endpoint
    if endpoint is None:
        return None
    try:
        from taskyard.tracing.export import Export
        from taskyard.tracing.spans import Spans, Traced
    except ImportError as error:
        source = settings.sources()["otlp_endpoint"]
        raise StartError(
            f"otlp_endpoint (from {source}) needs the extra otel ({error}): pip install 'taskyard[otel]'"
        ) from error

    def known(task_id: str) -> Traced | None:
        held = memory()
        task = held.tasks.get(task_id) if held is not None else None
        return None if task is None else Traced(task.spec.traceparent, task.spec.type, task.attempts)

    def stored(store: Store, task_id: str) -> Traced | None:
        record = store.task(task_id, None)
        if record is None:
            return None
        row, queue, run = record.task, record.queue, record.run
        attempts = run.attempt if run is not None else queue.attempts if queue is not None else row.attempts
        return Traced(row.traceparent, row.type, attempts)

    export = Export(endpoint, instance, version)
    spans = None
    if export.tracer is not None:
        spans = Spans(
            export.tracer,
            export.ids,
            now=now,
            known=known,
            read=lambda task_id: read(lambda store: stored(store, task_id)),
        )
    log.info("telemetry", endpoint=endpoint, traces=spans is not None)
    return Telemetry(export, spans, settings.otlp_last_timeout)
