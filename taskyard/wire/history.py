"""How servers fared: one with its health, load and outcomes over time, and the fleet in columns."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskyard.wire.base import Answer, ServerId, Share, Time
from taskyard.wire.overview import Window

STRIP = 60
_Strip = Annotated[
    str,
    Meta(
        description=(
            f"{STRIP} letters, the oldest first, each the worst status of its time: `o` online, `d` degraded, `x` "
            "offline, `m` maintenance, `r` draining, `i` initializing, `-` where nobody looked."
        )
    ),
]


class StatusChange(Answer):
    """From when on a server had a status, and why where that is known."""

    at: Time
    status: str
    reason: str | None


class ServerSeries(Answer):
    """Columns of points, the oldest first; `null` where nothing was recorded. `t` is when each point begins."""

    step: Annotated[int, Meta(description="ms from one point to the next.")]
    t: list[Time]
    load: Annotated[list[float | None], Meta(description="Slots in use as a share of all, 0-1.")]
    response_ms: Annotated[list[int | None], Meta(description="Dispatch to the predict answer, on average.")]
    run_ms: Annotated[list[int | None], Meta(description="Dispatch to end of completed attempts, on average.")]
    picks: list[int | None]


class TypeOutcomes(Answer):
    """How a server's attempts at a type of task ended."""

    type: str
    completed: int
    failed: int
    timeout: int
    other: Annotated[int, Meta(description="Declined, unreached, misconfigured, lost and cancelled ones.")]


class PickShare(Answer):
    """How often a server was picked, beside what its weight makes expected among those that are in service now."""

    picks: int
    all_picks: int
    share: Share | None
    weight: int
    expected: Share | None


class ServerHistory(Answer):
    """A server in a window."""

    server_id: ServerId
    as_of: Time
    window: Window
    status: str
    since: Annotated[Time | None, Meta(description="Since when it has this status, as far as known.")]
    strip_step: Annotated[int, Meta(description="ms that one letter of the strip stands for.")]
    strip: _Strip
    changes: Annotated[list[StatusChange], Meta(description="The newest first, 50 at most.")]
    series: ServerSeries
    outcomes: Annotated[list[TypeOutcomes], Meta(description="The most first, 20 types at most.")]
    share: PickShare


class Fleet(Answer):
    """All servers in columns: the same place in each is one server."""

    as_of: Time
    window: Window
    strip_step: int
    id: list[ServerId]
    name: list[str]
    status: list[str]
    since: list[Time | None]
    active: list[int]
    max_concurrent: list[int]
    weight: list[int]
    capabilities: list[list[str]]
    groups: list[list[str]]
    maintenance_reason: list[str | None]
    strip: list[_Strip]
    completed: list[int]
    failed: Annotated[list[int], Meta(description="Attempts that failed or timed out.")]
    average_run_ms: list[int | None]
    picks: list[int]
    share: list[Share | None]
    expected: list[Share | None]
