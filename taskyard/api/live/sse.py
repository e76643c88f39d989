"""A listener by server-sent events (the `text/event-stream` of the HTML standard)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from taskyard.api.call import Call
from taskyard.api.live.channel import Event, Topic
from taskyard.api.live.press import Bundle
from taskyard.api.live.viewer import Viewer
from taskyard.api.stream import Piece

if TYPE_CHECKING:
    from taskyard.api.live.hub import Hub


class EventStream(Viewer):
    """One answer to `GET /api/events`. `last` is the id that the client has got so far, `None` when it has none.

    `once`: it ends when all the tasks have.
    """

    def __init__(
        self,
        hub: Hub,
        call: Call,
        topics: Sequence[Topic],
        wanted: Sequence[str],
        last: str | None,
        *,
        once: bool = False,
    ) -> None:
        super().__init__(hub, call, topics, wanted)
        self._last = last
        self._once = once

    def begin(self, asked: Sequence[str], unknown: Sequence[str]) -> None:
        hub, press = self._hub, self._hub.press
        resumed = None if self._last is None else press.tick_of(self._last)
        if resumed is not None:
            self.seen = resumed
            self.behind = True
            hub.serve(self)
            return
        events = [] if self._last is None else [press.event("reset")]
        events.append(press.snapshot(self.channels, msgspec.json.encode(unknown) if asked else b""))
        events += [watch.event for watch in self.watches.values()]
        self.seen = self.sent_at = hub.tick
        self.send(Bundle(events, press.mark))

    def send(self, bundle: Bundle) -> None:
        self.outlet.write(bundle.piece)
        if self._once and all(watch.ended for watch in self.watches.values()):
            self._hub.dismiss(self, "ended")

    def silence(self, now: Event) -> None:
        self.outlet.write(Piece(now.sse))

    def doubt(self, stale: Event) -> None:
        self.outlet.write(Piece(stale.sse))

    def end(self, reason: str) -> None:
        self.outlet.write(Piece(self._hub.press.event("end", b'{"reason":"%b"}' % reason.encode()).sse))
        self.outlet.end()
