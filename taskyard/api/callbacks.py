"""What backends report of their attempts, by the proof in a callback URL or a service token; and verdicts by hand."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from msgspec import Raw, UnsetType
from msgspec.json import decode as parse

from taskyard.api.call import Call, Problem, granted
from taskyard.api.operation import Example, Operation, any_node, backends_word
from taskyard.api.problems import FORBIDDEN, UNAUTHORIZED
from taskyard.api.tasks import task_id_of
from taskyard.domain.outcomes import VERDICTS, Effect, Outcome, Word
from taskyard.engine import facts
from taskyard.engine.plan import Result, TaskDone
from taskyard.host.errors import Overloaded
from taskyard.wire.base import METADATA_BYTES, Answer, present
from taskyard.wire.reader import Invalid, Reader
from taskyard.wire.tasks import CallbackRecorded, TaskUpdate, TaskUpdated
from taskyard.wire.texts import kept, kept_object

UPDATE = Reader(TaskUpdate)
TEXT_BYTES = 4096
CODE_BYTES = 256
RETRY_AFTER_MS = 1000
_ATTEMPT = re.compile(r"([1-9][0-9]{0,9})-([A-Za-z0-9_-]{16,128})", re.ASCII)


def _cut(text: str, most: int) -> str:
    """At most so many bytes of UTF-8, and no NUL."""
    clean = text.replace("\0", "\ufffd")
    if len(clean) * 4 <= most:
        return clean
    return clean.encode("utf-8", "replace")[:most].decode("utf-8", "ignore")


def _text(value: Raw | UnsetType, name: str, most: int) -> str | None:
    """A member as text: a string as it is, any other value as its JSON."""
    data = present(value)
    if data is None:
        return None
    try:
        text = kept(data)
    except ValueError as error:
        raise Invalid(f"{name} {error}") from None
    if text[:1] == '"':
        text = parse(data, type=str)
    return _cut(text, most)


class _Said:
    """The members of a body as facts have them."""

    def __init__(self, call: Call, body: TaskUpdate) -> None:
        self.word = Word[body.status.upper()]
        self.result: str | None = None
        given = present(body.result)
        if self.word is Word.COMPLETED:
            try:
                self.result = "null" if given is None else kept(given)
            except ValueError as error:
                raise Invalid(f"result {error}") from None
        elif given is not None:
            call.warnings.append(f"result is ignored with status {self.word}")
        self.progress = None if body.progress is None else int(min(100.0, max(0.0, body.progress)))
        self.message = None if body.message is None else _cut(body.message, TEXT_BYTES)
        self.error = _text(body.error, "error", TEXT_BYTES)
        self.error_code = _text(body.code, "code", CODE_BYTES)
        self.error_details = _details(body.details)
        self.metadata = _metadata(call, body.metadata)

    def members(self) -> dict[str, Any]:
        return {
            "word": self.word,
            "result": self.result,
            "message": self.message,
            "error": self.error,
            "error_code": self.error_code,
            "error_details": self.error_details,
            "metadata": self.metadata,
        }


def _details(value: Raw | UnsetType) -> str | None:
    data = present(value)
    if data is None:
        return None
    try:
        return kept(data)
    except ValueError as error:
        raise Invalid(f"details {error}") from None


def _metadata(call: Call, value: Raw | UnsetType) -> str | None:
    data = present(value)
    if data is None:
        return None
    try:
        return kept_object(data, METADATA_BYTES)
    except ValueError as error:
        call.warnings.append(f"metadata {error} and was dropped")
        return None


async def _attempt(call: Call) -> tuple[int, str]:
    """The attempt that a callback path proves, and its server. Raises `Problem` (401)."""
    task_id = task_id_of(call)
    match = _ATTEMPT.fullmatch(call.args[1])
    if match is not None:
        attempt = int(match[1])
        server_id = await call.node.callback_server(task_id, attempt)
        if server_id is not None and call.node.proof_is_good(task_id, attempt, server_id, match[2]):
            return attempt, server_id
    raise Problem(UNAUTHORIZED, "the proof in the callback path is wrong: use callback_url exactly as it was sent")


async def prove(call: Call) -> None:
    """Before a callback's body is read."""
    await _attempt(call)


async def too_large(call: Call) -> None:
    """A callback over the limit: the task itself is wrong, as with an answer over the limit."""
    attempt, _ = await _attempt(call)
    most = call.node.settings.result_max_bytes
    await call.node.ask(
        facts.Ended(
            task_id=task_id_of(call),
            attempt=attempt,
            outcome=Outcome.FAILED,
            final=True,
            effect=Effect.NONE,
            error=f"the callback was larger than {most} bytes (RESULT_MAX_BYTES)",
        )
    )


async def _decide(call: Call, fact: facts.CalledBack) -> Answer:
    decided = call.node.call_back(fact, call.trace_context())
    try:
        async with asyncio.timeout(call.node.settings.callback_wait / 1000):
            result = await asyncio.shield(decided)
    except TimeoutError:
        if call.node.is_stored(decided):
            call.status = 202
            return CallbackRecorded(status="recorded")
        # On one node a callback is stored by the turn that decides it: until then nothing may be promised.
        size, call.raw = len(call.raw), b""

        def let_go(late: asyncio.Future[Result]) -> None:
            late.exception()  # nobody waits for it any more
            call.node.release(size)

        decided.add_done_callback(let_go)
        raise Overloaded("the callback is not stored yet; sending it again does no harm", RETRY_AFTER_MS) from None
    return _updated(granted(result, TaskDone))


def _updated(done: TaskDone) -> TaskUpdated:
    return TaskUpdated(id=done.task_id, status=done.status.name, updated_at=done.updated_at)


async def call_back(call: Call, body: TaskUpdate) -> Answer:
    """PUT, POST /api/task/{id}/callback/{attempt}-{proof}"""
    said = _Said(call, body)
    attempt = int(call.args[1].partition("-")[0])  # proved before the body was read
    fact = facts.CalledBack(task_id=call.args[0], attempt=attempt, progress=said.progress, **said.members())
    return await _decide(call, fact)


async def update(call: Call, body: TaskUpdate) -> Answer:
    """PUT /api/task/{id}"""
    task_id = task_id_of(call)
    said = _Said(call, body)
    if "service" in call.who.roles:
        fact = facts.CalledBack(task_id=task_id, attempt=None, progress=said.progress, **said.members())
        return await _decide(call, fact)
    if said.word not in VERDICTS:
        allowed = ", ".join(VERDICTS)
        raise Problem(
            FORBIDDEN,
            f"status {said.word} is a backend's word and needs the role service; a verdict is one of {allowed}",
        )
    judged = facts.Judged(task_id=task_id, owner=call.owner, who=call.who.sub, **said.members())
    return _updated(await call.ask(judged, TaskDone))


_EXAMPLES = (
    Example("Done", {"status": "COMPLETED", "result": {"text": "Hello"}}),
    Example("Half done", {"status": "PROCESSING", "progress": 50, "message": "page 3 of 6"}),
    Example("Failed", {"status": "FAILED", "error": "out of memory", "code": "OOM"}),
)
_ERRORS = {
    404: "There is no such task.",
    409: "The attempt is over, or the task has ended otherwise; names the status.",
}
OPERATIONS = (
    Operation(
        method="PUT",
        path="/api/task/{id}",
        tag="Tasks",
        summary="Report on an attempt, or end a task by hand",
        description=(
            "With a token that has the role `service`: speaks of the latest attempt, as a callback does. Otherwise it "
            "is the owner's or an admin's verdict: COMPLETED, FAILED, TIMEOUT or CANCELLED ends the task at once, "
            "whatever its attempt does."
        ),
        handler=update,
        takes=UPDATE,
        answers=(TaskUpdated, CallbackRecorded),
        results=True,
        errors=_ERRORS,
        examples=_EXAMPLES,
        anywhere=backends_word,
    ),
    Operation(
        method="PUT",
        also=("POST",),
        path="/api/task/{id}/callback/{attempt}-{proof}",
        tag="Tasks",
        summary="Report on an attempt by its callback URL",
        description=(
            "The proof in the path is all that is needed; Authorization, X-Server-ID and Content-Type are ignored. "
            "COMPLETED and FAILED end the attempt, TIMEOUT ends it as `timeout`, CANCELLED and PENDING hand the task "
            "back, PROCESSING reports progress. The answer comes when the callback is decided; after 2 s without that "
            "202 `recorded` when it is stored, else 503, and sending it again does no harm."
        ),
        handler=call_back,
        takes=UPDATE,
        answers=(TaskUpdated, CallbackRecorded),
        roles=None,
        before=prove,
        too_large=too_large,
        results=True,
        errors={401: "The proof is wrong.", **_ERRORS},
        examples=_EXAMPLES,
        anywhere=any_node,
    ),
)
