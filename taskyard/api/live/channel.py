"""One topic as some callers see it: its state, and what is said of it, encoded once. Knows no listeners."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec
import structlog

from taskyard.api.call import Call
from taskyard.host.errors import Overloaded

log = structlog.get_logger("taskyard.api")
_encode = msgspec.json.Encoder().encode


class Topic(NamedTuple):
    """Something to be told of.

    `point` gives its present state as a struct without the time, for those whose `audience` is the same as the call's:
    true for admins, or for readers of Chinese; `None` where it is everybody's. `change` gives what is told to those who
    know the state before, or `None` where that is the whole; `read` then takes a state's JSON apart. `own`: each node
    knows it by itself; any other topic the one that decides.
    """

    name: str
    audience: Callable[[Call], bool | None]
    point: Callable[[Call], Awaitable[msgspec.Struct]]
    change: Callable[[Any, Any], msgspec.Struct | None] | None = None
    read: Callable[[bytes], msgspec.Struct] | None = None
    own: bool = False


class Event:
    """Something told: its name and its JSON, with the node's time; made into an event of a stream once."""

    __slots__ = ("_sse", "data", "name")

    def __init__(self, name: str, data: bytes) -> None:
        self.name = name
        self.data = data
        self._sse = b""

    @property
    def sse(self) -> bytes:
        """As a `text/event-stream` has it. The JSON has no line ends of its own."""
        if not self._sse:
            self._sse = b"event: %b\ndata: %b\n\n" % (self.name.encode(), self.data)
        return self._sse


class Encoder:
    """Makes JSON, and counts how often: it must not depend on how many listen."""

    def __init__(self) -> None:
        self.count = 0

    def encode(self, state: msgspec.Struct) -> bytes:
        """A struct as JSON."""
        self.count += 1
        return _encode(state)


def timed(body: bytes, now: int) -> bytes:
    """A JSON object with the node's time (ms) as its first member."""
    return b'{"now":%d%b%b' % (now, b"" if body == b"{}" else b",", body[1:])


class Channel:
    """A topic for one audience. Moments are the hub's ticks, which only grow.

    `changed_at` is when the state last changed and `before` when it did before that: who has seen `before` or later
    needs no more than the change. `failed`: it cannot be looked at now. `known`: its state is of a look since somebody
    listens, and not of some time before.
    """

    def __init__(self, topic: Topic, call: Call) -> None:
        self.topic = topic
        self._call = call
        self._state: msgspec.Struct | None = None
        self.body = b""
        self.changed_at = 0
        self.before = 0
        self.users = 0
        self.used_at = 0
        self.failed = False
        self.known = False
        self._whole: Event | None = None
        self._change: Event | None = None
        self._now = 0

    @property
    def key(self) -> tuple[str, bool | None]:
        """What nodes call it by."""
        return self.topic.name, self.topic.audience(self._call)

    async def look(self, encoder: Encoder, tick: int, now: int) -> None:
        """See what there is at this tick. Raises nothing: see `failed`."""
        try:
            state = await self.topic.point(self._call)
        except Exception as error:
            if not isinstance(error, Overloaded):
                log.exception("topic failed", topic=self.topic.name)
            self.failed = True
            return
        self.failed, self.known = False, True
        body = encoder.encode(state)
        if body != self.body:
            self._keep(state, body, encoder, tick, now)

    def hear(self, body: bytes, encoder: Encoder, tick: int, now: int) -> None:
        """Another node has said what there is, as JSON."""
        self.failed, self.known = False, True
        if body != self.body:
            state = None if self.topic.read is None else self.topic.read(body)
            self._keep(state, body, encoder, tick, now)

    def _keep(self, state: msgspec.Struct | None, body: bytes, encoder: Encoder, tick: int, now: int) -> None:
        change = None
        if self.topic.change is not None and self._state is not None and state is not None:
            change = self.topic.change(self._state, state)
        self._change = None if change is None else Event(self.topic.name, timed(encoder.encode(change), now))
        self._whole = None
        self._state, self.body, self._now = state, body, now
        self.before, self.changed_at = self.changed_at, tick

    def since(self, seen: int) -> Event:
        """What to tell who has been told all up to the tick `seen`."""
        if self._change is not None and seen >= self.before:
            return self._change
        if self._whole is None:
            self._whole = Event(self.topic.name, timed(self.body, self._now))
        return self._whole
