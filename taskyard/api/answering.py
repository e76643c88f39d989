"""How one connection's requests are answered: in their order, in one piece or as a `stream`, and refused when they are
none. Knows what is being answered and what is next; how requests come to be is `connection`'s concern.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable
from typing import Protocol

import structlog

from taskyard.api.deadlines import SWEEP_S, Deadlines, Overdue, Phase
from taskyard.api.heads import expects
from taskyard.api.limits import Limits
from taskyard.api.problems import BROKEN, TIMED_OUT, Kind, Problem
from taskyard.api.request import Request, Response
from taskyard.api.stream import Outlet, Stream, Upgraded

_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"

log = structlog.get_logger("taskyard.api")


class Home(Protocol):
    """What a connection needs of its server."""

    limits: Limits
    stopping: bool

    def answer(self, request: Request) -> Awaitable[Response | None]:
        """The application's answer; `None` when nobody waits for it."""

    def start(self, status: int) -> bytes:
        """The status line and what every answer carries."""

    def opened(self, connection: Answering) -> bool:
        """A connection is there; whether there is room for it."""

    def closed(self, connection: Answering) -> None: ...


class Answering(asyncio.Protocol):
    """The answering side of a connection; see the module. Made for a server, its `home`."""

    _transport: asyncio.Transport

    def __init__(self, home: Home, loop: asyncio.AbstractEventLoop) -> None:
        self._home = home
        self._loop = loop
        self._reading: Request | None = None  # whose body comes
        self._serving: Request | None = None  # that is being answered
        self._waiting: deque[Request] = deque()  # came before that was answered
        self._task: asyncio.Task[None] | None = None
        self._outlet: Outlet | None = None  # of the answer that is given in pieces
        self._deadlines = Deadlines(home.limits, loop.time())
        self._refused = False  # nothing that comes counts any more
        self._last = False  # the connection is closed once the rest of the answered request has come
        self._full = False  # the client takes its answers too slowly
        self._paused = False

    def pause_writing(self) -> None:
        self._full = True
        if self._outlet is not None:
            self._outlet.full = True
        self._flow()

    def resume_writing(self) -> None:
        self._full = False
        self._next()
        self._flow()
        if self._outlet is not None:
            self._deadlines.taken()
            self._outlet.drained()

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
        transport, stream = self._transport, response.stream
        if stream is not None and self._begin(request, response, stream):
            return
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

    def _begin(self, request: Request, response: Response, stream: Stream) -> bool:
        """Answer in pieces; false when the head is all that is wanted."""
        transport, upgrades = self._transport, response.status == 101
        if request.gone or transport.is_closing():
            stream.gone()
            return True
        if request.method == "HEAD":
            return False
        if upgrades and (self._waiting or self._refused or not request.whole):
            stream.gone()  # who wants a WebSocket sends nothing more before it has one
            transport.close()
            return True
        chunked = not (upgrades or request.old)
        lines = (_CHUNKED if chunked else b"") + (b"" if upgrades or request.keep else _CLOSE)
        transport.write(b"%b%b%b\r\n" % (self._home.start(response.status), response.head, lines))
        transport.set_write_buffer_limits(high=0)  # full means: not all is taken
        self._outlet = Outlet(transport, stream, lambda: self._ended(request, chunked), chunked=chunked)
        if self._reading is request:  # a body that nobody wants
            self._reading = None
            request.drop()
            self._deadlines.begin(Phase.REST, self._loop.time())
        if upgrades:
            transport.set_protocol(Upgraded(self, stream))
        stream.open(self._outlet)
        return True

    def _ended(self, request: Request, chunked: bool) -> None:
        """An answer in pieces is complete. Where its length could not be told, the connection's end is its end."""
        self._outlet = self._serving = self._task = None
        transport = self._transport
        if transport.is_closing():
            return
        if not (chunked and request.keep) or self._home.stopping:
            self._refused = True
            transport.close()
            return
        transport.set_write_buffer_limits()
        if self._deadlines.phase is Phase.NOTHING:
            self._deadlines.begin(Phase.NOTHING, self._loop.time())
        self._next()
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
        most = self._home.limits.held_bytes  # of a body that nobody has taken yet; the rest stays in the socket
        stop = self._full or len(self._waiting) > 0 or (reading is not None and reading.held > most)
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
        self._transport.write(Problem(kind, details).bare(self._home.start(kind.code)))
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

    def sweep(self, now: float, late: float) -> None:
        """Enforce the deadlines; the sweep is so many seconds late."""
        if late >= SWEEP_S:
            self._deadlines.forgive(late)
        transport = self._transport
        unsent, serving = transport.get_write_buffer_size(), self._serving is not None
        overdue = self._deadlines.overdue(now, unsent=unsent, paused=self._paused, serving=serving)
        if overdue is Overdue.ABORT:
            self.abort()
        elif overdue is not None and not transport.is_closing():
            if overdue is Overdue.CLOSE:
                transport.close()
            else:
                self._refuse(TIMED_OUT, overdue)
