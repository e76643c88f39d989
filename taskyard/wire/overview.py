"""How the whole yard is: counts, series of a window, and what needs a person."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from taskyard.wire.base import Answer, Query, Share, Time, form
from taskyard.wire.why import Action

WINDOWS = ("5m", "1h", "24h")
ATTENTIONS = (
    "stalled",
    "disk_low",
    "lane_unserved",
    "lane_down",
    "server_misconfigured",
    "server_offline",
    "failing",
    "queue_growing",
    "server_flapping",
    "callback_url",
    "sign_in_ends",
)
Window = Annotated[
    str,
    form(f"^({'|'.join(WINDOWS)})(?!\\n)$", f"one of {', '.join(WINDOWS)}", extra_json_schema={"enum": list(WINDOWS)}),
]


class WindowQuery(Query):
    """Of which time up to now."""

    window: Annotated[Window | None, Meta(description="5m, 1h (default) or 24h.")] = None


class TaskCounts(Answer):
    """The tasks that are kept, by status: the caller's own, an admin's all."""

    total: int
    pending: int
    processing: int
    completed: int
    failed: int
    timeout: int
    cancelled: int


class Slots(Answer):
    """The slots of all servers that may be given tasks, and how many are in use."""

    used: int
    total: int


class Spread(Answer):
    """How long something took, in ms: half took `p50` at most, 19 of 20 `p95`; `null` when it never happened."""

    count: Annotated[int, Meta(description="How many were measured.")]
    p50: int | None
    p95: int | None


class WindowTotals(Answer):
    """What happened in the window."""

    submitted: int
    completed: int
    failed: int
    timeout: int
    cancelled: int


class Attention(Answer):
    """Something that needs a person."""

    code: Annotated[str, Meta(extra_json_schema={"enum": list(ATTENTIONS)})]
    params: Annotated[dict[str, Any], Meta(description="The figures that belong to the code; times are ms.")]
    since: Annotated[Time | None, Meta(description="Since when it is so, as far as memory knows.")]
    actions: list[Action]


class Series(Answer):
    """Columns of points, the oldest first; `null` where nothing was recorded.

    `t` is when each point begins. `failed` counts ends as FAILED and as TIMEOUT. `waiting` and `running` are the counts
    at the point's end, the others what happened in it.
    """

    t: list[Time]
    submitted: list[int | None]
    completed: list[int | None]
    failed: list[int | None]
    waiting: list[int | None]
    running: list[int | None]
    wait_p95: Annotated[list[int | None], Meta(description="ms from ready to dispatched.")]
    run_p95: Annotated[list[int | None], Meta(description="ms from dispatch to end of completed attempts.")]


class Overview(Answer):
    """The whole yard now and in a window, without owners but for `counts`."""

    as_of: Time
    window: Window
    step: Annotated[int, Meta(description="ms from one point of the series to the next.")]
    counts: TaskCounts
    slots: Slots
    servers: Annotated[
        dict[str, int], Meta(description="Registered servers by status; `misconfigured`: refuses our key.")
    ]
    totals: WindowTotals
    success: Annotated[
        Share | None, Meta(description="Completed ones among the tasks that completed, failed or timed out.")
    ]
    wait: Spread
    run: Spread
    oldest: Annotated[Time | None, Meta(description="When the oldest waiting task was submitted, as far as known.")]
    attention: Annotated[list[Attention], Meta(description="The worst first, 5 at most.")]
    more: Annotated[int, Meta(description="How many more there are.")]
    series: Series
