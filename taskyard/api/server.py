"""uvicorn's HTTP protocol with deadlines: no peer can hold a connection by being slow, or have too many of them.

One sweep a second looks at all connections, so a request costs no timer. What it enforces (times from the settings):

| while | limit |
|---|---|
| a request's head comes | `head_timeout` for the whole, 64 lines, 16 KiB |
| its body comes | `body_timeout` and 1 s for each 64 KiB so far; `idle_timeout` without one byte |
| its body still comes when it is answered | 2 s and 1 MiB |
| the client takes the answer | `write_timeout` since it last had taken all there was |
| nothing is asked | 75 s |

Knows nothing of routes: it answers only what never becomes a request.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any

import httptools
from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from taskyard.api.peer import Proxies
from taskyard.api.problems import BAD_REQUEST, OVERLOADED, TIMED_OUT, Kind, Problem
from taskyard.settings import Settings

HEAD_LINES = 64
HEAD_BYTES = 16_384
BODY_STEP = 65_536  # each so many bytes of a body give it one more second
KEEP_ALIVE_S = 75
# What an answered request may still send, so that its client comes to read the answer.
REST_S = 2.0
REST_BYTES = 1 << 20
SWEEP_S = 1.0
_HOP_BY_HOP = (b"connection", b"upgrade", b"http2-settings")
HEAD_TOO_LARGE = Kind(431, "Request head too large")


class _HeadTooLarge(Exception):
    """The head has too many lines or bytes."""


@dataclass(slots=True)
class Limits:
    """What connections may take, in seconds, and how many there may be from one address."""

    head_s: float
    body_s: float
    idle_s: float
    write_s: float
    per_peer: int
    proxies: Proxies
    peers: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, settings: Settings) -> Limits:
        """The limits of a node's settings."""
        return cls(
            settings.head_timeout / 1000,
            settings.body_timeout / 1000,
            settings.idle_timeout / 1000,
            settings.write_timeout / 1000,
            settings.connections_per_peer,
            Proxies(settings.trusted_proxies),
        )


class Connection(HttpToolsProtocol):
    """One connection.

    `phase` is what it is at: "head", "body", "rest" (of the body, after the answer), or "" while nothing is expected
    from the client.
    """

    limits: Limits

    def __init__(self, config: Config, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.phase = ""
        self.began = 0.0
        self.heard = 0.0
        self.stuck: float | None = None
        self.head_lines = 0
        self.head_bytes = 0
        self.fed = 0
        self.body_bytes = 0
        self.refused = False
        self.counted = ""
        self.answering: RequestResponseCycle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.phase, self.began = "head", self.loop.time()
        peer = self.client[0] if self.client else ""
        limits = self.limits
        if peer and not limits.proxies.trusted(peer):
            if limits.peers[peer] >= limits.per_peer:
                self.refuse(OVERLOADED, f"more than {limits.per_peer} connections from one address; use fewer")
                return
            limits.peers[peer] += 1
            self.counted = peer

    def connection_lost(self, exc: Exception | None) -> None:
        if self.counted:
            peers = self.limits.peers
            peers[self.counted] -= 1
            if not peers[self.counted]:
                del peers[self.counted]
            self.counted = ""
        self._nobody_listens()
        super().connection_lost(exc)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    def _nobody_listens(self) -> None:
        """Tell the request that is being answered: with pipelining, `cycle` is a later one."""
        if self.answering is not None and not self.answering.response_complete:
            self.answering.disconnected = True
            self.answering.message_event.set()

    def _abort(self) -> None:
        self._nobody_listens()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self.refused:
            return
        self._unset_keepalive_if_required()
        self.heard = self.loop.time()
        if not self.phase:
            self.phase, self.began = "head", self.heard
        if self.phase == "head":
            self.fed += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError as error:
            if isinstance(error.__context__, _HeadTooLarge):
                self._refuse_head()
            else:
                self.refuse(BAD_REQUEST, f"this is not valid HTTP/1.1: {_words(error)}")
        else:
            # A head without an end gives the parser nothing to call us for.
            if self.phase == "head" and self.fed > HEAD_BYTES:
                self._refuse_head()

    def _feed(self, data: bytes) -> None:
        """Parse. No upgrade is offered, so a request that asks for one is parsed again as if it did not."""
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() == b"CONNECT":
                    self.refuse(BAD_REQUEST, "CONNECT is not offered: this is no proxy")
                    return
                data = self._head_without_upgrade() + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _head_without_upgrade(self) -> bytes:
        kept = [(name, value) for name, value in self.headers if name not in _HOP_BY_HOP]
        if any(name == b"connection" and b"close" in value.lower() for name, value in self.headers):
            kept.append((b"connection", b"close"))
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in kept)
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (self.parser.get_method(), self.url, lines)

    def on_message_begin(self) -> None:
        self.phase, self.began = "head", self.loop.time()
        self.head_lines = self.head_bytes = self.body_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        self.head_lines += 1
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def _count_head(self, size: int) -> None:
        self.head_bytes += size
        if self.head_bytes > HEAD_BYTES or self.head_lines > HEAD_LINES:
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # see `_feed`: the head comes again
        self.phase, self.began, self.fed = "body", self.loop.time(), 0
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self.body_bytes += len(body)
        if self.phase == "rest" and self.body_bytes > REST_BYTES:
            self.refused = True
            self._abort()
            return
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self.phase = ""
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if self.phase == "body":
            self.phase, self.began, self.body_bytes = "rest", self.loop.time(), 0
        super().on_response_complete()

    def _refuse_head(self) -> None:
        self.refuse(HEAD_TOO_LARGE, f"a request's head has at most {HEAD_LINES} lines and {HEAD_BYTES} bytes")

    def refuse(self, kind: Kind, details: str) -> None:
        """Answer what never became a request, if nothing was answered yet, and close."""
        self.refused = True
        self.phase = ""
        if self.transport.is_closing():
            return
        # An answer of an earlier request on this connection may be under way: then closing says enough.
        if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
            problem = Problem(kind, details)
            body = problem.body("none")
            head = [STATUS_LINE[kind.code]]
            head += [
                name + b": " + value + b"\r\n" for name, value in (*self.server_state.default_headers, *problem.headers)
            ]
            head.append(
                b"content-type: application/json\r\nx-content-type-options: nosniff\r\nx-request-id: none\r\n"
                b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            )
            self.transport.write(b"".join((*head, body)))
        self.transport.close()

    def sweep(self, now: float) -> None:
        """Enforce the deadlines."""
        limits, transport = self.limits, self.transport
        if transport.get_write_buffer_size():
            if self.stuck is None:
                self.stuck = now
            elif now - self.stuck >= limits.write_s:
                self._abort()
                return
        else:
            self.stuck = None
        if transport.is_closing():
            return
        if self.phase == "head":
            if now - self.began >= limits.head_s:
                self.refuse(TIMED_OUT, f"the request's head did not come within {limits.head_s:g} s")
        elif self.phase == "rest":
            if now - self.began >= REST_S:
                transport.close()
        elif self.phase == "body":
            if self.flow.read_paused:  # we are slow, not the client
                self.heard = now
                self.began += SWEEP_S
            elif now - self.heard >= limits.idle_s:
                self.refuse(TIMED_OUT, f"nothing of the request's body came for {limits.idle_s:g} s")
            elif now - self.began >= limits.body_s + self.body_bytes / BODY_STEP:
                self.refuse(TIMED_OUT, f"the request's body did not come within {limits.body_s:g} s and 1 s per 64 KiB")


def _words(error: Exception) -> str:
    text = str(error)
    return text if text and text.isascii() and len(text) < 200 else "it cannot be read"


class HttpServer(Server):
    """uvicorn's server, with the sweep, and without its own signal handling: the node decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def on_tick(self, counter: int) -> bool:
        """Every 0.1 s."""
        if counter % int(SWEEP_S * 10) == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Connection):
                    connection.sweep(now)
        return await super().on_tick(counter)


def http_server(app: Any, settings: Settings) -> HttpServer:
    """A server for an ASGI application; give it the listening sockets."""
    limits = Limits.of(settings)

    class Limited(Connection):
        """Connections under these limits."""

    Limited.limits = limits
    config = Config(
        app,
        interface="asgi3",
        http=Limited,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        backlog=2048,
    )
    return HttpServer(config)
