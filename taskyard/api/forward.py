"""Calls that only the deciding node can answer, passed on to it from another node, and such calls answered.

The call travels whole, with its own token: the decider judges who calls as if it had come there. Both nodes prove that
they belong to one yard by a token that is derived from the secret key. No call is passed on twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import msgspec

from taskyard.api.body import read_body
from taskyard.api.call import Call, Reply
from taskyard.api.forwarded_wait import wait_of, waited
from taskyard.api.internal import read_said, say
from taskyard.api.operation import Operation
from taskyard.api.problems import Header
from taskyard.api.request import Request, Response
from taskyard.host.errors import Unavailable
from taskyard.host.port import Decider
from taskyard.web.cookies import session_of

PATH: Final = "/internal/call"
# Beside the longest wait that a call may ask for.
LIMIT_MS: Final = 15_000
RETRY_AFTER_MS: Final = 1_000
# What a call has beside its body.
HEAD_MOST: Final = 128 * 1024
_NOT_PASSED: Final = frozenset(
    {b"connection", b"content-length", b"transfer-encoding", b"cookie", b"expect", b"host", b"upgrade"}
)
# Each node says these for itself.
_OWN: Final = frozenset(
    {
        b"access-control-allow-credentials",
        b"access-control-allow-origin",
        b"access-control-expose-headers",
        b"cache-control",
        b"content-length",
        b"content-type",
        b"vary",
        b"x-content-type-options",
        b"x-request-id",
    }
)


class Passed(msgspec.Struct, frozen=True, array_like=True):
    """A call on its way to the decider; without `waits` its own node waits for the end of the task that it submits."""

    method: str
    path: str
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes
    peer: str
    waits: bool = True


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """The decider's answer."""

    status: int
    head: bytes
    body: bytes


_encode = msgspec.msgpack.Encoder().encode
_passed = msgspec.msgpack.Decoder(Passed).decode
_answered = msgspec.msgpack.Decoder(Answered).decode


async def forward(call: Call, decider: Decider, operation: Operation) -> Reply:
    """Have the decider answer. Raises `Unavailable` when there is none, or it does not answer."""
    if decider.url is None:
        raise Unavailable("no node decides now", RETRY_AFTER_MS)
    node, url = call.node, decider.url + PATH
    if operation.has_body:
        limit = node.settings.result_max_bytes if operation.results else node.settings.body_max_bytes
        call.raw = await read_body(call.request, limit, node, node.settings.budget_wait)
    try:
        wait = wait_of(call.raw, node.settings.sync_wait_max) if operation.waits else None
        if wait is None:
            return await _pass_on(call, url, waits=True)
        return await waited(call, wait, partial(_pass_on, call, url, waits=False))
    finally:
        call.let_go()


async def _pass_on(call: Call, url: str, *, waits: bool) -> Reply:
    """The decider's answer to a call whose body is read, which is let go of. Raises `Unavailable`."""
    request, node = call.request, call.node
    try:
        headers = {name: value for name, value in request.headers.items() if name not in _NOT_PASSED}
        headers[b"x-request-id"] = call.request_id.encode()
        cookie, secure_only = request.headers.get(b"cookie"), node.settings.secure_sessions
        if b"authorization" not in headers and (token := session_of(cookie, secure_only=secure_only)):
            # A page's call: that it came from a page of ours was seen here.
            headers[b"authorization"] = b"Bearer " + token.encode()
        passed = Passed(request.method, request.path, request.query, headers, call.raw, request.peer, waits)
        limit_ms = LIMIT_MS + node.settings.sync_wait_max
        answer = _answered(await node.call_decider(url, _encode(passed), limit_ms))
    except msgspec.MsgspecError as error:
        raise Unavailable("the node that decides is of another version", RETRY_AFTER_MS) from error
    finally:
        call.let_go()
    lines = [_split(line) for line in answer.head.split(b"\r\n") if line]
    content = next((value for name, value in lines if name == b"content-type"), b"application/json")
    kept = tuple(header for header in lines if header[0] not in _OWN)
    return Reply(answer.body, content, answer.status, kept)


def _split(line: bytes) -> Header:
    name, _, value = line.partition(b":")
    return name.strip().lower(), value.strip()


async def answer(call: Call, application: Callable[[Request], Awaitable[Response | None]]) -> Reply:
    """POST /internal/call: answer what another node passed on. Raises `Problem`, `Unavailable`."""
    settings = call.node.settings
    passed = await read_said(call, max(settings.body_max_bytes, settings.result_max_bytes) + HEAD_MOST, _passed)
    if call.node.decider is not None:
        raise Unavailable("this node does not decide", RETRY_AFTER_MS)
    inner = Request(passed.method, passed.path, passed.query, passed.headers, passed.peer, lambda: None, lambda: None)
    inner.waits = passed.waits
    if passed.body:
        inner.feed(passed.body)
    inner.finish()
    response = await application(inner)
    if response is None or response.stream is not None:
        raise Unavailable("this call has no answer that can be passed on", RETRY_AFTER_MS)
    return say(_encode(Answered(response.status, response.head, response.body)))
