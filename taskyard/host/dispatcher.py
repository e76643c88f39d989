"""The dispatcher: carries out `Dispatch` and `Abort`. One POST per attempt; its end becomes a fact. Decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog

from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Server
from taskyard.engine.facts import Ended, Fact, SlotFreed
from taskyard.engine.plan import Abort, Dispatch
from taskyard.host.answers import read_failure, read_reply
from taskyard.host.budget import Budget
from taskyard.host.keys import Keys
from taskyard.host.transport.port import Bounds, Lines, Reply, Transport, TransportError, Withheld, lines
from taskyard.settings import Settings
from taskyard.tracing.context import head_lines

if TYPE_CHECKING:
    from taskyard.tracing.spans import Spans

log = structlog.get_logger()
CANCEL_ANSWER_MOST = 64 * 1024
_encode = msgspec.json.encode


class Dispatcher:
    """Sends attempts, none while `budget` is tight; their results are booked in it.

    `put` takes the facts it makes, `servers` finds a server, `now` is the node's clock.
    """

    def __init__(
        self,
        settings: Settings,
        transport: Transport,
        budget: Budget,
        keys: Keys,
        put: Callable[[Fact], None],
        servers: Callable[[str], Server | None],
        now: Callable[[], int],
        public_base: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._budget = budget
        self._keys = keys
        self._put = put
        self._servers = servers
        self._now = now
        self._public_base = public_base
        self._running: dict[tuple[str, int], asyncio.Future[Reply] | asyncio.Task[None]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self.spans: Spans | None = None

    def dispatch(self, effect: Dispatch) -> None:
        """Begin to send an attempt: at once when a connection to its server is free."""
        key = (effect.task_id, effect.attempt)
        try:
            sent = self._send_now(effect)
        except Exception:
            self._put(_broken(effect))
            return
        sending = self._running[key] = sent or asyncio.get_running_loop().create_task(self._send(effect))
        if self.spans is not None:
            self.spans.dispatched(effect, sending)

    def abort(self, effect: Abort) -> None:
        """Give up an attempt: close its connection, and ask the server to stop where it can be asked."""
        task = self._running.pop((effect.task_id, effect.attempt), None)
        if task is not None:
            task.cancel()
        if effect.cancel_url is not None:
            asking = asyncio.get_running_loop().create_task(self._ask_to_stop(effect, effect.cancel_url))
            self._background.add(asking)
            asking.add_done_callback(self._background.discard)

    def sending(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs that are being sent."""
        return set(self._running)

    async def idle(self, within_ms: int) -> None:
        """Wait until nothing is being sent any more, at most so long."""
        if self._running:
            await asyncio.wait(list(self._running.values()), timeout=within_ms / 1000)

    async def close(self) -> None:
        """Cut off everything."""
        tasks: list[asyncio.Future[Reply] | asyncio.Task[None]] = [*self._running.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _send_now(self, effect: Dispatch) -> asyncio.Future[Reply] | None:
        """The usual way: no task, no waiting. `None` when it takes more than that; then nothing was sent."""
        server = self._servers(effect.server_id)
        payload = effect.payload
        if server is None or payload is None or self._budget.tight:
            return None
        sent = self._transport.post_now(
            server.predict,
            self._head(effect, server),
            self._body(effect, payload),
            self._bounds(effect),
            pool_key=server.id,
            max_connections=server.max_concurrent + 1,
            done=partial(self._sent, effect, server.is_async),
        )
        if sent is not None:
            effect.payload = None
        return sent

    def _sent(self, effect: Dispatch, server_is_async: bool, answered: asyncio.Future[Reply]) -> None:
        self._running.pop((effect.task_id, effect.attempt), None)
        if answered.cancelled():
            return
        try:
            fact = self._read(effect, answered.result(), server_is_async)
        except TransportError as error:
            fact = read_failure(effect.task_id, effect.attempt, error)
        except Exception:
            fact = _broken(effect)
        self._tell(fact)

    async def _send(self, effect: Dispatch) -> None:
        """The long way: a connection must be made, or waited for."""
        key = (effect.task_id, effect.attempt)
        try:
            if self._budget.tight:
                await self._budget.room()
            server = self._servers(effect.server_id)
            if server is None:
                return  # removed in the same moment: the engine has given the attempt up
            if effect.payload is None:
                fact = _not_sent(effect, "unreadable: the task's payload is damaged in the database, or gone from it")
                fact.final = True
            else:
                fact = await self._exchange(effect, server, effect.payload)
        except asyncio.CancelledError:
            raise
        except Exception:
            fact = _broken(effect)
        finally:
            self._running.pop(key, None)
        self._tell(fact)

    def _tell(self, fact: Ended) -> None:
        if fact.result is not None:
            self._budget.add(len(fact.result))
        if self.spans is not None:
            self.spans.answered(fact)
        self._put(fact)

    async def _exchange(self, effect: Dispatch, server: Server, payload: str) -> Ended:
        effect.payload = None
        try:
            exchange = self._transport.post(
                server.predict,
                self._head(effect, server),
                self._body(effect, payload),
                self._bounds(effect),
                pool_key=server.id,
                max_connections=server.max_concurrent + 1,
            )
            del payload  # the transport lets go of it once it is written
            reply = await exchange
        except Withheld:
            return _withheld(effect)
        except TransportError as error:
            return read_failure(effect.task_id, effect.attempt, error)
        return self._read(effect, reply, server.is_async)

    def _read(self, effect: Dispatch, reply: Reply, server_is_async: bool) -> Ended:
        return read_reply(
            effect.task_id, effect.attempt, reply, server_is_async=server_is_async, responded_at=self._now()
        )

    def _bounds(self, effect: Dispatch) -> Bounds:
        settings = self._settings
        return Bounds(
            # The engine ends an attempt at its limit; the transport's own limit stands behind it.
            total_ms=max(1, effect.limit_at - self._now()) + settings.answer_grace,
            body_max=settings.result_max_bytes,
            connect_ms=settings.connect_timeout,
            silence_ms=settings.silence_timeout,
            head_max=settings.answer_head_bytes,
            head_lines=settings.answer_head_lines,
            idle_ms=settings.backend_keep_alive,
        )

    def _head(self, effect: Dispatch, server: Server) -> Lines:
        # Ids and traceparents are matched by pattern where they come in, so no line can end early.
        head = b"Idempotency-Key: %b\r\nX-Taskyard-Attempt: %d\r\nX-Taskyard-Hops: %d\r\n" % (
            effect.task_id.encode(),
            effect.attempt,
            effect.hops + 1,
        )
        traceparent = effect.traceparent
        if traceparent is not None:
            head += head_lines(traceparent if self.spans is None else self.spans.heading(traceparent, effect))
        if server.api_key is not None:
            head += lines(self._authorization(server.id, server.api_key))
        return Lines(head)

    def _authorization(self, server_id: str, sealed: str | None) -> list[tuple[bytes, bytes]]:
        if sealed is None:
            return []
        api_key = self._keys.open(sealed)
        if api_key is None:
            log.error("api_key_unreadable", server=server_id, mend="register it again with its apiKey")
            return []
        return [(b"Authorization", b"Bearer " + api_key.encode())]

    def _body(self, effect: Dispatch, payload: str) -> list[bytes]:
        proof = self._keys.proof(effect.task_id, effect.attempt, effect.server_id)
        url = f"{self._public_base()}/api/task/{effect.task_id}/callback/{effect.attempt}-{proof}"
        return [
            b'{"task_id":"%b","request":{"type":%b,"payload":' % (effect.task_id.encode(), _encode(effect.type)),
            payload.encode(),
            b',"priority":%d,"capabilities":%b,"async":%b},"callback_url":%b,"attempt":%d,"timeout":%d}'
            % (
                effect.priority,
                _encode(effect.capabilities),
                b"true" if effect.run_async else b"false",
                _encode(url),
                effect.attempt,
                effect.timeout_ms,
            ),
        ]

    async def _ask_to_stop(self, effect: Abort, url: str) -> None:
        bounds = Bounds(
            total_ms=max(1, self._settings.linger),
            body_max=CANCEL_ANSWER_MOST,
            connect_ms=self._settings.connect_timeout,
        )
        body = _encode({"task_id": effect.task_id, "attempt": effect.attempt})
        try:
            reply = await self._transport.post(
                url,
                self._authorization(effect.server_id, effect.api_key),
                body,
                bounds,
                pool_key=f"{effect.server_id} cancel",
                max_connections=4,
            )
        except TransportError:
            return  # the linger frees the slot
        if reply.status == 404 or 200 <= reply.status < 300:
            self._put(SlotFreed(task_id=effect.task_id, attempt=effect.attempt))


def _not_sent(effect: Dispatch, reason: str) -> Ended:
    return read_failure(effect.task_id, effect.attempt, TransportError(reason))


def _withheld(effect: Dispatch) -> Ended:
    reason = "the node that should dispatch it may have been taken for dead meanwhile; nothing was sent"
    return Ended(task_id=effect.task_id, attempt=effect.attempt, outcome=Outcome.DECLINED, error=reason)


def _broken(effect: Dispatch) -> Ended:
    """The node itself failed over an attempt; called where the exception is at hand, which it logs."""
    log.exception("dispatch_failed", task=effect.task_id, attempt=effect.attempt, server=effect.server_id)
    return _not_sent(effect, "the node failed to send the request")
