"""One listener: what it wants to be told, and what it has been told. How that is written is its own business.

It holds no events: the hub works out what is new to it whenever its client can take something.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from taskyard.api.call import Call
from taskyard.api.live.channel import Channel, Event, Topic
from taskyard.api.live.press import Bundle
from taskyard.api.live.watches import Watch
from taskyard.api.stream import Outlet
from taskyard.tokens import LEEWAY_S

if TYPE_CHECKING:
    from taskyard.api.live.hub import Hub


class Viewer:
    """A stream that the hub feeds.

    `seen` is the tick up to which all was told, `sent_at` the tick of the last word; `behind`: some watched task
    changed since; `stale`: it was told that what it knows may be so no more. `told_at` are the ticks at which single
    tasks were told of after `seen`. `topics` and `wanted` are what it begins with.
    """

    def __init__(self, hub: Hub, call: Call, topics: Sequence[Topic], wanted: Sequence[str]) -> None:
        self.call = call
        self.owner = call.owner
        self.subject = call.who.sub
        self.topics = topics
        self.wanted = wanted
        self.channels: tuple[Channel, ...] = ()
        self.watches: dict[str, Watch] = {}
        self.seen = self.sent_at = -1
        self.behind = False
        self.stale = False
        self.told_at: dict[str, int] = {}
        self.left = False
        self.outlet: Outlet
        self._hub = hub
        self._expires_ms = (call.who.expires_s + LEEWAY_S) * 1000
        self._renews_ms = call.node.now() + call.node.settings.event_lifetime

    def over(self, now: int) -> str | None:
        """Why it ends at this time (ms): its token has expired, or it has been here for long enough; or `None`."""
        if now >= self._expires_ms:
            return "expired"
        return "renew" if now >= self._renews_ms else None

    # --- what the connection tells ------------------------------------------------------------------------------------

    def open(self, outlet: Outlet) -> None:
        self.outlet = outlet
        self._hub.join(self)

    def ready(self) -> None:
        self._hub.serve(self)

    def gone(self) -> None:
        self._hub.leave(self)

    def heard(self, data: bytes) -> None:
        raise NotImplementedError  # a stream that does not listen is never told

    # --- what the hub tells -------------------------------------------------------------------------------------------

    def begin(self, asked: Sequence[str], unknown: Sequence[str]) -> None:
        """What it wanted is there; of the tasks it asked for these are not known to it."""
        raise NotImplementedError

    def forgot(self, task_ids: Sequence[str]) -> None:
        """It watches these tasks no longer, as it wanted."""
        raise NotImplementedError  # a stream that does not listen never wants that

    def send(self, bundle: Bundle) -> None:
        """Write something that is new to it."""
        raise NotImplementedError

    def silence(self, now: Event) -> None:
        """Nothing happened for a while: say that all is well."""
        raise NotImplementedError

    def doubt(self, stale: Event) -> None:
        """Say up to when it is known what is, or that it is known again."""
        raise NotImplementedError

    def end(self, reason: str) -> None:
        """Say why, and end."""
        raise NotImplementedError
