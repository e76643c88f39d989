"""The application: from a request to its operation and back.

The order: path and method, preflight, token and role, proof, body, members, handler. Whatever goes wrong on the way is
a `Problem`, translated here; what nobody foresaw is logged and answered by the request's id alone.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from urllib.parse import parse_qsl

import msgspec
import structlog

from taskyard.api import (
    assets,
    backup,
    bulk,
    callbacks,
    events,
    facets,
    failures,
    forward,
    history,
    house,
    meta,
    nodes,
    openapi,
    overview,
    registration,
    servers,
    session,
    sign_ins,
    statistics,
    submission,
    tasks,
    why,
)
from taskyard.api.body import BodyTooLarge, check_encoding, read_body
from taskyard.api.call import NOBODY, Call, Reply
from taskyard.api.cors import Cors
from taskyard.api.live import exchange, neighbours
from taskyard.api.live.hub import Hub
from taskyard.api.operation import Operation
from taskyard.api.origin import check_change
from taskyard.api.pages import Pages
from taskyard.api.peer import Proxies
from taskyard.api.problems import (
    BAD_REQUEST,
    BROKEN,
    FORBIDDEN,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    UNAUTHORIZED,
    Header,
    Problem,
    of_overload,
)
from taskyard.api.request import HungUp, Request, Response
from taskyard.api.router import Router, allowed
from taskyard.api.sign_ins import SignIns
from taskyard.host.bulk import BulkJobs
from taskyard.host.errors import Overloaded
from taskyard.host.port import NodePort
from taskyard.tokens import BadToken, NoRole, Principal, Verifier
from taskyard.web.cookies import session_of
from taskyard.wire.base import Answer
from taskyard.wire.reader import Invalid

log = structlog.get_logger("taskyard.api")

_JSON = b"application/json"
_JSON_HEAD = (
    b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: %b\r\n"
    b"x-content-type-options: nosniff\r\ncache-control: no-store\r\n"
)
_OTHER_HEAD = b"content-type: %b\r\ncontent-length: %d\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"
_STREAM_HEAD = (
    b"content-type: %b\r\nx-request-id: %b\r\nx-content-type-options: nosniff\r\n"
    b"cache-control: no-store\r\nx-accel-buffering: no\r\n"
)
_EMPTY_HEAD = b"x-request-id: %b\r\nx-content-type-options: nosniff\r\n"
_CHALLENGE: tuple[Header, ...] = ((b"www-authenticate", b'Bearer realm="taskyard"'),)
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_STRICT = re.compile(rb"(?:^|[,;])\s*handling\s*=\s*\"?strict\"?\s*(?:$|[,;])", re.IGNORECASE)

TABLE: tuple[Operation, ...] = (
    *submission.OPERATIONS,
    *tasks.OPERATIONS,
    *callbacks.OPERATIONS,
    *bulk.OPERATIONS,
    *registration.OPERATIONS,
    *servers.OPERATIONS,
    *statistics.OPERATIONS,
    *why.OPERATIONS,
    *events.OPERATIONS,
    *overview.OPERATIONS,
    *failures.OPERATIONS,
    *facets.OPERATIONS,
    *history.OPERATIONS,
    *house.OPERATIONS,
    *backup.OPERATIONS,
    *nodes.OPERATIONS,
)


class App:
    """The API of one node."""

    def __init__(self, node: NodePort, bulk_jobs: BulkJobs, live: Hub) -> None:
        settings = node.settings
        self.node = node
        self.bulk = bulk_jobs
        self.live = live
        self._verifier = Verifier(
            [secret.reveal() for secret in settings.jwt_secret],
            [secret.reveal() for secret in settings.service_jwt_secret],
            time.time if settings.database is None else lambda: node.now() / 1000,
        )
        self._pages = Pages(self._verifier)
        self.sign_ins = SignIns(node)
        self._cors = Cors(settings.cors_origins, local=settings.dev)
        self._body_most = settings.body_max_bytes
        self._held_most = node.settings.held_bytes
        self._budget_wait = settings.budget_wait
        self._result_most = settings.result_max_bytes
        proxies = Proxies(settings.trusted_proxies)
        # What nodes say to each other.
        self._internal: dict[str, Callable[[Call], Awaitable[Reply]]] = {
            forward.PATH: partial(forward.answer, application=self),
            exchange.PATH: neighbours.answer,
            sign_ins.PATH: sign_ins.answer,
        }
        table = [
            *TABLE,
            *meta.operations(proxies, lambda: self._document, self._pages),
            *session.operations(self._verifier, self.sign_ins, proxies),
            *self._pages.operations(),
            *assets.operations(),
        ]
        self._document = msgspec.json.encode(openapi.document(table, meta.VERSION))
        self._router = Router(table)
        self._encode = msgspec.json.Encoder().encode
        self._id_start = secrets.token_hex(6) + "-"
        self._ids = count(1)

    async def __call__(self, request: Request) -> Response | None:
        """The answer to a request; `None` when its client is gone. Raises nothing for what a client can do."""
        headers = request.headers
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            request_id = given.decode()
        else:
            request_id = f"{self._id_start}{next(self._ids):x}"
        out = self._cors.headers(headers[b"origin"]) if b"origin" in headers else []
        try:
            reply = await self._answer(request, request_id, out)
        except HungUp:
            return None
        except Problem as problem:
            reply = Reply(problem.body(request_id), status=problem.kind.code, headers=problem.headers)
        except Invalid as invalid:
            reply = _of(Problem(BAD_REQUEST, str(invalid)), request_id)
        except Overloaded as overload:
            reply = _of(of_overload(overload), request_id)
        except Exception:
            found = self._router.find(request.path)
            operation = found and found[0].get(request.method)
            # The path itself may hold a proof.
            log.exception(
                "request failed", request=request_id, method=request.method, call=operation and operation.path
            )
            reply = _of(Problem(BROKEN), request_id)
        return _response(reply, request_id, out)

    async def _answer(self, request: Request, request_id: str, out: list[Header]) -> Reply:
        method = request.method
        headers = request.headers
        found = self._router.find(request.path)
        if found is None:
            if method == "POST" and (answer := self._internal.get(request.path)) is not None:
                return await answer(self._nobodys(request, request_id, out))
            if not request.path.startswith("/api/") and b"text/html" in headers.get(b"accept", b""):
                return self._lost(request, request_id, out)
            raise Problem(NOT_FOUND, "There is no such path; GET /docs shows those there are.")
        methods, args = found
        operation = methods.get(method)
        if operation is None:
            operation = methods.get("GET") if method == "HEAD" else None
            if operation is None:
                allow = allowed(methods)
                if method == "OPTIONS":
                    if b"access-control-request-method" in headers:
                        out += self._cors.preflight(headers.get(b"origin"), allow)
                    return Reply(b"", b"", 204, ((b"allow", allow.encode()),))
                raise Problem(METHOD_NOT_ALLOWED, f"use {allow}", headers=((b"allow", allow.encode()),))
        who = self._who(request, operation)
        prefer = headers.get(b"prefer")
        call = Call(
            self.node,
            self.bulk,
            self.live,
            who,
            args,
            headers,
            request,
            request_id,
            prefer is not None and _STRICT.search(prefer) is not None,
            b"",
            [],
            out,
        )
        decider = self.node.decider
        if decider is not None and not (operation.anywhere(decider, who) or operation.is_the_nodes):
            return await forward.forward(call, decider, operation)
        if operation.has_body:
            return await self._with_body(operation, call)
        given = dict(parse_qsl(request.query.decode("utf-8", "replace"), keep_blank_values=True))
        query = operation.takes.query(given, call.warnings, strict=call.strict)
        return self._reply(call, await operation.handler(call, query))

    async def _with_body(self, operation: Operation, call: Call) -> Reply:
        check_encoding(call.request_headers)
        if operation.before is not None:
            await operation.before(call)
        limit = self._result_most if operation.results else self._body_most
        try:
            # Callbacks are not shed: so many bytes are here in any case, and their sender has proved who it is.
            first = 0 if operation.before is None else self._held_most
            call.raw = await read_body(call.request, limit, self.node, self._budget_wait, first)
        except BodyTooLarge:
            if operation.too_large is not None:
                await operation.too_large(call)
            raise
        try:
            takes = operation.takes
            raw = call.raw if call.raw or not takes.optional else b"{}"
            # No name for the body here, nor for its bytes: a call that waits for long may let go of them.
            reply = operation.handler(call, takes.read(raw, call.warnings, strict=call.strict))
            del raw
            return self._reply(call, await reply)
        finally:
            self.node.release(len(call.raw))

    def _who(self, request: Request, operation: Operation) -> Principal:
        """Who calls, by a Bearer token or by the cookie of a session. Raises `Problem` (401, 403, 415)."""
        roles, headers = operation.roles, request.headers
        authorization = headers.get(b"authorization")
        cookie = headers.get(b"cookie") if authorization is None else None
        if roles is None and (operation.path != "/metrics" or (authorization is None and cookie is None)):
            return NOBODY
        if authorization is not None:
            scheme, _, token = authorization.decode("latin-1").partition(" ")
            if scheme.lower() != "bearer":
                raise _unauthorized("the header Authorization must be: Bearer <token>")
        else:
            token = session_of(cookie, secure_only=self.node.settings.secure_sessions) or ""
            if not token:
                if roles is None:
                    return NOBODY
                raise _unauthorized("send the header Authorization: Bearer <token>; `taskyard token` makes one")
            if request.method not in _SAFE:
                check_change(headers, self.node.settings.public_base())
        try:
            who = self._verifier.verify(token.strip())
        except BadToken as bad:
            raise _unauthorized(f"{bad}; get a new token") from None
        except NoRole as none:
            raise Problem(FORBIDDEN, f"{none}; ask for one that has") from None
        if roles is not None and roles.isdisjoint(who.roles):
            raise Problem(FORBIDDEN, _who_may(roles, who.roles))
        return who

    def _lost(self, request: Request, request_id: str, out: list[Header]) -> Reply:
        """A path that is none, for a browser: the dashboard says so."""
        return self._pages.show(self._nobodys(request, request_id, out), 404)

    def _nobodys(self, request: Request, request_id: str, out: list[Header]) -> Call:
        """The call of a request that no operation answers."""
        return Call(
            self.node, self.bulk, self.live, NOBODY, (), request.headers, request, request_id, False, b"", [], out
        )

    def _reply(self, call: Call, answer: Answer | Reply) -> Reply:
        if isinstance(answer, Reply):
            return answer
        if call.warnings:
            answer.warnings = call.warnings
        return Reply(self._encode(answer), status=call.status)


def _who_may(roles: frozenset[str], mine: frozenset[str]) -> str:
    others = " and ".join(sorted(roles - {"admin"}))
    also = f", and the role {others} too" if others else ""
    return f"the role admin may make this call{also}; the token has only {', '.join(sorted(mine))}"


def _unauthorized(details: str) -> Problem:
    return Problem(UNAUTHORIZED, details, headers=_CHALLENGE)


def _of(problem: Problem, request_id: str) -> Reply:
    return Reply(problem.body(request_id), status=problem.kind.code, headers=problem.headers)


def _response(reply: Reply, request_id: str, out: list[Header]) -> Response:
    content, body, name = reply.content_type, reply.body, request_id.encode()
    if reply.status in (101, 204, 304):
        head = _EMPTY_HEAD % name
    elif content == _JSON:
        head = _JSON_HEAD % (len(body), name)
    elif reply.stream is not None:
        head = _STREAM_HEAD % (content, name)
    else:
        head = _OTHER_HEAD % (content, len(body), name)
    if reply.headers or out:
        head += b"".join([b"%b: %b\r\n" % header for header in (*reply.headers, *out)])
    return Response(reply.status, head, body, reply.stream)
