"""The port through which the host speaks HTTP to backend servers: what it asks for, gets back, and can fail with.

It knows nothing of tasks and outcomes: who calls it decides what a `Reply` or a `TransportError` means. The one
distinction that the errors make sharp is whether the request may have reached the server: after `Unreached` nothing of
it has, after `Withheld` not all of it, after every other error it may have been carried out.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import NewType, Protocol

import msgspec

MESSAGE_MAX = 300  # characters of an error's message

Headers = Sequence[tuple[bytes, bytes]]
Lines = NewType("Lines", bytes)  # headers that were checked and written out by `lines`


def lines(headers: Headers) -> Lines:
    """The header lines. Raises ValueError when a name or value would end its line."""
    text = b"".join([b"%b: %b\r\n" % header for header in headers])
    if text.count(b"\n") != len(headers) or text.count(b"\r") != len(headers) or b"\0" in text:
        raise ValueError("a header name or value holds a line end or a NUL")
    return Lines(text)


class Bounds(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How long and how large one exchange may be. Times are ms, sizes are bytes."""

    total_ms: int  # from the call to the last byte of the answer, waiting for a free connection included
    body_max: int  # the answer's body
    connect_ms: int = 5_000  # name, TCP and TLS together, all addresses of a name included
    silence_ms: int = 30_000  # without a byte, once the answer has begun
    head_max: int = 65_536  # the answer's head, interim answers and trailers included
    head_lines: int = 64  # of an answer, those of interim answers included
    idle_ms: int = 60_000  # an unused connection is kept at most


class Reply(msgspec.Struct, frozen=True, gc=False):
    """An answer, whatever its status: redirects (never followed) and errors are answers too."""

    status: int  # 200-599
    content_type: str  # "" when absent; as sent, at most 256 characters
    content_encoding: str  # "" for identity; else as sent, in lower case
    retry_after: str | None  # as sent, at most 256 characters
    body: bytes
    connect_ms: int  # 0 on a reused connection
    head_ms: int  # from the request's last write to the answer's whole head


class TransportError(Exception):
    """An exchange that brought no answer. The message is short, for people, and free of paths, headers and bodies."""

    def __init__(self, message: str) -> None:
        super().__init__(message if len(message) <= MESSAGE_MAX else message[: MESSAGE_MAX - 1] + "…")


class Unreached(TransportError):
    """The request was never sent: no address, refused, no TLS, no connection in time, or the client is closed.

    `shown` says why to those who may not know where the server is: it names no host and no address.
    """

    def __init__(self, message: str, shown: str | None = None) -> None:
        super().__init__(message)
        self.shown = message if shown is None else shown


class AddressDenied(Unreached):
    """No address of the host passes the address policy."""


class Withheld(TransportError):
    """The request was not sent, or not to its end: in the moment before that it must not be any more."""


class Unanswered(TransportError):
    """The request went out, wholly or in part, and no whole answer came. `status` is known once a head came."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Broken(Unanswered):
    """The connection ended before the answer did, or what came was not HTTP."""


class TooLarge(Unanswered):
    """The answer's body is over `body_max`."""


class Silent(Unanswered):
    """Nothing came for `silence_ms` within an answer, or (`total`) the whole time has passed.

    `sent` is False in the one case where the time passed while waiting for a free connection.
    """

    def __init__(self, message: str, *, total: bool, sent: bool = True, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.total = total
        self.sent = sent


class Transport(Protocol):
    """Sends one request, returns its answer. Cancelling the awaiting task closes the connection at once."""

    async def post(
        self,
        url: str,
        headers: Headers | Lines,
        body: bytes | Sequence[bytes],
        bounds: Bounds,
        *,
        pool_key: str,
        max_connections: int,
    ) -> Reply:
        """Sends `body` (its parts in order, untouched) as JSON and returns the answer.

        `headers` come on top of Host, Accept-Encoding, User-Agent, Content-Type and Content-Length. `pool_key` names
        the server whose connections are reused; at most `max_connections` (≥ 1) of them are open per origin, callers
        beyond wait in order. It is never sent twice. Raises the `TransportError`s above; ValueError for a header that
        would break the request.
        """

    def post_now(
        self,
        url: str,
        head: Lines,
        body: Sequence[bytes],
        bounds: Bounds,
        *,
        pool_key: str,
        max_connections: int,
        done: Callable[[asyncio.Future[Reply]], None],
    ) -> asyncio.Future[Reply] | None:
        """As `post`, when a connection is free: sends before it returns, and calls `done` with the future it returned.

        None when no connection is free now: nothing was sent. Cancelling the future closes the connection.
        """

    async def get(self, url: str, headers: Headers, bounds: Bounds, *, pool_key: str, max_connections: int) -> Reply:
        """As `post`, without a body. Sent once more when a reused connection turns out to be closed unanswered."""

    def forget(self, pool_key: str) -> None:
        """The server is gone: idle connections close now, busy ones after their answer; who waits is `Unreached`."""

    async def close(self) -> None:
        """Ends everything; exchanges under way fail as `Broken`, waiting ones as `Unreached`. May be called again."""
