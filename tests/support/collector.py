"""An OTLP/HTTP collector as a process of its own: it decodes what comes by OpenTelemetry's protobuf.

`GET /spans` and `GET /metrics` tell all that came, as JSON. Started with `swallow` it takes connections and never
answers.
"""

import gzip
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.support.nodes import ROOT, until


class Collector:
    """A running collector at `url`."""

    def __init__(self, *flags: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.collector", *flags], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url, "the collector does not start"

    def settings(self, **more: str) -> dict[str, str]:
        """What a node needs to export to it, soon."""
        return {
            "TASKYARD_OTLP_ENDPOINT": self.url,
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "OTEL_METRIC_EXPORT_INTERVAL": "200",
        } | more

    def spans(self, trace_id: str | None = None) -> list[dict[str, Any]]:
        """All spans that came, of one trace or of all; by their start."""
        found: list[dict[str, Any]] = httpx.get(f"{self.url}/spans").json()
        return sorted(
            (span for span in found if trace_id in (None, span["trace"])), key=lambda span: (span["start"], span["end"])
        )

    def trace(self, trace_id: str, *names: str) -> list[dict[str, Any]]:
        """The spans of a trace, once these have come (a name that is given twice: two of them)."""

        def all_there() -> bool:
            came = [span["name"] for span in self.spans(trace_id)]
            return all(came.count(name) >= names.count(name) for name in names)

        until(all_there, what=f"spans are missing: {names}, there are {self.spans(trace_id)}")
        return self.spans(trace_id)

    def metrics(self) -> dict[str, Any]:
        """By name: the metrics of the last export."""
        found: dict[str, Any] = httpx.get(f"{self.url}/metrics").json()
        return found

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextmanager
def collector(*flags: str) -> Iterator[Collector]:
    """A running collector."""
    made = Collector(*flags)
    try:
        yield made
    finally:
        made.close()


# --- the process -----------------------------------------------------------------------------------------------------


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind in ("string_value", "int_value", "double_value", "bool_value") else str(value)


def _members(attributes: Any) -> dict[str, Any]:
    return {entry.key: _value(entry.value) for entry in attributes}


def _spans(body: bytes) -> list[dict[str, Any]]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
    from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

    request = ExportTraceServiceRequest.FromString(body)
    return [
        {
            "name": span.name,
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "state": span.trace_state,
            "kind": Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
            "start": span.start_time_unix_nano,
            "end": span.end_time_unix_nano,
            "about": _members(span.attributes),
            "events": {event.name: _members(event.attributes) for event in span.events},
            "links": [link.trace_id.hex() for link in span.links],
            "status": Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
            "message": span.status.message,
            "from": _members(of_resource.resource.attributes),
        }
        for of_resource in request.resource_spans
        for scope in of_resource.scope_spans
        for span in scope.spans
    ]


def _metrics(body: bytes) -> dict[str, Any]:
    from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

    request = ExportMetricsServiceRequest.FromString(body)
    found = {}
    for of_resource in request.resource_metrics:
        for scope in of_resource.scope_metrics:
            for metric in scope.metrics:
                kind = metric.WhichOneof("data")
                data = getattr(metric, kind)
                found[metric.name] = {
                    "kind": kind,
                    "help": metric.description,
                    "unit": metric.unit,
                    "cumulative": kind == "gauge" or data.aggregation_temporality == 2,
                    "points": [_point(kind, point) for point in data.data_points],
                }
    return found


def _point(kind: str, point: Any) -> dict[str, Any]:
    if kind == "histogram":
        return {
            "labels": _members(point.attributes),
            "count": point.count,
            "sum": point.sum,
            "bounds": list(point.explicit_bounds),
            "counts": list(point.bucket_counts),
            "since": point.start_time_unix_nano,
        }
    return {
        "labels": _members(point.attributes),
        "value": getattr(point, point.WhichOneof("value")),
        "since": point.start_time_unix_nano,
    }


class _Handler(BaseHTTPRequestHandler):
    spans: list[dict[str, Any]] = []  # noqa: RUF012 - one collector a process
    metrics: dict[str, Any] = {}  # noqa: RUF012

    def do_GET(self) -> None:
        self._answer(json.dumps(self.spans if self.path == "/spans" else self.metrics).encode(), "application/json")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.headers["content-type"] == "application/x-protobuf"
        if self.path == "/v1/traces":
            self.spans.extend(_spans(body))
        elif self.path == "/v1/metrics":
            type(self).metrics = _metrics(body)
        else:
            self.send_error(404)
            return
        self._answer(b"", "application/x-protobuf")

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


def _swallow() -> None:
    """Take connections and what comes on them, and never answer."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)

    def read(connection: socket.socket) -> None:
        while connection.recv(65536):
            pass

    while True:
        connection, _ = listener.accept()
        threading.Thread(target=read, args=(connection,), daemon=True).start()


def _main() -> None:
    if "swallow" in sys.argv:
        _swallow()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    _main()
