"""What happens, as it happens: streams of events for pages and programs, and a task's life so far."""

from __future__ import annotations

from collections.abc import Iterator

from taskyard.api.call import Call, Reply
from taskyard.api.live.socket import TaskSocket
from taskyard.api.live.sse import EventStream
from taskyard.api.live.topics import BY_NAME
from taskyard.api.operation import NO_QUERY, USERS, NoQuery, Operation, any_node
from taskyard.api.tasks import no_task, task_id_of
from taskyard.api.views import task_shown
from taskyard.store.port import WholeTask
from taskyard.wire.base import Answer
from taskyard.wire.events import TOPICS, EventsQuery, TaskEvent, TaskEvents
from taskyard.wire.reader import Reader

SSE = b"text/event-stream"
QUERY = Reader(EventsQuery)
_MARK_MOST = 64


def _last_of(call: Call) -> str | None:
    """The id of the last event that the client has, as far as it can be one."""
    last = call.header(b"last-event-id")
    return None if not last else last[:_MARK_MOST]


async def events(call: Call, query: EventsQuery) -> Reply:
    """GET /api/events"""
    tasks = list(dict.fromkeys(query.tasks or ()))
    topics = dict.fromkeys(query.topics or (() if tasks else TOPICS))
    call.live.check(call.who.sub, len(tasks))
    stream = EventStream(call.live, call, [BY_NAME[name] for name in topics], tasks, _last_of(call))
    return Reply(b"", SSE, stream=stream)


async def task_events(call: Call, _: NoQuery) -> Answer | Reply:
    """GET /api/task/{id}/events"""
    task_id, owner = task_id_of(call), call.owner
    whole = await call.node.read(lambda store: store.whole_task(task_id, owner))
    if whole is None:
        raise no_task(task_id)
    if "text/event-stream" in (call.header(b"accept") or ""):
        call.live.check(call.who.sub, 1)
        return Reply(b"", SSE, stream=EventStream(call.live, call, (), (task_id,), _last_of(call), once=True))
    found = sorted(_life(whole), key=lambda event: event.at)
    return TaskEvents(id=task_id, as_of=call.node.now(), status=task_shown(whole)[1].name, events=found)


def _life(whole: WholeTask) -> Iterator[TaskEvent]:
    """What is recorded of a task, by and large in order."""
    (task, queue, run, _), (shown, status) = whole.record, task_shown(whole)
    yield TaskEvent(at=task.created_at, kind="submitted", due=task.run_at)
    for entry in shown.history:
        attempt, server_id = entry.attempt, entry.server_id
        yield TaskEvent(at=entry.started_at, kind="dispatched", attempt=attempt, server_id=server_id)
        yield TaskEvent(
            at=entry.ended_at,
            kind="ended",
            attempt=attempt,
            server_id=server_id,
            outcome=entry.outcome,
            count=entry.count,
            http_status=entry.http_status,
            error=entry.error,
        )
    if run is not None:
        yield TaskEvent(at=run.started_at, kind="dispatched", attempt=run.attempt, server_id=run.server_id)
        if run.accepted and run.responded_at is not None:
            yield TaskEvent(at=run.responded_at, kind="accepted", attempt=run.attempt, server_id=run.server_id)
    elif queue is not None and queue.attempts:
        yield TaskEvent(at=queue.queued_at, kind="queued", due=queue.due_at)
    if status.ended and task.completed_at is not None:
        yield TaskEvent(at=task.completed_at, kind=status.name.lower(), error=task.error)


async def socket(call: Call, _: NoQuery) -> Reply:
    """GET /ws"""
    made = TaskSocket.of(call)
    return Reply(b"", status=101, headers=made.head, stream=made)


_ROOM = {429: "Too many streams of yours are open.", 503: "The node has as many streams as it takes, or is no use now."}
OPERATIONS = (
    Operation(
        method="GET",
        path="/api/events",
        tag="Events",
        summary="What changes, as it does",
        description=(
            "A stream of server-sent events (`text/event-stream`) that goes on until it is closed. First `snapshot` "
            "with the state of each topic, and a `task` for each watched one; then, at most once a second, `overview`, "
            "`lanes`, `fleet` (its changed rows, or all when servers came or went), `attention` and `task`, each when "
            "it changed, and `node` when another one decides; `tick` when nothing has happened for 15 s. `stale` says "
            "that it is not known what happened after `since`, as while no node decides, with `null` that it is again. "
            "Every event has the node's time as `now`. A client that comes back to the same node with "
            "`Last-Event-ID` (browsers do) is told what changed since; if that is not known, as at another node, "
            "`reset` and a new `snapshot`. A slow reader gets the newest state and never a queue. `end` says why "
            "a stream ends: `expired` (the token), `draining` or `unavailable` (the node), `renew` (it is a day old: "
            "come again). Tasks that there are not, or that are another's, are named in the snapshot as `unknown`."
        ),
        handler=events,
        takes=QUERY,
        media=SSE.decode(),
        errors=_ROOM,
        anywhere=any_node,
    ),
    Operation(
        method="GET",
        path="/api/task/{id}/events",
        tag="Tasks",
        summary="A task's life so far",
        description=(
            "What is recorded of it, the oldest first. With `Accept: text/event-stream` a stream like that of "
            "`GET /api/events?tasks=…`, which ends when the task has ended (`end`, `ended`)."
        ),
        handler=task_events,
        takes=NO_QUERY,
        answers=(TaskEvents,),
        roles=USERS,
        errors={404: "There is no such task, or it is another's.", **_ROOM},
        anywhere=any_node,
    ),
    Operation(
        method="GET",
        path="/ws",
        tag="Events",
        summary="Tasks over a WebSocket",
        description=(
            'Say `{"type": "subscribe", "taskId": "…"}` for each task, up to 100; `unsubscribe` likewise. The node '
            'says `{"type": "subscribed", "taskId"}`, `{"type": "task", "task"}` with the task as a list shows it, '
            'now and at each change (once a second at most), or `{"type": "error", "error", "details", "taskId"}`; and '
            '`{"type": "stale", "since"}` while it cannot know what happens, with `null` when it can again. '
            "`ping` is answered by `pong`. The token comes in the header Authorization, or a browser's session in its "
            "cookie; pages of other origins are refused unless `CORS_ORIGINS` has them."
        ),
        handler=socket,
        takes=NO_QUERY,
        roles=USERS,
        upgrades=True,
        anywhere=any_node,
        errors={403: "A page of another origin.", 426: "The request asks for no WebSocket.", **_ROOM},
    ),
)
