"""The transport that the node runs on: HTTP/1.1 by `connection`, reused by `pool`, within the `address` policy.

What one exchange costs decides how many tasks a core can serve, so the usual way (a connection is free) has no task, no
timer and no parsing of the URL: the request's first lines are kept ready, and one sweep looks after all deadlines.

**Never sent twice.** When a server closes a connection just as a request goes out on it, nobody can know whether the
request was read; HTTP leaves such a request undecided, and a task's dispatch must not be repeated behind the engine's
back. So a POST then fails as `Broken`, and what can be done is done before: a close (or a byte) on an idle connection
is seen by the loop and takes the connection out of the pool; one that was idle for over a second is asked once more
just before use, since the loop may lag behind; a server's `Keep-Alive: timeout` is undercut. A connection known to
be closed before anything was written is replaced without a word. A GET, which changes nothing, is repeated once.

Names are resolved by the policy alone, no proxy is read from the environment, no redirect is followed.
"""

import asyncio
import ssl
from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import partial
from typing import Any

from taskyard.host.budget import Budget
from taskyard.host.transport.address import AddressPolicy
from taskyard.host.transport.connection import Connection, Stale
from taskyard.host.transport.dialing import Dialer
from taskyard.host.transport.pool import Pool
from taskyard.host.transport.port import Bounds, Headers, Lines, Reply, Unreached, Withheld, lines
from taskyard.host.transport.reading import Reading
from taskyard.host.transport.target import Target, parse

SWEEP_S = 1.0  # between two looks at the deadlines, when none is due earlier
SWEEP_MIN_S = 0.05  # at least; a deadline is kept to within this
TARGETS_MAX = 4096  # URLs kept taken apart
NO_END = 1 << 62  # bytes


class Client:
    """A `Transport`. Made within a running loop, which it then belongs to.

    `tls` defaults to the system's trust store (which SSL_CERT_FILE extends), read at the first https connection;
    `budget`, which answers' bodies count against, to one without an end. `may_send` is asked once more right before a
    POST is written that had to wait for its connection, and before the last part of one that the system did not take at
    once: much may have happened meanwhile.
    """

    def __init__(
        self, policy: AddressPolicy, *, tls: ssl.SSLContext | None = None, budget: Budget | None = None
    ) -> None:
        self._reading = Reading(Budget(NO_END) if budget is None else budget, self._connections)
        self._loop = asyncio.get_running_loop()
        self._dialer = Dialer(policy, tls, self._loop)
        self._targets: dict[str, Target] = {}
        self._pools: dict[str, dict[tuple[str, str, int], Pool]] = {}
        self._retired: set[Pool] = set()  # forgotten, but with exchanges under way
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False
        self.may_send: Callable[[], bool] = _always

    def post(
        self,
        url: str,
        headers: Headers | Lines,
        body: bytes | Sequence[bytes],
        bounds: Bounds,
        *,
        pool_key: str,
        max_connections: int,
    ) -> Coroutine[Any, Any, Reply]:
        if isinstance(body, bytes):
            parts: Sequence[bytes] = (body,)
            size = len(body)
        else:
            parts = body
            size = sum(map(len, body))
        target = self._targets.get(url) or self._target(url)
        fields = headers if isinstance(headers, bytes) else lines(headers)
        head = b"%b%d\r\n%b\r\n" % (target.post, size, fields)
        request = (head, *parts)
        return self._exchange(target, request, len(head) + size, bounds, pool_key, max_connections)

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
        target = self._targets.get(url)
        pools = self._pools.get(pool_key)
        if target is None or pools is None:
            return None
        pool = pools.get(target.origin)
        if pool is None:
            return None
        pool.limit = max_connections
        now = self._loop.time()
        connection = pool.take(now)
        if connection is None:
            return None
        size = sum(map(len, body))
        first = b"%b%d\r\n%b\r\n" % (target.post, size, head)
        total_at = now + bounds.total_ms / 1000
        if self._sweep is None or total_at < self._sweep.when():
            self._watch(total_at)
        waiter = connection.exchange(
            (first, *body), len(first) + size, bounds, total_at=total_at, connect_ms=0, may_send=self.may_send
        )
        waiter.add_done_callback(partial(_settled, connection, done))
        return waiter

    async def get(self, url: str, headers: Headers, bounds: Bounds, *, pool_key: str, max_connections: int) -> Reply:
        target = self._targets.get(url) or self._target(url)
        head = b"%b%b\r\n" % (target.get, lines(headers))
        try:
            return await self._exchange(target, (head,), len(head), bounds, pool_key, max_connections)
        except Stale:
            return await self._exchange(target, (head,), len(head), bounds, pool_key, max_connections, fresh=True)

    def forget(self, pool_key: str) -> None:
        for pool in self._pools.pop(pool_key, {}).values():
            pool.retire()
            if not pool.empty:
                self._retired.add(pool)

    async def close(self) -> None:
        self._closed = True
        closing: list[Connection] = []
        for pool in self._all_pools():
            closing += pool.shut()
        self._pools.clear()
        self._retired.clear()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if closing:
            await asyncio.wait([connection.gone for connection in closing])

    # One exchange -----------------------------------------------------------------------------------------------------

    async def _exchange(
        self,
        target: Target,
        request: Sequence[bytes],
        size: int,
        bounds: Bounds,
        pool_key: str,
        max_connections: int,
        *,
        fresh: bool = False,
    ) -> Reply:
        started = self._loop.time()
        total_at = started + bounds.total_ms / 1000
        try:
            pool = self._pools[pool_key][target.origin]
        except KeyError:
            pool = self._new_pool(pool_key, target)
        pool.limit = max_connections
        connection = None if fresh else pool.take(started)
        connect_ms = 0
        while connection is None:
            connection = await pool.wait(self._loop, total_at)
            if connection is None:
                connection, connect_ms = await self._open(pool, target, bounds, total_at)
            elif connection.ended:  # since it was handed over
                connection.close()
                connection = None
        if request[0].startswith(b"POST") and not self.may_send():
            connection.close()
            raise Withheld("it must not be sent any more: nothing was sent")
        if self._sweep is None or total_at < self._sweep.when():
            self._watch(total_at)
        waiter = connection.exchange(
            request, size, bounds, total_at=total_at, connect_ms=connect_ms, may_send=self.may_send
        )
        del request  # once it is written its memory is free, however long the answer takes
        try:
            return await waiter
        finally:
            if connection.waiter is waiter:  # this task was cancelled
                connection.close()

    def _target(self, url: str) -> Target:
        try:
            target = parse(url)
        except ValueError as error:
            raise Unreached(f"not a URL to send to: {error}", "its endpoint is not a URL to send to") from None
        if len(self._targets) >= TARGETS_MAX:
            self._targets.clear()
        self._targets[url] = target
        return target

    def _new_pool(self, pool_key: str, target: Target) -> Pool:
        if self._closed:
            raise Unreached("the client is closed")
        pool = self._pools.setdefault(pool_key, {})[target.origin] = Pool(1, self._watch, self._reading)
        return pool

    async def _open(self, pool: Pool, target: Target, bounds: Bounds, total_at: float) -> tuple[Connection, int]:
        """Opens a connection under a leave from `pool`. Returns it and the ms it took. Raises Unreached."""
        started = self._loop.time()
        try:
            connection = await self._dialer.connect(pool, target, min(total_at, started + bounds.connect_ms / 1000))
        except BaseException:
            pool.gave_up()
            raise
        if self._closed:
            pool.gave_up()
            connection.close()
            raise Unreached("the client is closed")
        pool.joined(connection)
        if connection.ended:
            connection.close()
            early = "ended the connection, or spoke on it, before a request was sent"
            raise Unreached(f"{target.place} {early}", f"the server {early}")
        return connection, int((self._loop.time() - started) * 1000)

    # Deadlines --------------------------------------------------------------------------------------------------------

    def _watch(self, deadline: float) -> None:
        """Sees to it that a sweep comes at `deadline` or before."""
        if self._sweep is not None:
            if self._sweep.when() <= deadline:
                return
            self._sweep.cancel()
        self._sweep = self._loop.call_at(min(deadline, self._loop.time() + SWEEP_S), self._on_sweep)

    def _on_sweep(self) -> None:
        self._sweep = None
        now = self._loop.time()
        earliest = min((pool.sweep(now) for pool in self._all_pools()), default=float("inf"))
        self._retired = {pool for pool in self._retired if not pool.empty}
        for pool_key, pools in list(self._pools.items()):
            for origin in [origin for origin, pool in pools.items() if pool.empty]:
                del pools[origin]
            if not pools:
                del self._pools[pool_key]
        if self._pools or self._retired:
            self._watch(max(earliest, now + SWEEP_MIN_S))

    def _connections(self) -> Iterator[Connection]:
        for pool in self._all_pools():
            yield from pool.connections

    def _all_pools(self) -> list[Pool]:
        return [pool for pools in self._pools.values() for pool in pools.values()] + list(self._retired)


def _always() -> bool:
    return True


def _settled(
    connection: Connection, done: Callable[[asyncio.Future[Reply]], None], waiter: asyncio.Future[Reply]
) -> None:
    if waiter.cancelled() and connection.waiter is waiter:
        connection.close()
    done(waiter)
