"""`taskyard stats` and `taskyard algorithm`."""

from typing import Annotated, Any

import typer

from taskyard.cli import show
from taskyard.cli.command import Yard, calls

_COUNTERS = {
    "totalTasks": "submitted",
    "pendingTasks": "pending now",
    "processingTasks": "processing now",
    "successfulTasks": "completed",
    "failedTasks": "failed",
    "cancelledTasks": "cancelled",
    "timedOutTasks": "timed out",
    "retriedTasks": "retried",
    "serverCount": "servers",
}
_SPANS = {
    "averageProcessingTime": "average processing time",
    "averageWaitTime": "average wait",
    "oldestPendingAge": "oldest pending",
}
# Full height of an hour's bar in the table.
_BAR = 40


def add_to(app: typer.Typer) -> None:
    """Registers both commands."""
    calls(app, "stats")(stats)
    calls(app, "algorithm")(algorithm)


def stats(
    yard: Yard,
    date: Annotated[
        str | None, typer.Option("--date", help="A day (UTC) as YYYY-MM-DD; today without.", show_default=False)
    ] = None,
) -> None:
    """A day's counters, and what waits and runs now."""
    found = yard.client.stats(date)
    if yard.as_json:
        show.json_line(found)
        return
    facts: dict[str, object] = {title: found.get(name) for name, title in _COUNTERS.items()}
    show.facts(facts | {title: show.span(found.get(name)) for name, title in _SPANS.items()})
    servers = found.get("topServers") or []
    if servers:
        heads = ("id", "name", "tasks", "success", "processing time")
        show.table(heads, (_server(server) for server in servers), title="servers with the most tasks")
    hours = [hour for hour in found.get("hourlyTrend") or [] if hour.get("tasks")]
    if hours:
        most = max(hour["tasks"] for hour in hours)
        rows = ((hour.get("hour"), hour["tasks"], "█" * round(hour["tasks"] / most * _BAR)) for hour in hours)
        show.table(("hour", "tasks", ""), rows, title="tasks by hour (UTC)")


def _server(server: dict[str, Any]) -> tuple[object, ...]:
    return (
        server.get("serverId"),
        server.get("name"),
        server.get("tasksProcessed"),
        show.percent(server.get("successRate")),
        show.span(server.get("averageProcessingTime")),
    )


def algorithm(
    yard: Yard,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="weighted-round-robin, round-robin, least-connections, response-time or random.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Shows the load-balancing algorithm, or changes it."""
    found = yard.client.algorithm(name)
    if yard.as_json:
        show.json_line({"algorithm": found})
    else:
        show.line(found)
