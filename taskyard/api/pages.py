"""The dashboard over HTTP: its shell on every path that it knows, its files, for ever, under the name of their hash."""

from __future__ import annotations

import hashlib
from importlib.metadata import version

import msgspec

from taskyard.api import session
from taskyard.api.call import Call, Reply
from taskyard.api.operation import NO_QUERY, Handler, NoQuery, Operation
from taskyard.api.problems import Header
from taskyard.tokens import Principal, TokenError, Verifier
from taskyard.web.cookies import LANGUAGE, THEME, cookies, session_of
from taskyard.web.files import File, Files
from taskyard.web.languages import language_of
from taskyard.web.shell import CSP, PATHS, Reader, Shell

VERSION = version("taskyard")
_HTML = b"text/html; charset=utf-8"
PAGE_HEADERS: tuple[Header, ...] = (
    (b"content-security-policy", CSP),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"private, no-cache"),
    (b"vary", b"Cookie, Accept-Language"),
)
_FOR_EVER: tuple[Header, ...] = (
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"vary", b"Accept-Encoding"),
)


class Pages:
    """The dashboard of a node. `verifier` says who is signed in; a page itself needs no token, its calls do."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier
        self._files = Files()
        self._shell = Shell(self._files)

    def show(self, call: Call, status: int = 200) -> Reply:
        """The page at a request's path, made for its reader."""
        given = cookies(call.request_headers.get(b"cookie"))
        who = self._who(call)
        boot = {
            "version": VERSION,
            "hash": self._files.hash,
            "now": call.node.now(),
            "session": None if who is None else msgspec.to_builtins(session.shown(who)),
        }
        reader = Reader(
            language_of(given.get(LANGUAGE), call.header(b"accept-language") or ""), given.get(THEME, ""), boot
        )
        return Reply(self._shell.page(call.request.path, reader), _HTML, status, PAGE_HEADERS)

    def _who(self, call: Call) -> Principal | None:
        token = session_of(call.request_headers.get(b"cookie"), secure_only=call.node.settings.secure_sessions)
        if token is None:
            return None
        try:
            return self._verifier.verify(token)
        except TokenError:
            return None

    def operations(self) -> list[Operation]:
        """An operation for each file, and for each page but the first: `/` also answers those who are no browser."""

        async def page(call: Call, _: NoQuery) -> Reply:
            return self.show(call)

        root = f"/static/{self._files.hash}/"
        return [
            *(_hidden(path, page) for path in PATHS if path != "/"),
            *(_hidden(root + name, _file(file)) for name, file in self._files.all.items()),
        ]


def _file(file: File) -> Handler:
    etag = (b"etag", b'"%b"' % hashlib.sha256(file.body).hexdigest()[:32].encode())
    plain = Reply(file.body, file.media, 200, (*_FOR_EVER, etag))
    packed = plain
    if file.packed is not None:
        packed = Reply(file.packed, file.media, 200, (*_FOR_EVER, (b"content-encoding", b"gzip")))

    async def handler(call: Call, _: NoQuery) -> Reply:
        return packed if b"gzip" in call.request_headers.get(b"accept-encoding", b"") else plain

    return handler


def _hidden(path: str, handler: Handler) -> Operation:
    return Operation(
        method="GET",
        path=path,
        tag="Node",
        summary="The dashboard",
        description="",
        handler=handler,
        takes=NO_QUERY,
        roles=None,
        hidden=True,
    )
