"""One client's connection: HTTP/1.1 parsed by httptools, with deadlines that no peer can outlast by being slow.

What has become a request is answered by `answering`, one at a time; a WebSocket is an answer too. A request costs no
timer: the server has each connection enforce its `deadlines` once a second (`sweep`); a head's lines and bytes are
bounded too. Knows nothing of routes: it answers only what never becomes a request.
"""

from __future__ import annotations

import asyncio
from typing import cast

import httptools

from taskyard.api.answering import Answering, Home, log
from taskyard.api.deadlines import Phase
from taskyard.api.heads import fields, size_of, target, wants_websocket, without_upgrade, words
from taskyard.api.problems import BAD_REQUEST, BROKEN, OVERLOADED, Kind
from taskyard.api.request import Request

HEAD_TOO_LARGE = Kind(431, "Request head too large")


class _HeadTooLarge(Exception):
    """The head has too many lines or bytes."""


class _Unfit(Exception):
    """The head is none of a request, for this reason."""


class Connection(Answering):
    """See the module. Made for a server, its `home`; asyncio and the parser call the rest."""

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(home, loop)
        self._parser = httptools.HttpRequestParser(self)
        # Clients may send a line end too much after a request that closes.
        self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self._peer = ""
        self._counted = ""
        self._url = b""
        self._lines: list[tuple[bytes, bytes]] = []
        self._lines_most = home.limits.head_lines
        self._head_most = home.limits.head_bytes
        self._fed = 0  # bytes of a head, or of chunk framing and trailers since the last byte of a body
        self._first = 0  # bytes that came together with the first of the head
        self._latest = 0  # bytes that came last

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
            if (full := limits.admit(peer)) is not None:
                self._refuse(OVERLOADED, full)
                return
            self._counted = peer

    def connection_lost(self, exc: Exception | None) -> None:
        if self._counted:
            self._home.limits.left(self._counted)
            self._counted = ""
        self._nobody_listens()
        if self._outlet is not None:
            self._outlet.lost()
            self._outlet = None
        self._home.closed(self)
        self._serving = self._reading = None
        del self._parser  # it refers back to this object, as requests do

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
            cause = error.__context__  # what a callback of ours raised
            if isinstance(cause, _HeadTooLarge):
                self._refuse_head()
            elif isinstance(cause, _Unfit):
                self._refuse(BAD_REQUEST, str(cause))
            elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
                log.error("request failed while it was read", exc_info=cause)
                self._refuse(BROKEN, "")
            else:
                self._refuse(BAD_REQUEST, f"this is not valid HTTP/1.1: {words(error)}")
        else:
            # A head, a chunk's extension or a trailer without an end gives the parser nothing to call us for.
            if self._fed > self._head_most and deadlines.phase is not Phase.NOTHING:
                self._refuse_head()

    def _feed(self, data: bytes) -> None:
        """Parse. A request that asks for an upgrade is parsed again as if it did not; one that wants a WebSocket is
        marked, for an operation that has one to give."""
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self._parser.get_method() == b"CONNECT":
                    self._refuse(BAD_REQUEST, "CONNECT is not offered: this is no proxy")
                    return
                method, version, lines = self._parser.get_method(), self._parser.get_http_version(), self._lines
                head = without_upgrade(method, self._url, version.encode(), lines)
                self._parser = httptools.HttpRequestParser(self)
                self._parser.set_dangerous_leniencies(lenient_data_after_close=True)
                self._parser.feed_data(head)
                newest = self._waiting[-1] if self._waiting else self._serving
                if newest is not None and wants_websocket(method, version, lines):
                    newest.upgrade = True
                data = data[upgrade.args[0] :]
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
        named = fields(lines)
        if parser.get_http_version() == "1.1" and b"," in named.get(b"host", b","):
            raise _Unfit("an HTTP/1.1 request has one Host header")
        if parser.should_upgrade():
            return  # see `_feed`: the head comes again
        self._deadlines.begin(Phase.BODY, self._deadlines.heard)
        self._fed = 0
        path, query = target(self._url)
        request = Request(
            parser.get_method().decode("ascii"),
            path,
            query,
            named,
            self._peer,
            self._awaited,
            self._flow,
        )
        if parser.get_http_version() == "1.1":
            request.keep = parser.should_keep_alive()
        else:
            request.old = True
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
            if self._reading.held > self._home.limits.held_bytes:
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

    # --- limits -------------------------------------------------------------------------------------------------------

    def _refuse_head(self) -> None:
        most = f"{self._lines_most} lines and {self._head_most} bytes"
        self._refuse(HEAD_TOO_LARGE, f"a request's head, and its trailers, have at most {most}")
