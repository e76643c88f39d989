"""A collector to try traces out with: `python examples/collector.py`, on http://127.0.0.1:9001; `GET /` draws them.

It keeps all in memory. What comes by OTLP is read by OpenTelemetry's own protobuf, of the extra `otel`.
"""

import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SHOWN = ("taskyard.server.id", "taskyard.outcome", "http.response.status_code", "taskyard.callback.status")
spans = []


def line(span, depth, since):
    """A span: its name, from when to when in ms, and what it is about in a few words."""
    about = {entry.key: entry.value.string_value or str(entry.value.int_value) for entry in span.attributes}
    words = [about[name] for name in SHOWN if name in about] + [event.name for event in span.events]
    began, ended = ((at - since) / 1e6 for at in (span.start_time_unix_nano, span.end_time_unix_nano))
    return f"{'  ' * depth + span.name:<20}{began:>6.0f} -{ended:>5.0f} ms  {', '.join(words)}".rstrip()


def order(span):
    """By their start; what begins in the same ms as it follows from each other."""
    return span.start_time_unix_nano, not span.name.startswith("wait"), span.name.startswith("callback")


def tree(span, depth, since):
    """A span and all below it."""
    lines = [line(span, depth, since)]
    for child in sorted((child for child in list(spans) if child.parent_span_id == span.span_id), key=order):
        lines += tree(child, depth + 1, since)
    return lines


def page():
    """All traces, from the spans whose parent nobody has told."""
    known = {span.span_id for span in spans}
    lines = []
    for root in [span for span in list(spans) if span.parent_span_id not in known]:
        lines += [f"trace {root.trace_id.hex()}", *tree(root, 0, root.start_time_unix_nano), ""]
    return "\n".join(lines)


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(page().encode(), "text/plain")

    def do_POST(self):  # /v1/traces, /v1/metrics
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/traces":
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                spans.extend(span for scope in resource.scope_spans for span in scope.spans)
        self.answer(b"", "application/x-protobuf")

    def answer(self, content, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "9001"))), Collector).serve_forever()
