"""Tasks: what a client submits, what a backend reports, and what both are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, Raw, UnsetType, field

from taskyard.wire.base import (
    Answer,
    Body,
    Duration,
    Json,
    JsonObject,
    Label,
    Pause,
    Priority,
    Query,
    Refused,
    ServerId,
    Tag,
    TaskId,
    TaskType,
    Text,
    Time,
    form,
    word_pattern,
)

STATUSES = ("PENDING", "PROCESSING", "COMPLETED", "FAILED", "TIMEOUT", "CANCELLED")
StatusName = Annotated[str, Meta(extra_json_schema={"enum": list(STATUSES)})]
StatusWord = Annotated[
    str,
    form(word_pattern(*STATUSES), f"one of {', '.join(STATUSES)}; upper or lower case"),
]
BATCH_MOST = 1000


class RetryBackoff(Body):
    """The pause before a retry: exponential from `base` up to `cap`, with full jitter."""

    base: Annotated[Pause | None, Meta(description="The first pause at most, in ms. Default 1000.")] = None
    cap: Annotated[Pause | None, Meta(description="No pause is longer, in ms. Default 30000.")] = None


class Submission(Body):
    """A task to be done. An absent member takes the default of its `type`, then the global one."""

    rule: ClassVar[dict[str, Any]] = {
        "not": {
            "required": ["runAt", "delay"],
            "properties": {"runAt": {"type": "integer"}, "delay": {"type": "integer"}},
        }
    }

    type: TaskType
    payload: Annotated[
        Raw,
        Meta(
            description="A JSON object, nested at most 512 deep; its bytes reach the backend as they are.",
            extra_json_schema={"type": "object"},
        ),
    ]
    priority: Annotated[Priority | None, Meta(description="0-10, higher first; default 0.")] = None
    capabilities: Annotated[
        Annotated[list[Label], Meta(max_length=32)] | None,
        Meta(description="At most 32 texts; a server qualifies when it has them all."),
    ] = None
    group: Annotated[Label | None, Meta(description="The server must be in this group.")] = None
    server_id: Annotated[ServerId | None, Meta(description="It must be this server.")] = None
    is_async: Annotated[
        bool | None,
        Meta(description="true (default): answers at once. false: waits for the end, at most `wait`."),
    ] = field(default=None, name="async")
    wait: Annotated[
        Pause | None, Meta(description="With `async: false`: ms to wait; default and cap SYNC_WAIT_MAX (300000).")
    ] = None
    run_at: Annotated[Time | None, Meta(description="Not before this time, in ms since the epoch.")] = None
    delay: Annotated[Pause | None, Meta(description="Not before so many ms have passed; instead of `runAt`.")] = None
    timeout: Annotated[
        Duration | None, Meta(description="One attempt, dispatch to result, in ms; default TASK_TIMEOUT.")
    ] = None
    ttl: Annotated[
        Duration | None, Meta(description="The whole task from `createdAt` (or `runAt`), in ms; default none.")
    ] = None
    queue_timeout: Annotated[
        Duration | None, Meta(description="The wait for the first dispatch, in ms; default none.")
    ] = None
    heartbeat_timeout: Annotated[
        Duration | None, Meta(description="An accepted attempt silent for so many ms has timed out; default off.")
    ] = None
    max_retries: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None,
        Meta(description="0-100 retries after the first attempt; default MAX_RETRIES (3)."),
    ] = None
    retry_backoff: RetryBackoff | None = None
    idempotency_key: Annotated[
        Label | None,
        Meta(description="Makes repeating this submission safe for 24 h; or the header Idempotency-Key."),
    ] = None
    tags: Annotated[
        Annotated[list[Tag], Meta(max_length=16)] | None, Meta(description="At most 16 texts of 1-64 characters.")
    ] = None
    metadata: Annotated[
        Raw | UnsetType,
        Meta(
            description="A JSON object of at most 16 KiB, given back, never sent to a backend.",
            extra_json_schema={"type": ["object", "null"]},
        ),
    ] = UNSET
    resubmit_of: Annotated[TaskId | None, Meta(description="The id of a task that this one repeats.")] = None


class Batch(Body):
    """Many submissions in one call."""

    tasks: Annotated[
        list[Raw],
        Meta(
            min_length=1,
            max_length=BATCH_MOST,
            description="1-1000 submissions; one that is wrong gets an error of its own.",
            extra_json_schema={"items": {"anyOf": [{"$ref": "#/components/schemas/Submission"}, {}]}},
        ),
    ]


class Submitted(Answer):
    """A task was taken; it is stored durably."""

    id: TaskId
    status: StatusName
    created_at: Time
    updated_at: Time


class BatchAnswer(Answer):
    """One answer or error for each submission, in order."""

    results: Annotated[
        list[Any],
        Meta(
            extra_json_schema={
                "items": {"anyOf": [{"$ref": f"#/components/schemas/{kind.__name__}"} for kind in (Submitted, Refused)]}
            }
        ),
    ]


class HistoryEntry(Answer):
    """An attempt that is over; successive declined or unreached ones on one server are one entry with a `count`."""

    attempt: int
    server_id: str
    started_at: Time
    ended_at: Time
    outcome: str
    count: int
    http_status: int | None
    error: str | None
    metadata: Json | None


class TaskRow(Answer):
    """A task as a list shows it."""

    id: TaskId
    type: str
    status: StatusName
    priority: int
    capabilities: list[str]
    group: str | None
    owner: str
    tags: list[str]
    metadata: JsonObject | None
    progress: int | None
    message: str | None
    server_id: str | None
    error: str | None
    error_code: str | None
    error_details: Json | None
    result_metadata: Json | None
    attempts: Annotated[int, Meta(description="Dispatches so far, those that used up no attempt included.")]
    failures: Annotated[int, Meta(description="Attempts that failed or timed out; the task has maxRetries + 1.")]
    max_retries: int
    timeout: int
    created_at: Time
    run_at: Time | None
    deadline: Annotated[Time | None, Meta(description="When `ttl` ends the task.")]
    started_at: Annotated[Time | None, Meta(description="The latest attempt's.")]
    completed_at: Time | None
    updated_at: Time


class Task(TaskRow):
    """A task with all that is known of it."""

    result: Json | None
    history: list[HistoryEntry]
    resubmit_of: Annotated[str | None, Meta(description="The task that this one repeats.")]
    resubmitted_as: Annotated[str | None, Meta(description="The newest task that repeats this one.")]
    payload: Annotated[
        Raw | UnsetType | None, Meta(description="Only with `include=payload`; null when it was purged.")
    ] = UNSET


class TaskList(Answer):
    """A page of tasks, newest first."""

    tasks: list[TaskRow]
    next_cursor: Annotated[str | None, Meta(description="For `cursor`: the next page; null on the last one.")]


class TaskUpdate(Body):
    """A backend's word on its attempt, or a verdict by hand."""

    status: StatusWord
    result: Annotated[Raw | UnsetType, Meta(description="With COMPLETED: any JSON value; null when absent.")] = UNSET
    progress: Annotated[float | None, Meta(description="With PROCESSING: 0-100; other numbers are clamped.")] = None
    error: Annotated[
        Raw | UnsetType, Meta(description="What went wrong: a text; any other JSON value is kept as its text. 4 KiB.")
    ] = UNSET
    code: Annotated[Raw | UnsetType, Meta(description="The backend's error code, kept as `errorCode`.")] = UNSET
    details: Annotated[Raw | UnsetType, Meta(description="Any JSON value, kept as `errorDetails`.")] = UNSET
    message: Annotated[str | None, Meta(description="A text for people.")] = None
    metadata: Annotated[
        Raw | UnsetType, Meta(description="A JSON object of at most 16 KiB; a larger one is dropped with a warning.")
    ] = UNSET


class TaskUpdated(Answer):
    """The word was taken."""

    id: TaskId
    status: StatusName
    updated_at: Time
    message: str = "Task updated"


class CallbackRecorded(Answer):
    """The word is stored; it will be decided."""

    status: str


class TaskChanged(Answer):
    """A call on a task took effect."""

    success: bool
    message: str
    task_id: TaskId


class TaskShown(Query):
    """How a task is shown."""

    include: Annotated[
        str | None, Meta(description="`payload`: with its payload.", extra_json_schema={"enum": ["payload"]})
    ] = None
    wait: Annotated[
        Pause | None,
        Meta(description="Answer at the next change of status, or after so many ms (at most SYNC_WAIT_MAX)."),
    ] = None


class TaskFilter(Query):
    """Which tasks. Absent members do not filter."""

    status: Annotated[
        Annotated[list[StatusWord], Meta(min_length=1, max_length=6)] | None,
        Meta(description="One or more statuses, by commas."),
    ] = None
    type: Annotated[TaskType | None, Meta(description="Of this type.")] = None
    server_id: Annotated[ServerId | None, Meta(description="That ran, or runs, on this server.")] = None
    capability: Annotated[Label | None, Meta(description="That require this capability.")] = None
    tag: Annotated[Tag | None, Meta(description="With this tag.")] = None
    owner: Annotated[Text | None, Meta(description="Whose tasks (admin; others see their own).")] = None
    created_from: Annotated[Time | None, Meta(description="`createdAt` at or after this time.")] = field(
        default=None, name="from"
    )
    created_to: Annotated[Time | None, Meta(description="`createdAt` before this time.")] = field(
        default=None, name="to"
    )
    q: Annotated[Label | None, Meta(description="An id, a prefix of a type, or a tag.")] = None
    failure_group: Annotated[Label | None, Meta(description="That ended as this group of failures, by its id.")] = None

    def statuses(self) -> list[str] | None:
        """The statuses in upper case."""
        return None if self.status is None else [word.upper() for word in self.status]


class TaskPage(TaskFilter):
    """Which page of which tasks."""

    limit: Annotated[Annotated[int, Meta(ge=1, le=500)] | None, Meta(description="1-500 tasks a page; default 50.")] = (
        None
    )
    cursor: Annotated[
        Annotated[str, Meta(max_length=512)] | None, Meta(description="`nextCursor` of the page before.")
    ] = None
