"""The hub: looks once a second at what anybody listens to, and tells each listener what is new to it.

One task for all listeners; it sleeps while there are none. Knows when and to whom, not how anything is written.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import structlog

from taskyard.api.call import Call
from taskyard.api.live.channel import Channel, Encoder, Event, Topic, timed
from taskyard.api.live.viewer import Bundle, Viewer
from taskyard.api.live.watches import Watches
from taskyard.api.problems import TOO_MANY, Problem
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.port import NodePort

log = structlog.get_logger("taskyard.api")
# Listeners told without a pause: even if each takes 20 µs, no turn waits longer than 2 ms for it.
TOLD_AT_ONCE = 100
# For so many ticks a channel without listeners is kept: who comes back by then is told only what changed.
KEPT_TICKS = 60


def check_decides(node: NodePort) -> None:
    """Raises `Unavailable` on a node that does not decide: what it knows is not what happens."""
    decider = node.decider
    if decider is not None:
        where = "" if decider.url is None else f" ({decider.url})"
        raise Unavailable(f"this node does not decide; the one that does{where} tells of events")
    node.live()


class Hub:
    """The listeners of one node."""

    def __init__(self, node: NodePort) -> None:
        settings = node.settings
        self.node = node
        self.encoder = Encoder()
        self.tick = 0
        self.closed = False
        self._life = secrets.token_hex(4)
        self._interval_s = settings.event_interval / 1000
        self._silence_ticks = max(1, settings.event_silence // settings.event_interval)
        self._most = settings.event_streams
        self._most_per_sub = settings.event_streams_per_sub
        self._watches_most = settings.event_tasks
        self._channels: dict[tuple[str, object], Channel] = {}
        self._watches = Watches(node, self.encoder)
        self._viewers: dict[Viewer, None] = {}
        self._by_subject: dict[str, int] = {}
        self._asked: list[tuple[Viewer, Sequence[str], bool]] = []
        self._bundles: dict[tuple[tuple[Channel, ...], int], Bundle] = {}
        self._snapshots: dict[tuple[tuple[Channel, ...], bytes], Event] = {}
        self._looking = False  # some of what changed in this tick is known, not all
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._viewers)

    # --- listeners ----------------------------------------------------------------------------------------------------

    def check(self, subject: str, tasks: int) -> None:
        """Raises `Problem` (429) or `Overloaded` when this subject cannot listen once more, or to so many tasks."""
        if self.closed:
            raise Unavailable("the node is about to stop")
        mine = self._by_subject.get(subject, 0)
        if mine >= self._most_per_sub:
            raise Problem(TOO_MANY, f"{mine} streams of yours are open already (TASKYARD_EVENT_STREAMS_PER_SUB)")
        if len(self._viewers) >= self._most:
            raise Overloaded("this node has as many streams of events as it takes (TASKYARD_EVENT_STREAMS)")
        if self.full_of_tasks(tasks):
            raise Overloaded("this node watches as many tasks as it can (TASKYARD_EVENT_TASKS)")

    def full_of_tasks(self, more: int) -> bool:
        """Whether so many more tasks are too many to watch."""
        return len(self._watches) + more > self._watches_most

    def join(self, viewer: Viewer) -> None:
        """A listener's answer has begun: it is told what it wants as soon as that is looked up."""
        self._viewers[viewer] = None
        self._by_subject[viewer.subject] = self._by_subject.get(viewer.subject, 0) + 1
        if self.closed:
            self.dismiss(viewer, "draining")
            return
        self.ask(viewer, viewer.wanted)

    def ask(self, viewer: Viewer, task_ids: Sequence[str]) -> None:
        """A listener wants to be told of these tasks too (`Viewer.begin`)."""
        self._queue(viewer, task_ids, more=True)

    def forget(self, viewer: Viewer, task_ids: Sequence[str]) -> None:
        """It wants to be told of these tasks no longer (`Viewer.forgot`): in the order in which it asked."""
        self._queue(viewer, task_ids, more=False)

    def _queue(self, viewer: Viewer, task_ids: Sequence[str], *, more: bool) -> None:
        self._asked.append((viewer, task_ids, more))
        self._woken.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="events")

    def leave(self, viewer: Viewer) -> None:
        """A listener is gone, if it ever came."""
        if viewer not in self._viewers:
            return
        viewer.left = True
        del self._viewers[viewer]
        left = self._by_subject[viewer.subject] - 1
        if left:
            self._by_subject[viewer.subject] = left
        else:
            del self._by_subject[viewer.subject]
        self._let_go(viewer)

    def _let_go(self, viewer: Viewer) -> None:
        for channel in viewer.channels:
            channel.users -= 1
            channel.used_at = self.tick
        viewer.channels = ()
        self._watches.leave(viewer, list(viewer.watches))

    def dismiss(self, viewer: Viewer, reason: str) -> None:
        """End a listener's stream."""
        if not viewer.left:
            self.leave(viewer)
            viewer.end(reason)

    def close(self) -> None:
        """The node stops: end all streams, begin none."""
        self.closed = True
        for viewer in list(self._viewers):
            self.dismiss(viewer, "draining")
        self._asked.clear()
        if self._task is not None:
            self._task.cancel()

    # --- what is told -------------------------------------------------------------------------------------------------

    @property
    def mark(self) -> bytes:
        """The id of all that was told up to now."""
        return b"%b-%d" % (self._life.encode(), self.tick)

    def tick_of(self, mark: str) -> int | None:
        """The tick of an id that this hub gave, or `None`."""
        life, _, tick = mark.partition("-")
        if life != self._life or not (tick.isascii() and tick.isdigit() and len(tick) < 16):
            return None
        return int(tick) if int(tick) <= self.tick else None

    def event(self, name: str, body: bytes = b"{}") -> Event:
        """An event of the hub's own."""
        return Event(name, timed(body, self.node.now()))

    def snapshot(self, channels: tuple[Channel, ...], unknown: bytes) -> Event:
        """The present state of channels, and (JSON, or nothing) which tasks are not known."""
        found = self._snapshots.get((channels, unknown))
        if found is None:
            members = [b'"%b":%b' % (channel.topic.name.encode(), channel.body) for channel in channels]
            if unknown:
                members.append(b'"unknown":' + unknown)
            found = self._snapshots[channels, unknown] = self.event("snapshot", b"{%b}" % b",".join(members))
        return found

    def serve(self, viewer: Viewer) -> None:
        """Tell a listener what is new to it, unless it has not taken what was told before."""
        if viewer.left or viewer.seen < 0 or viewer.outlet.full or self._looking:
            return
        seen, tick = viewer.seen, self.tick
        bundle = self._bundles.get((viewer.channels, seen))
        if bundle is None:
            events = [channel.since(seen) for channel in viewer.channels if channel.changed_at > seen]
            bundle = self._bundles[viewer.channels, seen] = Bundle(events, self.mark)
        if viewer.behind:
            told = viewer.told_at
            tasks = [w.event for w in viewer.watches.values() if w.changed_at > max(seen, told.get(w.id, seen))]
            bundle = Bundle([*bundle.events, *tasks], self.mark)
            viewer.behind = False
        viewer.seen = tick
        viewer.told_at.clear()
        if bundle.events:
            viewer.sent_at = tick
            viewer.send(bundle)

    # --- the hub's own task -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._interval_s
        try:
            while self._asked or self._viewers or self._channels:
                self._woken.clear()
                if not self._asked:
                    try:
                        async with asyncio.timeout_at(due):
                            await self._woken.wait()
                    except TimeoutError:
                        pass
                if self._asked:
                    await self._admit()
                if loop.time() >= due:
                    due = max(due, loop.time() - self._interval_s) + self._interval_s
                    await self._look()
        except Exception:
            log.exception("events failed")
            for viewer in list(self._viewers):
                self.dismiss(viewer, "unavailable")
            self._asked.clear()
            self._channels.clear()
        finally:
            self._looking = False
            self._task = None

    def _next_tick(self) -> int:
        self.tick += 1
        self._bundles.clear()
        self._snapshots.clear()
        return self.node.now()

    async def _admit(self) -> None:
        """Look up what was asked for, for some of those who ask."""
        some, self._asked = self._asked[:TOLD_AT_ONCE], self._asked[TOLD_AT_ONCE:]
        now = self._next_tick()
        for viewer, _, _ in some:
            if not viewer.left and viewer.seen < 0:
                viewer.channels = tuple([await self._channel(viewer.call, topic, now) for topic in viewer.topics])
        for viewer, task_ids, more in some:
            if not more:
                if not viewer.left:
                    self._watches.leave(viewer, [task_id for task_id in task_ids if task_id in viewer.watches])
                    viewer.forgot(task_ids)
                continue
            try:
                unknown = await self._watches.begin(viewer, task_ids, self.tick) if task_ids else []
            except Overloaded:
                self.dismiss(viewer, "unavailable")
            if viewer.left:  # while it was looked up
                self._let_go(viewer)
            elif any(channel.failed for channel in viewer.channels):
                self.dismiss(viewer, "unavailable")
            else:
                viewer.begin(task_ids, unknown)
                viewer.told_at.update(dict.fromkeys(task_ids, self.tick))

    async def _channel(self, call: Call, topic: Topic, now: int) -> Channel:
        """The channel of a topic for a caller; looked at when nobody listened to it."""
        key = (topic.name, topic.audience(call))
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(topic, call.alone())
        channel.users += 1
        if channel.users == 1:
            await channel.look(self.encoder, self.tick, now)
        return channel

    async def _look(self) -> None:
        """Once in an interval: see what has changed, and tell everybody."""
        now = self._next_tick()
        self._looking = True
        for key, channel in list(self._channels.items()):
            if channel.users:
                await channel.look(self.encoder, self.tick, now)
            elif self.tick - channel.used_at > KEPT_TICKS:
                del self._channels[key]
        await self._watches.look(self.tick)
        self._looking = False
        word = self.event("tick")
        for number, viewer in enumerate(list(self._viewers), 1):
            if viewer.left or viewer.seen < 0:
                continue
            if (over := viewer.over(now)) is not None:
                self.dismiss(viewer, over)
            elif any(channel.failed for channel in viewer.channels):
                self.dismiss(viewer, "unavailable")
            else:
                self.serve(viewer)
                if self.tick - viewer.sent_at >= self._silence_ticks and not viewer.outlet.full:
                    viewer.sent_at = self.tick
                    viewer.silence(word)
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
