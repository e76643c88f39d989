"""Export that goes wrong: a collector that swallows everything, one that is away, and an extra that is not there."""

import sys
from pathlib import Path

from tests.support.collector import collector
from tests.support.nodes import NodeProcess, free_port, until
from tests.tracing.backend import backend

TASKS = 30


def test_a_collector_that_never_answers_or_is_away_stops_nobody_and_fills_nothing(tmp_path: Path) -> None:
    with collector("swallow") as told, backend() as served:
        settings = told.settings(
            # Ten tasks fill the queue while the first batch waits for its answer.
            OTEL_BSP_MAX_QUEUE_SIZE="20",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="10",
            OTEL_EXPORTER_OTLP_TRACES_TIMEOUT="120",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"http://127.0.0.1:{free_port()}/v1/metrics",
            OTEL_EXPORTER_OTLP_METRICS_TIMEOUT="1",
        )
        node = NodeProcess(tmp_path / "data", settings=settings)
        try:
            node.start()
            with node.client("admin") as client:
                served.register(client)
                body = {"type": "x", "payload": {}, "async": False}
                for _ in range(TASKS):
                    assert client.post("/api/task", json=body).json()["status"] == "COMPLETED"
                assert client.get("/ready").status_code == 200
            # What the SDK says when it lets go of a span: no more than the queue has room for were held.
            assert "Queue full" in node.log.read_text()
            until(lambda: "Failed to export metrics" in node.log.read_text())
            # It does not wait for either of them for long; the test's patience is shorter than the time for an answer.
            assert node.stop() == 0
        finally:
            node.kill()


class Bare(NodeProcess):
    """A node where the extra is not installed."""

    def command(self) -> list[str]:
        serve = "import sys; sys.modules['opentelemetry'] = None; from taskyard.cli.main import main; main()"
        return [sys.executable, "-c", serve, *super().command()[3:]]


def test_without_the_extra_a_node_says_what_it_needs_and_needs_nothing_for_what_is_off(tmp_path: Path) -> None:
    asked = Bare(tmp_path / "asked", settings={"TASKYARD_OTLP_ENDPOINT": "http://127.0.0.1:1"})
    plain = Bare(tmp_path / "plain")
    try:
        asked.spawn()
        until(lambda: not asked.running)
        assert "pip install 'taskyard[otel]'" in asked.log.read_text()
        plain.start()
    finally:
        asked.kill()
        plain.kill()
