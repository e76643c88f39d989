"""The connections to one origin of one server: which is free, who waits for one, how many there may be. No I/O.

The connection used last is used first, so that a burst's surplus ages and is closed. Who waits is served in order;
a waiter gets either a connection or the leave to open one (None), and that leave counts against the limit.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable

from taskyard.host.transport.connection import Connection
from taskyard.host.transport.port import Silent, Unreached
from taskyard.host.transport.reading import Reading

PEEK_AFTER_S = 1.0  # one that was idle for longer is asked whether it is still open: 1 µs, against a lost attempt


class Pool:
    """Connections of one origin, at most `limit` of them (a lowered limit takes effect as they are released)."""

    __slots__ = ("_idle", "_members", "_opening", "_retired", "_waiters", "ended", "grew", "limit", "watch")

    def __init__(self, limit: int, watch: Callable[[float], None], reading: Reading) -> None:
        self.limit = limit
        self.watch = watch
        self.grew = reading.grew
        self.ended = reading.ended
        self._members: set[Connection] = set()
        self._idle: dict[Connection, None] = {}  # in the order of release
        self._opening = 0
        self._waiters: OrderedDict[asyncio.Future[Connection | None], float] = OrderedDict()
        self._retired = False

    @property
    def empty(self) -> bool:
        return not (self._members or self._opening or self._waiters)

    @property
    def connections(self) -> Iterable[Connection]:
        return self._members

    def take(self, now: float) -> Connection | None:
        """The idle connection that was used last, if there is one."""
        while self._idle:
            connection, _ = self._idle.popitem()
            idle = now - connection.idle_since
            due = now >= connection.deadline
            if not due and not connection.ended and (idle < PEEK_AFTER_S or connection.still_open()):
                return connection
            connection.close()
        return None

    async def wait(self, loop: asyncio.AbstractEventLoop, deadline: float) -> Connection | None:
        """A connection, or None: leave to open one, to be ended by `joined` or `gave_up`.

        Raises Silent at `deadline`, Unreached when the pool is retired.
        """
        self._serve()  # the limit may have been raised
        if self._retired:
            raise Unreached("the server was removed")
        if not self._waiters and self._has_room:
            self._opening += 1
            return None
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters[waiter] = deadline
        self.watch(deadline)
        try:
            return await waiter
        except asyncio.CancelledError:
            self._waiters.pop(waiter, None)
            if not waiter.cancelled() and waiter.exception() is None:  # served and cancelled in the same moment
                connection = waiter.result()
                if connection is None:
                    self.gave_up()
                elif not connection.closed:
                    self.released(connection)
            raise

    def joined(self, connection: Connection) -> None:
        """The leave was used: `connection` is open and in use, or has already ended."""
        self._opening -= 1
        if connection.closed:
            self._serve()
        else:
            self._members.add(connection)

    def gave_up(self) -> None:
        """The leave was not used."""
        self._opening -= 1
        self._serve()

    def released(self, connection: Connection) -> None:
        if self._retired or len(self._members) + self._opening > self.limit:
            connection.close()
            return
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle[connection] = None

    def closed(self, connection: Connection) -> None:
        self._idle.pop(connection, None)
        self._members.discard(connection)
        self._serve()

    def sweep(self, now: float) -> float:
        """Ends what is over time. Returns the earliest deadline left, infinity when there is none."""
        earliest = float("inf")
        for connection in list(self._members):
            if connection.deadline <= now:
                connection.expire()
            else:
                earliest = min(earliest, connection.deadline)
        for waiter, deadline in list(self._waiters.items()):
            if deadline <= now:
                del self._waiters[waiter]
                message = "the whole time has passed in waiting for a free connection"
                _fail(waiter, Silent(message, total=True, sent=False))
            else:
                earliest = min(earliest, deadline)
        return earliest

    def retire(self) -> None:
        """Takes nothing new: who waits is `Unreached`, idle connections close now, busy ones after their answer."""
        self._retired = True
        waiters, self._waiters = self._waiters, OrderedDict()
        for waiter in waiters:
            _fail(waiter, Unreached("the server was removed"))
        for connection in list(self._idle):
            connection.close()

    def shut(self) -> list[Connection]:
        """Retires and closes all. Returns the connections that are closing."""
        members = list(self._members)
        self.retire()
        for connection in members:
            connection.close()
        return members

    @property
    def _has_room(self) -> bool:
        return len(self._members) + self._opening < self.limit

    def _serve(self) -> None:
        while self._waiters and self._has_room:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                self._opening += 1
                waiter.set_result(None)


def _fail(waiter: asyncio.Future[Connection | None], error: Exception) -> None:
    if not waiter.done():
        waiter.set_exception(error)
