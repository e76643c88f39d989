"""Seeing tasks and changing what becomes of them: show, list, result, retry, cancel, purge."""

from __future__ import annotations

import asyncio

from taskyard.api.call import Call, Problem, Reply
from taskyard.api.cursor import pack, unpack
from taskyard.api.operation import NO_BODY, NO_QUERY, USERS, NoBody, NoQuery, Operation, any_node
from taskyard.api.problems import CONFLICT, FORBIDDEN, GONE, TASK_NOT_FOUND
from taskyard.api.views import read_task, status_of, task_row
from taskyard.api.waiting import WAITING
from taskyard.domain.outcomes import Status
from taskyard.engine import facts
from taskyard.engine.plan import TaskDone
from taskyard.engine.rows import AttemptRow, Record
from taskyard.store.port import Store, TaskQuery
from taskyard.wire.base import Answer
from taskyard.wire.bulk import BulkFilter
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.tasks import Task as ShownTask
from taskyard.wire.tasks import TaskChanged, TaskFilter, TaskList, TaskPage, TaskShown

SHOWN = Reader(TaskShown)
PAGE = Reader(TaskPage)
_ID_MOST = 128


def task_id_of(call: Call) -> str:
    """The task id in the path. Raises `Problem` for what cannot be one."""
    task_id = call.args[0]
    if len(task_id) > _ID_MOST or not task_id.isprintable():
        raise no_task(task_id)
    return task_id


def no_task(task_id: str) -> Problem:
    """404, also for another's task."""
    return Problem(TASK_NOT_FOUND, f"Task {task_id[:_ID_MOST]!r} not found: it was removed, or it is not yours.")


async def show(call: Call, query: TaskShown) -> Answer:
    """GET /api/task/{id}"""
    task_id, owner = task_id_of(call), call.owner
    if query.include not in (None, "payload"):
        raise Invalid("include must be payload")
    with_payload = query.include == "payload"
    node = call.node

    def read(store: Store) -> tuple[ShownTask, Status] | None:
        return read_task(store, task_id, owner, with_payload=with_payload)

    if not query.wait:
        shown = await node.read(read)
        if shown is None:
            raise no_task(task_id)
        return shown[0]
    subject = call.who.sub
    WAITING.enter(subject, node.settings.waiting_calls_per_sub)
    watch = asyncio.ensure_future(node.wait_changed(task_id, min(query.wait, node.settings.sync_wait_max)))
    try:
        shown = await node.read(read)
        if shown is None:
            raise no_task(task_id)
        if shown[1].ended:
            return shown[0]
        if not await call.watch(watch):
            return shown[0]
    finally:
        watch.cancel()
        WAITING.leave(subject)
    shown = await node.read(read)
    if shown is None:
        raise no_task(task_id)
    return shown[0]


async def result(call: Call, _: NoQuery) -> Reply:
    """GET /api/task/{id}/result"""
    task_id, owner = task_id_of(call), call.owner

    whole = await call.node.read(lambda store: store.whole_task(task_id, owner))
    if whole is None:
        raise no_task(task_id)
    if whole.record.task.purged:
        raise Problem(GONE, f"The result of task {task_id} was purged; the record is at /api/task/{task_id}.")
    if "result" in whole.damaged:
        raise Problem(GONE, f"The result of task {task_id} is damaged in the database; a backup may have it.")
    status = status_of(whole.record)
    if status is not Status.COMPLETED or whole.result is None:
        mend = "it has no result" if status.ended else "ask again when it has ended"
        raise Problem(CONFLICT, f"Task {task_id} is {status.name}: {mend}.", status=status)
    return Reply(whole.result.encode())


def query_of(call: Call, filter_: TaskFilter | BulkFilter, *, before: str | None, limit: int) -> TaskQuery:
    """What to ask the store for. Raises `Problem` when another's tasks are asked for."""
    owner = call.owner
    if filter_.owner is not None:
        if owner is not None and filter_.owner != owner:
            raise Problem(FORBIDDEN, "owner: only an admin may name another subject")
        owner = filter_.owner
    try:
        words = filter_.statuses()
    except ValueError as error:
        raise Invalid(f"filter.status {error}") from None
    return TaskQuery(
        owner=owner,
        statuses=None if words is None else tuple(Status[word].value for word in words),
        type=filter_.type,
        server_id=filter_.server_id,
        capability=filter_.capability,
        tag=filter_.tag,
        created_from=filter_.created_from,
        created_to=filter_.created_to,
        q=filter_.q,
        failure=filter_.failure_group,
        before=before,
        limit=limit,
    )


def earlier(store: Store, record: Record) -> list[AttemptRow]:
    """What a row of a list needs of a task's history: one that waits has its latest start there alone."""
    queue = record.queue
    if queue is None or not queue.attempts:
        return []
    # The row may be older than the history by now.
    return [entry for entry in store.history(record.task.id) if entry.attempt <= queue.attempts]


async def list_tasks(call: Call, page: TaskPage) -> Answer:
    """GET /api/tasks"""
    before: str | None = None
    if page.cursor is not None:
        try:
            before = unpack(page.cursor, call.owner)
        except ValueError as error:
            raise Invalid(f"cursor {error}: take nextCursor of the page before as it is, or none") from None
    query = query_of(call, page, before=before, limit=50 if page.limit is None else page.limit)

    def read(store: Store) -> TaskList:
        found = store.tasks(query)
        rows = [task_row(record, earlier(store, record)) for record in found.records]
        return TaskList(tasks=rows, next_cursor=found.next_before and pack(found.next_before, call.owner))

    return await call.node.read(read)


async def retry(call: Call, _: NoBody) -> Answer:
    """POST /api/task/{id}/retry"""
    done = await call.ask(facts.RetryAsked(task_id=task_id_of(call), owner=call.owner, who=call.who.sub), TaskDone)
    return TaskChanged(success=True, message="Task queued for retry", task_id=done.task_id)


async def cancel(call: Call, _: object) -> Answer:
    """POST /api/task/{id}/cancel, DELETE /api/task/{id}"""
    done = await call.ask(facts.CancelAsked(task_id=task_id_of(call), owner=call.owner, who=call.who.sub), TaskDone)
    return TaskChanged(success=True, message="Task cancelled", task_id=done.task_id)


async def purge(call: Call, _: NoBody) -> Answer:
    """POST /api/task/{id}/purge"""
    done = await call.ask(facts.PurgeAsked(task_id=task_id_of(call), owner=call.owner, who=call.who.sub), TaskDone)
    return TaskChanged(success=True, message="Task purged", task_id=done.task_id)


_NOT_FOUND = {404: "There is no such task, or it is another's."}
OPERATIONS = (
    Operation(
        method="GET",
        path="/api/task/{id}",
        tag="Tasks",
        summary="Show a task",
        description=(
            "`startedAt` is the latest attempt's; `history` has each attempt that is over. With `wait` the answer "
            "comes at the next change of status; an ended task is answered at once."
        ),
        handler=show,
        takes=SHOWN,
        answers=(ShownTask,),
        roles=USERS,
        errors={**_NOT_FOUND, 429: "Too many of your calls wait."},
        anywhere=any_node,
    ),
    Operation(
        method="GET",
        path="/api/task/{id}/result",
        tag="Tasks",
        summary="The result alone",
        description="The result's JSON as the backend sent it.",
        handler=result,
        takes=NO_QUERY,
        roles=USERS,
        errors={**_NOT_FOUND, 409: "There is no result; names the status.", 410: "It was purged, or is damaged."},
        anywhere=any_node,
    ),
    Operation(
        method="GET",
        path="/api/tasks",
        tag="Tasks",
        summary="List tasks",
        description=(
            "Newest first. Users see their own tasks, admins all. A page may be shorter than `limit` and still have a "
            "`nextCursor`: the walk went far and goes on there."
        ),
        handler=list_tasks,
        takes=PAGE,
        answers=(TaskList,),
        roles=USERS,
        anywhere=any_node,
    ),
    Operation(
        method="POST",
        path="/api/task/{id}/retry",
        tag="Tasks",
        summary="Retry a task",
        description=(
            "FAILED, TIMEOUT and CANCELLED tasks are queued again with full retries and a fresh `ttl`; a task that "
            "waits out a back-off or a `runAt` is due at once."
        ),
        handler=retry,
        takes=NO_BODY,
        answers=(TaskChanged,),
        roles=USERS,
        errors={**_NOT_FOUND, 409: "Its state forbids it.", 429: "Your queue is full."},
    ),
    Operation(
        method="POST",
        path="/api/task/{id}/cancel",
        tag="Tasks",
        summary="Cancel a task",
        description="Ends a PENDING or PROCESSING task; a running attempt is given up.",
        handler=cancel,
        takes=NO_BODY,
        answers=(TaskChanged,),
        roles=USERS,
        errors={**_NOT_FOUND, 409: "It has ended; names the status."},
    ),
    Operation(
        method="DELETE",
        path="/api/task/{id}",
        tag="Tasks",
        summary="Cancel a task",
        description="The same as POST …/cancel.",
        handler=cancel,
        takes=NO_QUERY,
        answers=(TaskChanged,),
        roles=USERS,
        errors={**_NOT_FOUND, 409: "It has ended; names the status."},
    ),
    Operation(
        method="POST",
        path="/api/task/{id}/purge",
        tag="Tasks",
        summary="Erase a task's payload and result",
        description="For ended tasks; the record stays.",
        handler=purge,
        takes=NO_BODY,
        answers=(TaskChanged,),
        roles=USERS,
        errors={**_NOT_FOUND, 409: "It has not ended; names the status."},
    ),
)
