"""What listeners are told: the events of a stream, and what is said over a WebSocket."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from taskyard.wire.base import Answer, Query, ServerId, TaskId, Time, form
from taskyard.wire.overview import Attention, Slots, TaskCounts
from taskyard.wire.tasks import StatusName
from taskyard.wire.why import OtherLanes, WaitingLane

TOPICS = ("overview", "lanes", "fleet", "attention", "node")
TASKS_MOST = 100
TopicName = Annotated[str, form(f"^({'|'.join(TOPICS)})(?!\\n)$", f"one of {', '.join(TOPICS)}")]
_Topics = Annotated[
    list[TopicName],
    Meta(
        min_length=1,
        max_length=len(TOPICS),
        description=f"Out of {', '.join(TOPICS)}, with commas between; all of them when nothing is named.",
    ),
]
_Ids = Annotated[
    list[TaskId],
    Meta(
        min_length=1,
        max_length=TASKS_MOST,
        description=f"Ids of at most {TASKS_MOST} tasks to watch, with commas between.",
    ),
]


class EventsQuery(Query):
    """What to be told of."""

    topics: _Topics | None = None
    tasks: _Ids | None = None


class LanesPoint(Answer):
    """What waits, as `GET /api/lanes` has it."""

    lanes: list[WaitingLane]
    other: OtherLanes


class FleetPoint(Answer):
    """All servers, in columns: the same place in each is one server."""

    id: list[ServerId]
    slots: list[int]
    active: list[int]
    status: list[str]
    ms: Annotated[list[int | None], Meta(description="The decaying average of completed attempts' run times.")]


class FleetChange(Answer):
    """The servers that changed, in columns: `i` is the place in the columns of the last event that had `id`."""

    i: list[int]
    active: list[int]
    status: Annotated[list[str | None], Meta(description="`null` where it is the same.")]
    ms: list[int | None]


class TaskEvent(Answer):
    """Something that happened to a task."""

    at: Time
    kind: Annotated[
        str,
        Meta(
            description=(
                "`submitted`, `queued` (again: `due` says from when on, where it waits for a time), `dispatched`, "
                "`accepted` (its server will call back), `ended` (an attempt, with its `outcome`), and `completed`, "
                "`failed`, `timeout` or `cancelled` (the task)."
            )
        ),
    ]
    attempt: int | None = None
    server_id: str | None = None
    outcome: str | None = None
    count: Annotated[int | None, Meta(description="So many attempts alike, one after the other.")] = None
    http_status: int | None = None
    error: str | None = None
    due: Annotated[Time | None, Meta(description="It is not started before.")] = None


class TaskEvents(Answer):
    """A task's life so far, the oldest event first."""

    id: TaskId
    as_of: Time
    status: StatusName
    events: list[TaskEvent]


class Spoken(Struct, rename="camel", kw_only=True):
    """What a client says over a WebSocket."""

    type: Literal["subscribe", "unsubscribe", "ping"]
    task_id: str | None = None


class YardPoint(Answer):
    """One second of the yard, as in the series of `GET /api/overview`."""

    t: Time
    submitted: int | None
    completed: int | None
    failed: int | None
    waiting: int | None
    running: int | None
    wait_p95: int | None
    run_p95: int | None


class OverviewPoint(Answer):
    """The whole yard now, and its latest second that is over."""

    slots: Slots
    servers: Annotated[dict[str, int], Meta(description="Registered servers by status.")]
    oldest: Time | None
    point: YardPoint
    counts: Annotated[TaskCounts | UnsetType, Meta(description="All tasks that are kept, by status; for admins.")] = (
        UNSET
    )


class AttentionPoint(Answer):
    """What needs a person, the worst first."""

    attention: list[Attention]
    more: int


class NodePoint(Answer):
    """The node that tells: whether it decides, and for admins its name and the name of the one that does."""

    decides: bool
    node: str | UnsetType = UNSET
    decider: Annotated[str | UnsetType | None, Meta(description="`null` while none is known to decide.")] = UNSET
    nodes: Annotated[int | UnsetType, Meta(description="How many nodes there are.")] = UNSET
