"""What failed, in groups of the same kind of error, and what to do about each."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from taskyard.wire.base import Answer, ServerId, TaskId, Time
from taskyard.wire.overview import Window

ADVICE = ("fix_key", "lost", "fix_task", "one_server", "raise_timeout", "open_one")


class ServerCount(Answer):
    """How many of a group's attempts were on a server."""

    id: ServerId
    count: int


class Advice(Answer):
    """What to do about a group."""

    code: Annotated[str, Meta(extra_json_schema={"enum": list(ADVICE)})]
    params: Annotated[dict[str, Any], Meta(description="The figures that belong to the code; times are ms.")]


class FailureGroup(Answer):
    """Failures with the same type, outcome, status, code and first line of the error, what varies in it blanked."""

    id: Annotated[str, Meta(description="For `failureGroup` of the list and `group` of bulk changes.")]
    type: str
    outcome: Annotated[
        str, Meta(description="failed, timeout, misconfigured or lost; `other`: too many groups in an hour.")
    ]
    http_status: int | None
    error_code: str | None
    error: Annotated[str, Meta(description="The first line, with numbers, ids, URLs and paths as `…`.")]
    count: Annotated[int, Meta(description="Tasks that ended so in the window.")]
    attempts: Annotated[
        int,
        Meta(description="Attempts that ended so, those that were retried included, and tasks that ended without one."),
    ]
    trend: Annotated[list[int], Meta(description="`attempts` by `step`, the oldest first.")]
    servers: Annotated[
        list[ServerCount],
        Meta(description="Attempts by server in the hours of the window, the most first, 20 at most."),
    ]
    server_count: int
    first_at: Time
    last_at: Time
    samples: Annotated[list[TaskId], Meta(description="The latest tasks of it, 5 at most.")]
    advice: Advice


class Failures(Answer):
    """The failures of a window: the caller's own, an admin's all; the group with the most tasks first."""

    as_of: Time
    window: Window
    step: Annotated[int, Meta(description="ms from one point of a trend to the next.")]
    count: Annotated[int, Meta(description="Tasks that failed or timed out in the window.")]
    attempts: int
    groups: Annotated[list[FailureGroup], Meta(description="100 at most.")]
    more: Annotated[int, Meta(description="How many more groups there are.")]
    last_at: Annotated[Time | None, Meta(description="The last failure that is known of, within the window or not.")]
