"""Changing many tasks at once, and the jobs that go on with it."""

from __future__ import annotations

import secrets

import msgspec

from taskyard.api.call import Call, Problem
from taskyard.api.operation import NO_QUERY, USERS, Example, NoQuery, Operation
from taskyard.api.problems import JOB_NOT_FOUND
from taskyard.api.tasks import query_of
from taskyard.host.bulk import DEFAULT_STATUSES, PAGE, Job
from taskyard.wire.base import Answer
from taskyard.wire.bulk import BulkAnswer, BulkFilter, BulkJob, BulkRequest
from taskyard.wire.reader import Invalid, Reader

REQUEST = Reader(BulkRequest)


async def _change(call: Call, body: BulkRequest, action: str) -> Answer:
    ways = [way for way in (body.ids, body.filter, body.group, body.all) if way is not None]
    if len(ways) != 1:
        raise Invalid("send either ids, filter or group, or all: true" + (", not several" if ways else ""))
    if body.all is False:
        raise Invalid("all must be true, or absent")
    if body.filter is not None and body.filter == BulkFilter():
        raise Invalid("filter is empty, which would be every task: name a member, or send all: true in its place")
    now = call.node.now()
    job = Job(
        id=f"bulk_{secrets.token_hex(16)}",
        action=action,
        who=call.who.sub,
        owner=call.owner,
        dry_run=bool(body.dry_run),
        created_at=now,
        updated_at=now,
    )
    if body.ids is not None:
        job.ids = list(dict.fromkeys(body.ids))
        job.told = f"{len(job.ids)} ids"
    else:
        if body.group is not None:
            job.told = f"group {body.group}"
        else:
            job.told = "all" if body.filter is None else f"filter {_words(body.filter)}"
        wanted = body.filter or BulkFilter(failure_group=body.group)
        if wanted.status is None:
            wanted.status = [status.name for status in DEFAULT_STATUSES[action]]
        job.query = query_of(call, wanted, before=None, limit=PAGE)
    await call.bulk.start(job)
    return BulkAnswer(
        matched=job.matched,
        changed=job.changed,
        skipped=job.skipped,
        by_status=dict(job.by_status),
        dry_run=job.dry_run,
        bulk_id=None if job.state == "done" else job.id,
    )


def _words(filter_: BulkFilter) -> str:
    given = {name: value for name, value in msgspec.to_builtins(filter_).items() if value is not None}
    return msgspec.json.encode(given).decode()


async def retry_many(call: Call, body: BulkRequest) -> Answer:
    """POST /api/tasks/retry"""
    return await _change(call, body, "retry")


async def cancel_many(call: Call, body: BulkRequest) -> Answer:
    """POST /api/tasks/cancel"""
    return await _change(call, body, "cancel")


def _shown(job: Job) -> BulkJob:
    return BulkJob(
        matched=job.matched,
        changed=job.changed,
        skipped=job.skipped,
        by_status=dict(job.by_status),
        dry_run=job.dry_run,
        bulk_id=job.id,
        action=job.action,
        state=job.state,
        error=job.error,
        created_at=job.created_at,
        updated_at=job.updated_at,
    )


def _job(call: Call) -> Job:
    job = call.bulk.get(call.args[0], call.owner)
    if job is None:
        raise Problem(
            JOB_NOT_FOUND, "Bulk job not found: it ended more than an hour ago, with the node, or is not yours."
        )
    return job


async def show(call: Call, _: NoQuery) -> Answer:
    """GET /api/bulk/{id}"""
    return _shown(_job(call))


async def stop(call: Call, _: NoQuery) -> Answer:
    """DELETE /api/bulk/{id}"""
    job = _job(call)
    await call.bulk.stop(job)
    return _shown(job)


_NOTE = (
    "By `ids`, by `filter`, whose members are those of the list, by `group`, a group of failures, or with `all: true` "
    "whatever the caller may change. Without a `status` in the filter, {states} tasks are meant. A filter that is "
    "empty, or has a member that the list has not, is refused: it would change far more than was meant. "
    "At most 500 tasks are changed before the answer; with more, `bulkId` names the job that goes on."
)
_EXAMPLES = (
    Example("By filter", {"filter": {"type": "ocr", "from": 1_700_000_000_000}}),
    Example("Only count", {"filter": {"tag": "night"}, "dryRun": True}),
    Example("A group of failures", {"group": "fail_0123456789abcdef0123"}),
)
_NO_JOB = {404: "There is no such job."}
OPERATIONS = (
    Operation(
        method="POST",
        path="/api/tasks/retry",
        tag="Tasks",
        summary="Retry many tasks",
        description=_NOTE.format(states="FAILED, TIMEOUT and CANCELLED"),
        handler=retry_many,
        takes=REQUEST,
        answers=(BulkAnswer,),
        roles=USERS,
        examples=_EXAMPLES,
    ),
    Operation(
        method="POST",
        path="/api/tasks/cancel",
        tag="Tasks",
        summary="Cancel many tasks",
        description=_NOTE.format(states="PENDING and PROCESSING"),
        handler=cancel_many,
        takes=REQUEST,
        answers=(BulkAnswer,),
        roles=USERS,
        examples=_EXAMPLES,
    ),
    Operation(
        method="GET",
        path="/api/bulk/{id}",
        tag="Tasks",
        summary="Show a bulk job",
        description="Jobs are kept for an hour after their end.",
        handler=show,
        takes=NO_QUERY,
        answers=(BulkJob,),
        roles=USERS,
        errors=_NO_JOB,
    ),
    Operation(
        method="DELETE",
        path="/api/bulk/{id}",
        tag="Tasks",
        summary="Stop a bulk job",
        description="What it has changed stays changed.",
        handler=stop,
        takes=NO_QUERY,
        answers=(BulkJob,),
        roles=USERS,
        errors=_NO_JOB,
    ),
)
