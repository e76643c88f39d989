"""Why tasks wait: of one task, and of each lane."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from taskyard.wire.base import Answer, ServerId, TaskId, Time

CODES = (
    "scheduled",
    "backoff",
    "no_servers",
    "no_capability",
    "no_combination",
    "no_group",
    "pinned",
    "all_down",
    "misconfigured",
    "declined",
    "unreached",
    "avoiding",
    "retry_budget",
    "full",
    "next",
    "not_deciding",
)
STEPS = (
    "registered",
    "able",
    "in_group",
    "pinned",
    "in_service",
    "alive",
    "trusted",
    "willing",
    "reached",
    "free",
    "not_avoided",
)
REMEDIES = ("more_slots", "more_capability", "higher_priority", "end_maintenance")
ReasonCode = Annotated[str, Meta(description="The reason.", extra_json_schema={"enum": list(CODES)})]
Params = Annotated[dict[str, Any], Meta(description="The figures that belong to the reason; times are ms.")]


class LeftOut(Answer):
    """A server that a step left out, and why."""

    id: ServerId
    code: str


class FunnelStep(Answer):
    """How many servers are left after a step. Steps that do not concern the task are not there."""

    step: Annotated[str, Meta(extra_json_schema={"enum": list(STEPS)})]
    count: int
    servers: Annotated[list[LeftOut], Meta(description="Those that this step left out, 20 at most.")]


class OtherReason(Answer):
    """What also holds."""

    code: ReasonCode
    params: Params


class Action(Answer):
    """A call that would change it; `body` is a proposal, `null` members are for the caller to fill in."""

    code: str
    method: str
    path: str
    body: dict[str, Any] | None


class Estimate(Answer):
    """In how many ms the task will have started in half, and in nine tenths of the cases."""

    p50: int
    p90: int


class WouldStart(Answer):
    """The smallest change that would start the task in the next turn, found by trying it on a copy of the scheduler."""

    code: Annotated[str, Meta(extra_json_schema={"enum": list(REMEDIES)})]
    params: Params
    text: Annotated[str, Meta(description="In words, as `text` of the answer.")]
    action: Annotated[Action | None, Meta(description="The call that does it, if the caller may make it.")]


class Why(Answer):
    """Why a task waits."""

    id: TaskId
    as_of: Annotated[Time, Meta(description="The node's clock, which times in `params` go by.")]
    code: ReasonCode
    params: Params
    text: Annotated[str, Meta(description="The reason in words, in the language that Accept-Language asks for.")]
    also: list[OtherReason]
    funnel: list[FunnelStep]
    position: Annotated[
        int | None,
        Meta(
            description=(
                "Its place among the tasks that may take the same servers; 1 is served first. `null` while it waits "
                "for a time, and when too many stand before it to be counted."
            ),
        ),
    ]
    estimate: Annotated[
        Estimate | None,
        Meta(
            description=(
                "When it will start, by run times of the latest attempts. `null` while too few of a type are known "
                "(20), too much is ahead (300 tasks), or nothing that is foreseen would start it."
            ),
        ),
    ]
    would_start: Annotated[
        WouldStart | None,
        Meta(description="`null`: no such small change would, or too much waits to be sure."),
    ]
    actions: list[Action]


class WaitingLane(Answer):
    """Tasks with the same requirements, and why the most of them wait."""

    capabilities: list[str]
    group: str | None
    server_id: Annotated[ServerId | None, Meta(description="The only server they may use.")]
    queued: int
    oldest_at: Annotated[Time | None, Meta(description="When the oldest was submitted, as far as memory knows.")]
    code: ReasonCode
    params: Params
    text: str
    funnel: Annotated[list[FunnelStep], Meta(description="Without the servers; ask why of a task for these.")]


class OtherLanes(Answer):
    """Those that are not listed."""

    lanes: int
    queued: int


class Lanes(Answer):
    """What waits, the oldest first, 50 lanes at most."""

    as_of: Time
    lanes: list[WaitingLane]
    other: OtherLanes
