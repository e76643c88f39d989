"""One request on its way through an operation, and the answer when it is not JSON made from a struct."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from taskyard.api.problems import Header, Problem, of_refusal
from taskyard.api.request import HungUp, Request
from taskyard.api.stream import Stream
from taskyard.engine.facts import Fact
from taskyard.engine.plan import Refusal, Result
from taskyard.host.bulk import BulkJobs
from taskyard.host.port import NodePort
from taskyard.tokens import Principal
from taskyard.tracing.context import received

if TYPE_CHECKING:
    from taskyard.api.live.hub import Hub

R = TypeVar("R", bound=Result)
W = TypeVar("W")
NOBODY = Principal("", frozenset())


@dataclass(slots=True)
class Reply:
    """An answer with a body of its own, or a stream of it."""

    body: bytes
    content_type: bytes = b"application/json"
    status: int = 200
    headers: tuple[Header, ...] = ()
    stream: Stream | None = None


@dataclass(slots=True)
class Call:
    """A request that is allowed and read.

    `args` are the path's variable parts in order, `raw` the body's bytes. `status`, `headers` and `warnings` go into
    the answer.
    """

    node: NodePort
    bulk: BulkJobs
    live: Hub
    who: Principal
    args: tuple[str, ...]
    request_headers: dict[bytes, bytes]
    request: Request
    request_id: str
    strict: bool
    raw: bytes
    warnings: list[str]
    headers: list[Header]
    status: int = 200

    @property
    def admin(self) -> bool:
        """Whether the caller may do everything."""
        return "admin" in self.who.roles

    @property
    def owner(self) -> str | None:
        """Whose tasks the caller may see and change; `None`: all."""
        return None if "admin" in self.who.roles else self.who.sub

    def alone(self) -> Call:
        """The same caller, who asks again later and of whom nothing else is kept; no client waits."""
        language = self.request_headers.get(b"accept-language")
        headers = {} if language is None else {b"accept-language": language}
        request = Request("GET", self.request.path, b"", headers, "", _nothing, _nothing)
        return replace(self, request=request, request_headers=headers, raw=b"", warnings=[], headers=[])

    def let_go(self) -> None:
        """Give the body's bytes back to the budget before the answer: what they say is stored."""
        self.node.release(len(self.raw))
        self.raw = b""

    def header(self, name: bytes) -> str | None:
        """A request header's value (the name in lower case); bytes that are not UTF-8 are replaced."""
        value = self.request_headers.get(name)
        return None if value is None else value.decode("utf-8", "replace").strip()

    def trace_context(self) -> str | None:
        """W3C's trace context that came with the request, `None` for none that is one; see `tracing.context`."""
        parent = self.header(b"traceparent")
        return None if parent is None else received(parent, self.header(b"tracestate"))

    async def ask(self, fact: Fact, kind: type[R]) -> R:
        """Put a fact to the node. Raises `Problem` when it is refused."""
        return granted(await self.node.ask(fact), kind)

    async def until(self, waiting: Coroutine[Any, Any, bool]) -> bool:
        """Wait for something as long as the client stays. Raises `HungUp`."""
        return await self.watch(asyncio.ensure_future(waiting))

    async def watch(self, waiter: asyncio.Future[W]) -> W:
        """As `until`, for a wait that has begun."""
        gone = self.request.when_gone()
        try:
            either: set[asyncio.Future[Any]] = {waiter, gone}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if waiter.done():
                return waiter.result()
            raise HungUp
        finally:
            gone.cancel()
            waiter.cancel()


def _nothing() -> None:
    """What a request without a client tells it."""


def granted(result: Result, kind: type[R]) -> R:
    """A result of the kind that was asked for. Raises `Problem` for a refusal."""
    if isinstance(result, kind):
        return result
    if isinstance(result, Refusal):
        raise of_refusal(result)
    raise TypeError(f"the turn answered {type(result).__name__} where {kind.__name__} was expected")


__all__ = ["NOBODY", "Call", "Problem", "Reply", "granted"]
