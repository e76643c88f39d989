"""One HTTP/1.1 connection: one exchange at a time, strict about what comes back. Knows no pool, address or deadline.

Every rule that a server may break is kept here: framing by exactly one of Content-Length, chunked or the end of the
connection; a bounded head, interim answers and trailers included; a bounded body, counted while it is read; nothing
accepted between exchanges. The answer stands as soon as it is whole, even when more bytes follow or part of the
request is still unsent (a server may answer early); the connection is then not used again.

Time is kept outside: `deadline` says when `expire` shall be called (`pool`), so an exchange needs no timer of its own.
"""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Protocol, cast

import httptools

from taskyard.host.transport.fields import idle_s, merged, size_of, text
from taskyard.host.transport.port import Bounds, Broken, Reply, Silent, TooLarge, TransportError, Withheld

JOIN_MAX = 65_536  # bytes; a smaller request is joined into one buffer, a larger one is not copied


class Home(Protocol):
    """What a connection tells its pool."""

    def released(self, connection: "Connection") -> None:
        """The exchange has ended well; the connection may be used again."""

    def closed(self, connection: "Connection") -> None:
        """It ended, for whatever reason. Told once."""

    def watch(self, deadline: float) -> None:
        """`expire` must be called at `deadline` (loop time) or soon after."""

    def grew(self, connection: "Connection", more: int) -> None:
        """The part of an answer that it holds has grown by so many bytes; the rest is to come."""

    def ended(self, connection: "Connection") -> None:
        """It holds no part of an answer any more. Told only after `grew`."""


class Stale(Broken):
    """A reused connection ended before a byte of the answer. Whether the server read the request is unknown."""


class _Refused(Exception):
    """Raised inside a parser callback to stop the parser."""


class Connection(asyncio.Protocol):
    """`exchange` sends a request; the future it returns gets the `Reply` or a `TransportError`."""

    __slots__ = (
        "_bounds", "_complete", "_connect_ms", "_error", "_fields", "_head_at", "_head_lines", "_held", "_home",
        "_keep", "_last", "_lines", "_loop", "_loose", "_may_send", "_parser", "_parts", "_paused", "_sent_at",
        "_size", "_sock", "_speaking", "_status", "_total", "_transport", "_until_end", "body_max", "closed",
        "deadline", "gone", "idle_since", "reused", "waiter",
    )  # fmt: skip

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> None:
        self._home = home
        self._loop = loop
        self._sock = sock
        self.waiter: asyncio.Future[Reply] | None = None  # of the exchange under way
        self._parser = httptools.HttpResponseParser(self)
        self.deadline = float("inf")
        self.idle_since = 0.0
        self.closed = False
        self.reused = False
        self.body_max = 0  # bytes that the answer under way may have
        self._held = 0  # bytes of an answer's part that `grew` told of
        self._paused = False
        self._last = b""  # of the request under way, what is still to be written
        self.gone: asyncio.Future[None] = loop.create_future()  # done when the socket is closed

    # The caller's side ------------------------------------------------------------------------------------------------

    def exchange(
        self,
        request: Sequence[bytes],
        size: int,
        bounds: Bounds,
        *,
        total_at: float,
        connect_ms: int,
        may_send: Callable[[], bool],
    ) -> asyncio.Future[Reply]:
        """Writes the request's parts, `size` bytes in all. `total_at` is the loop time when all time has passed.

        What the system does not take at once takes its time: the last part is written when all before it is out, and
        only if `may_send` says so then, or the exchange fails as `Withheld`.
        """
        self._connect_ms = connect_ms
        self._parts: list[bytes] = []
        self._error: TransportError | None = None
        self._lines: list[tuple[bytes, bytes]] = []
        self._status = self._size = self._head_lines = self._loose = 0
        self._speaking = self._complete = False
        self._bounds = bounds
        self.body_max = bounds.body_max
        self._total = self.deadline = total_at
        self._sent_at = self._head_at = self._loop.time()
        self.waiter = waiter = self._loop.create_future()
        if size <= JOIN_MAX:
            self._transport.write(b"".join(request))
        else:
            *first, self._last = request
            self._may_send = may_send
            self._transport.set_write_buffer_limits(high=0)
            self._transport.writelines(first)
            if not self._transport.get_write_buffer_size():
                self.resume_writing()
        return waiter

    @property
    def ended(self) -> bool:
        """Whether the end was seen; asyncio tells of an error one step before `connection_lost`."""
        return self.closed or self._transport.is_closing()

    def still_open(self) -> bool:
        """Asks the operating system whether the server has closed or spoken, in case the loop has yet to notice."""
        try:
            self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def expire(self) -> None:
        """The deadline has passed: an idle connection is closed, an exchange fails."""
        if self.waiter is None:
            self.close()
        elif self._paused and self.deadline < self._total:
            self._allow_silence()  # it is us who do not listen
        elif self.deadline >= self._total:
            self._fail(
                Silent("the whole time has passed without a whole answer", total=True, status=self._known_status)
            )
        else:
            silence = f"silent for {self._bounds.silence_ms} ms within the answer"
            self._fail(Silent(silence, total=False, status=self._known_status))

    def pause(self) -> None:
        """Reads no more of the answer under way, until `resume`."""
        if self.waiter is not None and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        """Reads on, if it was paused."""
        if self._paused:
            self._paused = False
            if self.waiter is not None and self._speaking:
                self._allow_silence()
            self._transport.resume_reading()

    def _allow_silence(self) -> None:
        self.deadline = min(self._total, self._loop.time() + self._bounds.silence_ms / 1000)
        self._home.watch(self.deadline)

    def close(self) -> None:
        """Closes at once; unsent bytes are dropped. An exchange under way fails as `Broken`."""
        if self.closed:
            return
        self.closed = True
        self._transport.abort()
        self._home.closed(self)
        if self.waiter is not None:
            self._fail(Broken("the connection was closed here", status=self._known_status))

    # asyncio's side ---------------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def resume_writing(self) -> None:
        last, self._last = self._last, b""
        if not last or self.waiter is None:
            return
        if self._may_send():
            self._transport.write(last)
        else:
            self._loop.call_soon(self._withhold, self.waiter)  # asyncio cannot have its transport ended in here

    def _withhold(self, waiter: asyncio.Future[Reply]) -> None:
        if self.waiter is waiter:
            self._fail(Withheld("it must not be sent any more: it was not sent to its end"))

    def data_received(self, data: bytes) -> None:
        if self.waiter is None:
            self.close()  # nothing was asked
            return
        self._loose += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._complete:
                self._fail(self._error or self._broken(f"not HTTP: {error}"))
                return
            self._keep = False  # bytes after the answer
        if self._complete:
            self._finish()
        elif self._loose > self._bounds.head_max:
            self._fail(self._broken(f"more than {self._bounds.head_max} bytes of head, chunk framing or trailers"))
        elif self._speaking:
            self._allow_silence()
            if self._size > self._held:
                more, self._held = self._size - self._held, self._size
                self._home.grew(self, more)
        else:
            self.deadline = self._total

    def eof_received(self) -> None:
        self._ended("the server closed the connection")

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._ended("the server closed the connection")
        else:
            self._until_end = False  # an answer that ends with the connection is not whole after a reset
            self._ended("the server reset the connection")
        del self._parser  # it refers back to this object
        if not self.gone.done():
            self.gone.set_result(None)

    def _ended(self, how: str) -> None:
        if self.waiter is not None:
            if self._known_status is not None and self._until_end:
                self._keep = False
                self._finish()
            elif self._known_status is not None:
                self._fail(self._broken(f"{how} within the answer"))
            elif self.reused and not self._loose:
                self._fail(Stale(f"{how} before answering, on a reused connection"))
            else:
                self._fail(self._broken(f"{how} before answering"))
        self.close()

    # The parser's side: callbacks while `feed_data` runs --------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Refused
        self._speaking = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self._lines.append((name, value))  # judged when the head is whole; how many come until then is bounded above

    def on_headers_complete(self) -> None:
        parser, lines = self._parser, self._lines
        status = parser.get_status_code()
        fields = {name.lower(): value for name, value in lines}
        if len(fields) < len(lines):
            fields = merged(lines)
        self._head_lines += len(lines)
        bounds = self._bounds
        if self._head_lines > bounds.head_lines or self._loose > bounds.head_max < size_of(lines):
            self._refuse(self._broken(f"a head of more than {bounds.head_lines} lines or {bounds.head_max} bytes"))
        if 100 <= status < 200 and status != 101:
            lines.clear()
            return
        if not 200 <= status < 600:
            self._refuse(self._broken(f"status {status}, which was not asked for or does not exist"))
        if not self.reused and parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse(self._broken(f"HTTP/{parser.get_http_version()} was answered to HTTP/1.1"))
        coding = fields.get(b"transfer-encoding")
        if coding is not None and coding.lower() != b"chunked":
            self._refuse(self._broken("a Transfer-Encoding other than chunked"))
        length = fields.get(b"content-length")
        self._fields = fields
        self._status = status
        self._head_at = self._loop.time()
        self._keep = parser.should_keep_alive()
        self._until_end = length is None and coding is None
        if length is not None and int(length) > self.body_max and status not in (204, 304):
            self._too_large()

    def on_body(self, data: bytes) -> None:
        self._loose = 0
        self._size += len(data)
        if self._size > self.body_max:
            self._too_large()
        self._parts.append(data)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True
        else:
            self._speaking = False  # an interim answer: the server may now think as long as it likes

    def _too_large(self) -> None:
        self._refuse(TooLarge(f"the answer's body is over {self.body_max} bytes", status=self._status))

    def _refuse(self, error: TransportError) -> None:
        self._error = error
        raise _Refused

    # Ends -------------------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        waiter, self.waiter = self.waiter, None
        fields, parts = self._fields, self._parts
        encoding = fields.get(b"content-encoding")
        retry_after = fields.get(b"retry-after")
        reply = Reply(
            self._status,
            text(fields.get(b"content-type", b"")),
            "" if encoding is None or encoding.lower() == b"identity" else text(encoding).lower(),
            None if retry_after is None else text(retry_after),
            parts[0] if len(parts) == 1 else b"".join(parts),
            self._connect_ms,
            int((self._head_at - self._sent_at) * 1000),
        )
        self._parts = []
        if self._held:
            self._held = 0
            self._home.ended(self)
        self.resume()
        if self._keep and not self.closed and not (self._last or self._transport.get_write_buffer_size()):
            self.reused = True
            self.idle_since = now = self._loop.time()
            self.deadline = now + idle_s(self._bounds.idle_ms / 1000, fields.get(b"keep-alive"))
            self._home.released(self)
        else:
            self.close()
        if waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _fail(self, error: TransportError) -> None:
        waiter, self.waiter = self.waiter, None
        self._parts = []
        if self._held:
            self._held = 0
            self._home.ended(self)
        self.close()
        if waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _broken(self, message: str) -> Broken:
        return Broken(message, status=self._known_status)

    @property
    def _known_status(self) -> int | None:
        return self._status or None
