"""Taking tasks in: from a checked body to the fact that submits it, one at a time or in batches."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence

import msgspec

from taskyard.api.call import Call, Problem, granted
from taskyard.api.operation import USERS, Example, Operation, any_with_room
from taskyard.api.problems import BAD_REQUEST, TASK_NOT_FOUND, of_overload, of_refusal
from taskyard.api.views import read_task, task_shown
from taskyard.api.waiting import WAITING
from taskyard.domain.outcomes import Status
from taskyard.domain.task import Spec
from taskyard.engine import facts
from taskyard.engine.plan import Refusal, Result, SubmitDone
from taskyard.engine.states import ended_record
from taskyard.host.errors import Overloaded
from taskyard.settings import TypeDefaults
from taskyard.store.port import Store, WholeTask
from taskyard.wire.base import METADATA_BYTES, Answer, Refused, present
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.tasks import Batch, BatchAnswer, Submission, Submitted, Task
from taskyard.wire.texts import digest, kept_object

SUBMISSION = Reader(Submission)
BATCH = Reader(Batch)
# A submission that has been through so many yards goes in circles.
HOPS_MOST = 5
_KEY_MOST = 128
_PENDING = Status.PENDING.name
_NO_DEFAULTS = TypeDefaults()


def _hops(call: Call) -> int:
    text = call.header(b"x-taskyard-hops")
    if text is None:
        return 0
    if not re.fullmatch(r"[0-9]{1,3}", text, re.ASCII):
        raise Invalid("X-Taskyard-Hops must be a number")
    hops = int(text)
    if hops > HOPS_MOST:
        raise Invalid(f"X-Taskyard-Hops is {hops}, more than {HOPS_MOST}: the task goes round in circles between yards")
    return hops


def _key(call: Call, member: str | None) -> str | None:
    given = call.request_headers.get(b"idempotency-key")
    if given is None:
        return member
    try:
        header = given.decode().strip(" \t")
    except UnicodeDecodeError:  # what headers were written in before
        header = given.decode("latin-1").strip(" \t")
    if not 0 < len(header) <= _KEY_MOST:
        raise Invalid(f"the header Idempotency-Key must have 1-{_KEY_MOST} characters")
    if member is not None and member != header:
        raise Invalid("idempotencyKey and the header Idempotency-Key differ: send one of them")
    return header


def fact_of(call: Call, body: Submission, raw: bytes, key: str | None, hops: int) -> facts.Submitted:
    """The fact that submits a task, all defaults applied. `raw` is what the body was read from. Raises `Invalid`."""
    node = call.node
    settings = node.settings
    now = node.now()
    try:
        payload = kept_object(body.payload)
    except ValueError as error:
        raise Invalid(f"payload {error}") from None
    run_at = body.run_at
    if body.delay is not None:
        if run_at is not None:
            raise Invalid("runAt and delay are both given: send one of them")
        run_at = now + body.delay
    if run_at is not None and run_at <= now:
        run_at = None
    metadata = present(body.metadata)
    stored_metadata: str | None = None
    if metadata is not None:
        try:
            stored_metadata = kept_object(metadata, METADATA_BYTES)
        except ValueError as error:
            raise Invalid(f"metadata {error}") from None
    types = settings.types
    default = types.get(body.type, _NO_DEFAULTS) if types else _NO_DEFAULTS
    backoff = body.retry_backoff
    base = cap = None
    if backoff is not None:
        base, cap = backoff.base, backoff.cap
    if default.retry_backoff is not None:
        base = default.retry_backoff.base if base is None else base
        cap = default.retry_backoff.cap if cap is None else cap
    capabilities: Sequence[str] = body.capabilities if body.capabilities is not None else default.capabilities or ()
    spec = Spec(
        id=node.new_task_id(now),
        owner=call.who.sub,
        type=body.type,
        created_at=now,
        priority=_first(body.priority, default.priority, 0),
        capabilities=tuple(dict.fromkeys(capabilities)) if capabilities else (),
        group=body.group if body.group is not None else default.group or "",
        pin=body.server_id or "",
        run_async=body.is_async is not False,
        run_at=run_at,
        timeout_ms=_first(body.timeout, default.timeout, settings.task_timeout),
        ttl_ms=body.ttl if body.ttl is not None else default.ttl,
        queue_timeout_ms=body.queue_timeout if body.queue_timeout is not None else default.queue_timeout,
        heartbeat_timeout_ms=(
            body.heartbeat_timeout if body.heartbeat_timeout is not None else default.heartbeat_timeout
        ),
        max_retries=_first(body.max_retries, default.max_retries, settings.max_retries),
        backoff_base_ms=settings.retry_base if base is None else base,
        backoff_cap_ms=settings.retry_cap if cap is None else cap,
        tags=tuple(dict.fromkeys(body.tags)) if body.tags else (),
        metadata=stored_metadata,
        resubmit_of=body.resubmit_of,
        hops=hops,
        traceparent=call.trace_context(),
    )
    key_hash = ""
    if key is not None:
        try:
            key_hash = digest(raw, "idempotencyKey")
        except (msgspec.DecodeError, RecursionError):
            raise Invalid("the body is nested too deeply to be compared under an idempotency key") from None
    return facts.Submitted(spec=spec, payload=payload, key=key, key_hash=key_hash)


def _first(given: int | None, of_type: int | None, default: int) -> int:
    return given if given is not None else of_type if of_type is not None else default


def _repeats(store: Store, ids: Sequence[str], owner: str | None) -> set[str]:
    return {task_id for task_id in ids if store.task(task_id, owner) is not None}


async def _check_resubmit(call: Call, body: Submission) -> None:
    repeated = body.resubmit_of
    if repeated is not None:
        owner = call.owner
        if not await call.node.read(lambda store: _repeats(store, [repeated], owner)):
            raise _no_original(repeated)


def _no_original(task_id: str) -> Problem:
    return Problem(TASK_NOT_FOUND, f"resubmitOf: task {task_id[:64]!r} not found; send the id of a task of yours")


def _submitted(task_id: str, created_at: int) -> Submitted:
    return Submitted(id=task_id, status=_PENDING, created_at=created_at, updated_at=created_at)


async def submit(call: Call, body: Submission) -> Answer:
    """POST /api/task"""
    if body.resubmit_of is not None:
        await _check_resubmit(call, body)
    headers = call.request_headers
    hops = _hops(call) if b"x-taskyard-hops" in headers else 0
    fact = fact_of(call, body, call.raw, _key(call, body.idempotency_key), hops)
    if body.is_async is False and call.request.waits:
        wait = body.wait
        del body
        return await _submit_and_wait(call, fact, wait)
    done = await call.node.ask(fact)
    if type(done) is not SubmitDone:
        done = granted(done, SubmitDone)
    if done.replayed:
        call.headers.append((b"idempotent-replayed", b"true"))
    return _submitted(done.task_id, done.created_at)


async def _submit_and_wait(call: Call, fact: facts.Submitted, wait: int | None) -> Answer:
    node = call.node
    most = node.settings.sync_wait_max
    wait = most if wait is None else min(wait, most)
    subject = call.who.sub
    WAITING.enter(subject, node.settings.waiting_calls_per_sub)
    # The watch stands before the task does, so that no end can slip through between the two.
    watch = asyncio.ensure_future(node.wait_ended(fact.spec.id, wait))
    try:
        done = await call.ask(fact, SubmitDone)
        fact.payload = ""
        call.let_go()
        if done.replayed:
            call.headers.append((b"idempotent-replayed", b"true"))
            watch.cancel()
            watch = asyncio.ensure_future(node.wait_ended(done.task_id, wait))
            shown = await node.read(lambda store: read_task(store, done.task_id, subject))
            if shown is not None and shown[1].ended:
                return shown[0]
        end = await call.watch(watch)
    finally:
        watch.cancel()
        WAITING.leave(subject)
    if end is not None and end.row.ended_by == 1 and end.row.status == Status.COMPLETED and not done.replayed:
        # The usual end: all there is to show is at hand.
        return task_shown(WholeTask(ended_record(fact.spec, end.row), [], end.result, None, None))[0]
    shown = await node.read(lambda store: read_task(store, done.task_id, subject))
    if shown is None:  # it ended, and retention has removed it meanwhile
        return _submitted(done.task_id, done.created_at)
    return shown[0]


async def submit_many(call: Call, body: Batch) -> Answer:
    """POST /api/tasks"""
    if call.header(b"idempotency-key") is not None:
        raise Invalid("the header Idempotency-Key cannot stand for many tasks: give each its idempotencyKey")
    hops = _hops(call)
    items: list[facts.Submitted | Problem] = []
    bodies: list[Submission | None] = []
    for index, raw in enumerate(body.tasks):
        found: list[str] = []
        try:
            data = bytes(raw)
            read = SUBMISSION.read(data, found, strict=call.strict)
            if read.is_async is False:
                raise Invalid("async: false cannot stand in a batch: submit it by POST /api/task")
            items.append(fact_of(call, read, data, read.idempotency_key, hops))
            bodies.append(read)
        except Invalid as error:
            items.append(Problem(BAD_REQUEST, f"tasks[{index}]: {error}"))
            bodies.append(None)
        call.warnings += [f"tasks[{index}]: {warning}" for warning in found]
    await _check_many(call, bodies, items)
    results = iter(await call.node.ask_many([item for item in items if isinstance(item, facts.Submitted)]))
    return BatchAnswer(
        results=[
            item.shown(call.request_id) if isinstance(item, Problem) else _one_of_many(next(results), call.request_id)
            for item in items
        ]
    )


async def _check_many(call: Call, bodies: Sequence[Submission | None], items: list[facts.Submitted | Problem]) -> None:
    ids = [body.resubmit_of for body in bodies if body is not None and body.resubmit_of is not None]
    if not ids:
        return
    owner = call.owner
    known = await call.node.read(lambda store: _repeats(store, ids, owner))
    for index, body in enumerate(bodies):
        if body is not None and body.resubmit_of is not None and body.resubmit_of not in known:
            items[index] = _no_original(body.resubmit_of)


def _one_of_many(result: Result | Overloaded, request_id: str) -> Submitted | Refused:
    if isinstance(result, Overloaded):
        return of_overload(result).shown(request_id)
    if isinstance(result, Refusal):
        return of_refusal(result).shown(request_id)
    done = granted(result, SubmitDone)
    return _submitted(done.task_id, done.created_at)


_ERRORS = {
    404: "There is no task `resubmitOf`.",
    422: "The idempotency key was used for another body.",
    429: "Your queue, or the number of different requirements, is full; or too many of your calls wait.",
}
OPERATIONS = (
    Operation(
        method="POST",
        path="/api/task",
        tag="Tasks",
        summary="Submit a task",
        description=(
            "Stores the task durably and answers `PENDING`; a task that no server can take now waits until one can. "
            "With `async: false` the answer comes when the task has ended, or after `wait` ms, and is the whole task. "
            "The same idempotency key with the same body answers the first task, with `Idempotent-Replayed: true`."
        ),
        handler=submit,
        takes=SUBMISSION,
        answers=(Submitted, Task),
        roles=USERS,
        errors=_ERRORS,
        examples=(
            Example(
                "A chat completion",
                {
                    "type": "chat-completion",
                    "payload": {"model": "small", "messages": [{"role": "user", "content": "Hello"}]},
                    "capabilities": ["chat"],
                },
            ),
            Example(
                "Urgent, retried twice, waited for",
                {"type": "ocr", "payload": {"page": 1}, "priority": 9, "maxRetries": 2, "async": False, "wait": 2000},
            ),
        ),
        anywhere=any_with_room,
        waits=True,
    ),
    Operation(
        method="POST",
        path="/api/tasks",
        tag="Tasks",
        summary="Submit many tasks",
        description="Each of the 1-1000 submissions is taken or refused by itself; the results are in order.",
        handler=submit_many,
        takes=BATCH,
        answers=(BatchAnswer,),
        roles=USERS,
        examples=(Example("Two", {"tasks": [{"type": "ocr", "payload": {"page": n}} for n in (1, 2)]}),),
        anywhere=any_with_room,
    ),
)
