"""Where what is told comes from: this node's own memory while it decides, else the word of the node that does.

Knows since when neither was to be had, so that nobody takes the old for the present.
"""

from __future__ import annotations

from collections.abc import Callable

from taskyard.api.live.channel import Channel, Encoder
from taskyard.api.live.ear import Ear
from taskyard.api.live.exchange import Key
from taskyard.host.errors import Unavailable
from taskyard.host.port import NodePort


class Source:
    """See the module. `wanted` are the keys of what is listened to; `heard` is called when the decider has spoken."""

    def __init__(
        self, node: NodePort, encoder: Encoder, wanted: Callable[[], list[Key]], heard: Callable[[], None]
    ) -> None:
        self._node = node
        self._encoder = encoder
        self._ear = Ear(node, wanted, heard)
        self._stale_ms = node.settings.event_stale + node.settings.event_interval
        self._sure_at = 0
        self._decided = False

    def begin(self, now: int) -> None:
        """Somebody listens, after nobody did."""
        self._sure_at = now
        self._decided = self._node.decides

    def stop(self) -> None:
        """Nobody listens any more."""
        self._ear.stop()

    def turn(self, now: int) -> None:
        """Once a tick (at `now`, ms): see who decides. When it was another one before, all watched tasks are read."""
        node, decides = self._node, self._node.decides
        if node.decider is None:
            self._ear.stop()
        else:
            self._ear.start()
            self._sure_at = max(self._sure_at, self._ear.heard_at)
        if decides and node.unsure() is None:
            self._sure_at = now
        if decides and not self._decided:
            node.watched.touch_all()
        self._decided = decides

    @property
    def sure(self) -> bool:
        """Whether this node decides, and can know what is."""
        return self._decided and self._node.unsure() is None

    def stale_since(self, now: int) -> int | None:
        """Up to when it is known what is (ms), if that is too long ago; else `None`."""
        return self._sure_at if now - self._sure_at > self._stale_ms else None

    async def look(self, channel: Channel, tick: int, now: int, *, first: bool = False) -> None:
        """See what there is; `first`: nobody has listened to it until now. Raises nothing: see the channel."""
        if channel.topic.own or self._node.decides:
            await channel.look(self._encoder, tick, now)
        elif first:
            try:
                body = await self._ear.look(channel.key)
            except Unavailable:
                return  # whoever listens is told as soon as there is something
            channel.hear(body, self._encoder, tick, now)
        elif channel.key in self._ear.failed:
            channel.failed = True
        elif (heard := self._ear.states.get(channel.key)) is not None:
            channel.hear(heard, self._encoder, tick, now)
