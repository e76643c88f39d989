"""An answer in pieces: who gives it (a `Stream`), what it is given in (a `Piece`), and where that goes (an `Outlet`).

Nothing is queued here: while the client has not taken what was written, `Outlet.full` is set and the stream keeps what
it has to say to itself, or forgets it. An upgraded connection is a stream that also hears. Knows neither events nor
frames.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol


class Piece:
    """Bytes of an answer, made into a chunk of HTTP/1.1 once, however many clients it goes to."""

    __slots__ = ("_chunk", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._chunk = b""

    @property
    def chunk(self) -> bytes:
        """The bytes with their length before them (RFC 9112, 7.1). An empty piece has none: it would end the answer."""
        if not self._chunk and self.data:
            self._chunk = b"%x\r\n%b\r\n" % (len(self.data), self.data)
        return self._chunk


class Stream(Protocol):
    """What gives an answer in pieces. Called in the event loop's thread; none of these may wait or raise."""

    def open(self, outlet: Outlet) -> None:
        """The head of the answer is written; from now on the outlet takes pieces."""

    def ready(self) -> None:
        """The client has taken all that was written: the outlet is not full any more."""

    def gone(self) -> None:
        """The client is gone, before `open` or after it. Nothing is called after this, nor after `Outlet.end`."""

    def heard(self, data: bytes) -> None:
        """What came from the client, where the answer's status is 101; any other stream is never told."""


class Outlet:
    """Where the pieces of one answer go; made by the connection. `full`: the client has not taken all there was yet.

    What is written while it is full is held by the transport: only the last word of a stream is worth that.
    """

    __slots__ = ("_chunked", "_done", "_stream", "_transport", "full")

    def __init__(
        self, transport: asyncio.Transport, stream: Stream, done: Callable[[], None], *, chunked: bool
    ) -> None:
        self._transport = transport
        self._stream: Stream | None = stream
        self._done = done
        self._chunked = chunked
        self.full = False

    def write(self, piece: Piece) -> None:
        """Send a piece; nothing happens when the answer has ended."""
        if self._stream is not None and not self._transport.is_closing():
            self._transport.write(piece.chunk if self._chunked else piece.data)

    def end(self) -> None:
        """That was all: the connection goes on with the next request, or closes when it cannot."""
        if self._stream is not None:
            self._stream = None
            if self._chunked and not self._transport.is_closing():
                self._transport.write(b"0\r\n\r\n")
            self._done()

    # --- the connection's side ----------------------------------------------------------------------------------------

    def drained(self) -> None:
        """The client has taken all that was written."""
        self.full = False
        if self._stream is not None:
            self._stream.ready()

    def lost(self) -> None:
        """The connection is gone."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.gone()


class Below(Protocol):
    """What an upgraded connection still is beneath: who keeps its limits and deadlines."""

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, exc: Exception | None) -> None: ...


class Upgraded(asyncio.Protocol):
    """The connection after a 101: what comes is the stream's, all else stays with the connection below."""

    def __init__(self, below: Below, stream: Stream) -> None:
        self._stream = stream
        self.pause_writing = below.pause_writing  # type: ignore[method-assign]
        self.resume_writing = below.resume_writing  # type: ignore[method-assign]
        self.connection_lost = below.connection_lost  # type: ignore[method-assign]

    def data_received(self, data: bytes) -> None:
        self._stream.heard(data)
