"""Makes what is told, once for all who need the same of it, and gives it the id from which a listener can go on."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence

from taskyard.api.live.channel import Channel, Event, timed
from taskyard.api.stream import Piece


class Bundle:
    """Events that go out together, in order, and the id that whoever has got them all may go on from."""

    __slots__ = ("_piece", "events", "mark")

    def __init__(self, events: Sequence[Event], mark: bytes) -> None:
        self.events = events
        self.mark = mark
        self._piece: Piece | None = None

    @property
    def piece(self) -> Piece:
        """As a piece of a `text/event-stream`, made once. The id comes last, in an event without data, which clients
        keep and do not show: it must not be theirs before all the others are."""
        if self._piece is None:
            self._piece = Piece(b"%bid: %b\n\n" % (b"".join([event.sse for event in self.events]), self.mark))
        return self._piece


class Press:
    """Of one hub. `tick` counts its moments; `now` is the node's time (ms)."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._life = secrets.token_hex(4)
        self._bundles: dict[tuple[tuple[Channel, ...], int], Bundle] = {}
        self._snapshots: dict[tuple[tuple[Channel, ...], bytes], Event] = {}
        self.tick = 0

    def next_tick(self) -> int:
        """A new moment, at which something is looked at; the node's time."""
        self.tick += 1
        self._bundles.clear()
        self._snapshots.clear()
        return self._now()

    @property
    def mark(self) -> bytes:
        """The id of all that was told up to now."""
        return b"%b-%d" % (self._life.encode(), self.tick)

    def tick_of(self, mark: str) -> int | None:
        """The tick of an id that was given here, or `None`."""
        life, _, tick = mark.partition("-")
        if life != self._life or not (tick.isascii() and tick.isdigit() and len(tick) < 16):
            return None
        return int(tick) if int(tick) <= self.tick else None

    def event(self, name: str, body: bytes = b"{}") -> Event:
        """An event of the hub's own."""
        return Event(name, timed(body, self._now()))

    def stale(self, since: int | None) -> Event:
        """That all that was told is as of a time (ms); `None`: as of now again."""
        return self.event("stale", b'{"since":%b}' % (b"null" if since is None else b"%d" % since))

    def snapshot(self, channels: tuple[Channel, ...], unknown: bytes) -> Event:
        """The present state of channels, and (JSON, or nothing) which tasks are not known."""
        found = self._snapshots.get((channels, unknown))
        if found is None:
            members = [b'"%b":%b' % (channel.topic.name.encode(), channel.body) for channel in channels]
            if unknown:
                members.append(b'"unknown":' + unknown)
            found = self._snapshots[channels, unknown] = self.event("snapshot", b"{%b}" % b",".join(members))
        return found

    def bundle(self, channels: tuple[Channel, ...], seen: int) -> Bundle:
        """What is new of channels to who was told all up to the tick `seen`."""
        found = self._bundles.get((channels, seen))
        if found is None:
            events = [channel.since(seen) for channel in channels if channel.changed_at > seen]
            found = self._bundles[channels, seen] = Bundle(events, self.mark)
        return found
