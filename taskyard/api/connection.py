"""One client's connection: HTTP/1.1 parsed by httptools, with deadlines that no peer can outlast by being slow.

Requests are served one at a time and answered in their order; nothing is upgraded. A request costs no timer: the
server has each connection enforce its `deadlines` once a second (`sweep`); a head's lines and bytes are bounded too.
Knows nothing of routes: it answers only what never becomes a request.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol, cast

import httptools
import structlog

from taskyard.api.deadlines import Deadlines, Overdue, Phase
from taskyard.api.heads import expects, fields, size_of, target, without_upgrade, words
from taskyard.api.limits import Limits
from taskyard.api.problems import BAD_REQUEST, BROKEN, OVERLOADED, TIMED_OUT, Kind, Problem
from taskyard.api.request import Request, Response

HELD_BYTES = 65_536  # of a body that nobody has taken yet; the rest stays in the socket
HEAD_TOO_LARGE = Kind(431, "Request head too large")
_CLOSE = b"connection: close\r\n"
_PLAIN_HEAD = b"content-type: application/json\r\nx-content-type-options: nosniff\r\nx-request-id: none\r\n"

log = structlog.get_logger("taskyard.api")


class Home(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    stopping: bool

    def answer(self, request: Request) -> Awaitable[Response | None]:
        """The application's answer; `None` when nobody waits for it."""

    def start(self, status: int) -> bytes:
        """The status line and what every answer carries."""

    def opened(self, connection: Connection) -> bool:
        """A connection is there; whether there is room for it."""

    def closed(self, connection: Connection) -> None: ...


class _HeadTooLarge(Exception):
    """The head has too many lines or bytes."""


class Connection(asyncio.Protocol):
    """See the module. Made for a server, its `home`; asyncio and the parser call the rest."""

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self._loop = loop
        self._parser = httptools.HttpRequestParser(self)
        # Clients may send a line end too much after a request that closes.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._transport: asyncio.Transport
        self._peer = ""
        self._counted = ""
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._reading: Request | None = None  # whose body comes
        self._serving: Request | None = None  # that is being answered
        self._waiting: deque[Request] = deque()  # came before that was answered
        self._task: asyncio.Task[None] | None = None
        self._deadlines = Deadlines(home.limits, loop.time())
        self._lines_most = home.limits.head_lines
        self._head_most = home.limits.head_bytes
        self._fed = 0  # bytes of a head, or of chunk framing and trailers since the last byte of a body
        self._first = 0  # bytes that came together with the first of the head
        self._latest = 0  # bytes that came last
        self._refused = False  # nothing that comes counts any more
        self._last = False  # the connection is closed once the rest of the answered request has come
        self._full = False  # the client takes its answers too slowly
        self._paused = False

    # --- asyncio's side -----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        room = self._home.opened(self)
        address = transport.get_extra_info("peername")
        self._peer = peer = str(address[0]) if isinstance(address, tuple) else ""
        limits = self._home.limits
        if not room:
            self._refuse(OVERLOADED, "this node has as many connections as it takes; try again later")
            return
        if peer and not limits.proxies.trusted(peer):
            if limits.peers[peer] >= limits.per_peer:
                self._refuse(OVERLOADED, f"more than {limits.per_peer} connections from one address; use fewer")
                return
            limits.peers[peer] += 1
            self._counted = peer

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._home.limits.left(self._counted)
            self._counted = ""
        self._nobody_listens()
        self._home.closed(self)
        self._serving = self._reading = None
        del self._parser  # it refers back to this object, as requests do

    def pause_writing(self) -> None:
        self._full = True
        self._flow()

    def resume_writing(self) -> None:
        self._full = False
        self._next()
        self._flow()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        deadlines = self._deadlines
        deadlines.heard = self._loop.time()
        self._latest = len(data)
        if deadlines.phase is Phase.NOTHING:
            deadlines.begin(Phase.HEAD, deadlines.heard)
        self._fed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self._refuse(BAD_REQUEST, f"this is not valid HTTP/1.1: {words(error)}")
        else:
            # A head, a chunk's extension or a trailer without an end gives the parser nothing to call us for.
            if self._fed > self._head_most and deadlines.phase is not Phase.NOTHING:
                self._refuse_head()

    def _feed(self, data: bytes) -> None:
        """Parse. No upgrade is offered, so a request that asks for one is parsed again as if it did not."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._parser.get_method() == b"CONNECT":
                    self._refuse(BAD_REQUEST, "CONNECT is not offered: this is no proxy")
                    return
                version = self._parser.get_http_version().encode()
                head = without_upgrade(self._parser.get_method(), self._url, version, self._lines)
                data = head + data[upgrade.args[0] :]
                self._parser = httptools.HttpRequestParser(self)
                self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    # --- the parser's side --------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        self._deadlines.begin(Phase.HEAD, self._deadlines.heard)
        self._url = b""
        self._lines = []
        self._first = self._latest

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))  # judged when the head is whole; `data_received` bounds what comes until then

    def on_headers_complete(self) -> None:
        if self._refused:
            return
        parser, lines = self._parser, self._lines
        most = self._head_most
        # The exact size counts only where what came could be too much.
        if len(lines) > self._lines_most or (self._fed + self._first > most < size_of(self._url, lines)):
            raise _HeadTooLarge
        if parser.should_upgrade():
            return  # see `_feed`: the head comes again
        self._deadlines.begin(Phase.BODY, self._deadlines.heard)
        self._fed = 0
        path, query = target(self._url)
        request = Request(
            parser.get_method().decode("ascii"),
            path,
            query,
            fields(lines),
            self._peer,
            self._awaited,
            self._flow,
        )
        if parser.get_http_version() == "1.1":
            request.keep = parser.should_keep_alive()
        else:
            request.headers.pop(b"expect", None)  # what older clients do not know (RFC 9110, 10.1.1)
        self._reading = request
        if self._serving is None and not self._full:
            self._serve(request)
        else:
            self._waiting.append(request)
            self._flow()

    def on_body(self, body: bytes) -> None:
        self._fed = 0
        if not self._deadlines.body(len(body)):
            self._refused = True
            self.abort()
        elif self._reading is not None:
            self._reading.feed(body)
            if self._reading.held > HELD_BYTES:
                self._flow()

    def on_message_complete(self) -> None:
        if self._parser.should_upgrade():
            return
        self._fed = 0
        self._deadlines.begin(Phase.NOTHING, self._deadlines.heard)
        if self._last:
            self._refused = True
            self._transport.close()
        if self._reading is not None:
            self._reading.finish()
            self._reading = None
        if self._waiting and self._serving is None:
            self._next()

    # --- serving ------------------------------------------------------------------------------------------------------

    def _serve(self, request: Request) -> None:
        self._serving = request
        self._task = self._loop.create_task(self._answer(request))

    async def _answer(self, request: Request) -> None:
        try:
            response = await self._home.answer(request)
        except Exception:
            log.exception("request failed", method=request.method)
            self._refuse(BROKEN, "")
            return
        if response is None:
            self._transport.close()
        else:
            self._send(request, response)

    def _send(self, request: Request, response: Response) -> None:
        transport = self._transport
        if request.gone or transport.is_closing():
            return
        # A client that was not told to send its body may never do so.
        sends = not request.whole and not expects(request)
        keep = request.keep and not self._home.stopping and (request.whole or sends)
        transport.write(
            b"%b%b%b\r\n%b"
            % (
                self._home.start(response.status),
                response.head,
                b"" if keep else _CLOSE,
                b"" if request.method == "HEAD" else response.body,
            )
        )
        self._serving = self._task = None
        self._last = not keep
        if not keep and not sends:  # else to close now would reset the connection, and the answer might be lost
            self._deadlines.begin(Phase.NOTHING, self._loop.time())
            transport.close()
            return
        if self._reading is request:
            self._reading = None
            request.drop()
            self._deadlines.begin(Phase.REST, self._loop.time())
        elif self._waiting:
            self._next()
        elif self._deadlines.phase is Phase.NOTHING:
            self._deadlines.begin(Phase.NOTHING, self._loop.time())  # from now on
        if self._paused:
            self._flow()

    def _next(self) -> None:
        """Serve the next request that has come, if there is one."""
        if self._waiting and self._serving is None and not self._full and not self._transport.is_closing():
            self._serve(self._waiting.popleft())

    def _awaited(self) -> None:
        """The application waits for the body of the request it answers."""
        request = self._serving
        if request is not None and expects(request):
            del request.headers[b"expect"]
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _flow(self) -> None:
        """Read on, or leave what comes in the socket."""
        reading = self._reading
        stop = self._full or len(self._waiting) > 0 or (reading is not None and reading.held > HELD_BYTES)
        if stop is not self._paused and not self._transport.is_closing():
            self._paused = stop
            if stop:
                self._transport.pause_reading()
            else:
                self._deadlines.heard = self._loop.time()
                self._transport.resume_reading()

    def _nobody_listens(self) -> None:
        for request in (self._serving, self._reading, *self._waiting):
            if request is not None:
                request.leave()
        self._waiting.clear()

    # --- limits -------------------------------------------------------------------------------------------------------

    def _refuse_head(self) -> None:
        most = f"{self._lines_most} lines and {self._head_most} bytes"
        self._refuse(HEAD_TOO_LARGE, f"a request's head, and its trailers, have at most {most}")

    def _refuse(self, kind: Kind, details: str) -> None:
        """Answer what never became a request, or not wholly, and close."""
        self._refused = True
        answered = self._deadlines.phase is Phase.REST
        self._deadlines.begin(Phase.NOTHING, self._loop.time())
        if self._transport.is_closing():
            return
        if answered:  # a second answer would pass for that to the next request
            self._transport.close()
            return
        if self._serving is not None and self._serving is not self._reading and kind is not BROKEN:
            # What came before is answered first, and the last of it closes.
            if self._reading is not None:
                self._waiting.remove(self._reading)
            (self._waiting[-1] if self._waiting else self._serving).keep = False
            return
        problem = Problem(kind, details)
        body = problem.body("none")
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in problem.headers)
        self._transport.write(
            b"%b%b%bcontent-length: %d\r\n%b\r\n%b"
            % (self._home.start(kind.code), _PLAIN_HEAD, lines, len(body), _CLOSE, body)
        )
        self._nobody_listens()
        self._transport.close()

    def close_idle(self) -> None:
        """The server stops: close when nothing is being answered; else the answer says so."""
        if self._serving is None and not self._waiting:
            self._transport.close()

    def abort(self) -> None:
        """Close at once."""
        self._nobody_listens()
        self._transport.abort()

    def sweep(self, now: float) -> None:
        """Enforce the deadlines."""
        transport = self._transport
        unsent, serving = transport.get_write_buffer_size() > 0, self._serving is not None
        overdue = self._deadlines.overdue(now, unsent=unsent, paused=self._paused, serving=serving)
        if overdue is Overdue.ABORT:
            self.abort()
        elif overdue is not None and not transport.is_closing():
            if overdue is Overdue.CLOSE:
                transport.close()
            else:
                self._refuse(TIMED_OUT, overdue)
