"""Statistics and the load balancer: figures of the whole yard, without owners."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskyard.wire.base import Answer, Body, Query, ServerId, Share, Time

Date = Annotated[
    str,
    Meta(
        pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}(?!\n)$",
        description="YYYY-MM-DD, UTC.",
        extra_json_schema={"format": "date"},
    ),
]
ALGORITHMS = ("weighted-round-robin", "round-robin", "least-connections", "response-time", "random")
AlgorithmName = Annotated[
    str, Meta(description=f"One of {', '.join(ALGORITHMS)}.", extra_json_schema={"enum": list(ALGORITHMS)})
]


class Day(Query):
    """Which day."""

    date: Annotated[Date | None, Meta(description="YYYY-MM-DD (UTC); default today.")] = None


class TopServer(Answer):
    """One of the busiest servers of the day."""

    server_id: ServerId
    name: str
    tasks_processed: int
    success_rate: Share
    average_processing_time: int


class TypeStats(Answer):
    """A type of task on the day: how many came and how those that ended did."""

    type: str
    created: int
    completed: int
    failed: int
    timed_out: int
    cancelled: int
    success_rate: Annotated[Share, Meta(description="Completed ones among those that completed, failed or timed out.")]
    average_processing_time: int
    average_wait_time: int


class HourTasks(Answer):
    """Tasks created in an hour (0-23)."""

    hour: int
    tasks: int


class DayStats(Answer):
    """A day's figures; `pendingTasks`, `processingTasks`, `oldestPendingAge` and `serverCount` are of now."""

    date: Date
    total_tasks: int
    pending_tasks: int
    processing_tasks: int
    successful_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    timed_out_tasks: int
    retried_tasks: int
    average_processing_time: int
    average_wait_time: int
    oldest_pending_age: int
    server_count: int
    top_servers: list[TopServer]
    hourly_trend: list[HourTasks]
    types: Annotated[
        list[TypeStats],
        Meta(description="The busiest, 50 at most; for admins, since types are words of the tasks' owners."),
    ]


class Hour(Answer):
    """An hour (0-23, UTC). `failed` counts ends as FAILED; `averageTime` is dispatch to end of completed attempts."""

    hour: int
    created: int
    completed: int
    failed: int
    average_time: int
    timed_out: int
    cancelled: int


class DayHours(Answer):
    """The 24 hours of a day."""

    date: Date
    hours: list[Hour]
    hourly_breakdown: list[Hour]


class ServerStats(Answer):
    """A server's figures of a day, or since its registration."""

    server_id: ServerId
    tasks_processed: int
    success_count: int
    failure_count: int
    success_rate: Share
    average_processing_time: int
    average_response_time: int
    uptime: Annotated[Share, Meta(description="The share of the window in which it was online.")]
    last_active_time: Time | None


class ServerShare(Answer):
    """How busy a server is."""

    load: Share
    active_tasks: int
    weight: int


class BalancerStatus(Answer):
    """The load balancer now."""

    algorithm: AlgorithmName
    healthy_servers: int
    server_distribution: dict[str, ServerShare]
    server_loads: dict[str, float]
    total_active_tasks: int
    average_load: Share


class Algorithm(Body):
    """The policy to use from the next pick on."""

    algorithm: AlgorithmName


class AlgorithmSet(Answer):
    """The policy in force."""

    success: bool
    message: str
    algorithm: AlgorithmName


class Health(Answer):
    """The process is alive."""

    status: str
    timestamp: Time
    version: str


class Ready(Answer):
    """The node takes work."""

    status: str = "ready"
