"""The hub: looks once a second at what anybody listens to, and tells each listener what is new to it.

One task for all listeners; it sleeps while there are none. Knows when and to whom, not how anything is written, nor
where what is told comes from (`source`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

import structlog

from taskyard.api.call import Call
from taskyard.api.live.channel import Channel, Encoder, Topic
from taskyard.api.live.exchange import Asked, Key, Told
from taskyard.api.live.neighbours import Neighbours, Question
from taskyard.api.live.press import Bundle, Press
from taskyard.api.live.source import Source
from taskyard.api.live.topics import BY_NAME
from taskyard.api.live.viewer import Viewer
from taskyard.api.live.watches import Watches
from taskyard.api.problems import TOO_MANY, Problem
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.port import NodePort

log = structlog.get_logger("taskyard.api")
# Listeners told without a pause: even if each takes 20 µs, no turn waits longer than 2 ms for it.
TOLD_AT_ONCE = 100
# For so many ticks a channel without listeners is kept: who comes back by then is told only what changed.
KEPT_TICKS = 60


class Hub:
    """The listeners of one node."""

    def __init__(self, node: NodePort) -> None:
        settings = node.settings
        self.node = node
        self.encoder = Encoder()
        self.press = Press(node.now)
        self.closed = False
        self._interval_s = settings.event_interval / 1000
        self._silence_ticks = max(1, settings.event_silence // settings.event_interval)
        self._most = settings.event_streams
        self._most_per_sub = settings.event_streams_per_sub
        self._watches_most = settings.event_tasks
        self._channels: dict[tuple[str, object], Channel] = {}
        self._watches = Watches(node, self.encoder)
        self._viewers: dict[Viewer, None] = {}
        self._by_subject: dict[str, int] = {}
        self._source = Source(node, self.encoder, self._wanted, self._heard)
        self._neighbours = Neighbours(BY_NAME.get, lambda: node.watched, self._channel, self._let_go_of)
        self._asked: list[tuple[Viewer, Sequence[str], bool]] = []
        self._waiting: list[tuple[Viewer, Sequence[str], Sequence[str]]] = []  # for what nobody can tell now
        self._questions: list[Question] = []
        self._looking = False  # some of what changed in this tick is known, not all
        self._told_early = False  # the decider has spoken: look now
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def tick(self) -> int:
        """The present moment: grows whenever something was looked at."""
        return self.press.tick

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
        self._wake()

    async def answer(self, asked: Asked, call: Call) -> Told:
        """What another node's listeners are to be told, at the next tick. Raises `Unavailable`."""
        if self.closed or not self.node.decides:
            raise Unavailable("this node does not decide")
        question = Question(asked, call)
        self._questions.append(question)
        self._wake()
        return await question

    def _wake(self) -> None:
        self._woken.set()
        if self._task is None:
            self._source.begin(self.node.now())
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
        self._let_go_of(viewer.channels)
        viewer.channels = ()
        self._watches.leave(viewer, list(viewer.watches))

    def _let_go_of(self, channels: Iterable[Channel]) -> None:
        for channel in channels:
            channel.users -= 1
            channel.used_at = self.tick

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
        self._refuse_all("the node is about to stop")
        self._source.stop()
        if self._task is not None:
            self._task.cancel()

    def _refuse_all(self, reason: str) -> None:
        self._neighbours.refuse(reason)
        for question in self._questions:
            question.refuse(reason)
        self._questions.clear()

    def serve(self, viewer: Viewer) -> None:
        """Tell a listener what is new to it, unless it has not taken what was told before."""
        if viewer.left or viewer.seen < 0 or viewer.outlet.full or self._looking:
            return
        seen, tick = viewer.seen, self.tick
        bundle = self.press.bundle(viewer.channels, seen)
        if viewer.behind:
            told = viewer.told_at
            tasks = [w.event for w in viewer.watches.values() if w.changed_at > max(seen, told.get(w.id, seen))]
            bundle = Bundle([*bundle.events, *tasks], self.press.mark)
            viewer.behind = False
        viewer.seen = tick
        viewer.told_at.clear()
        if bundle.events:
            viewer.sent_at = tick
            viewer.send(bundle)

    # --- the hub's own task -------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        looked = loop.time()
        due = looked + self._interval_s
        try:
            while self._asked or self._viewers or self._channels or self._questions or self._neighbours:
                self._woken.clear()
                if not (self._asked or self._questions):
                    try:
                        async with asyncio.timeout_at(due):
                            await self._woken.wait()
                    except TimeoutError:
                        pass
                if self._questions:
                    await self._take_questions()
                if self._asked:
                    await self._admit()
                if self._told_early:
                    # The decider's ticks are this node's, unless they come too fast.
                    self._told_early = False
                    due = min(due, looked + self._interval_s / 2)
                if (now := loop.time()) >= due:
                    due = max(due, now - self._interval_s) + self._interval_s
                    looked = now
                    await self._look()
                    if self.node.decider is not None:
                        due = max(due, looked + 1.5 * self._interval_s)
        except Exception:
            log.exception("events failed")
            for viewer in list(self._viewers):
                self.dismiss(viewer, "unavailable")
            self._asked.clear()
            self._waiting.clear()
            self._channels.clear()
            self._refuse_all("events failed")
        finally:
            self._looking = False
            self._source.stop()
            self._task = None

    def _wanted(self) -> list[Key]:
        """What another node would have to tell, by key."""
        return [channel.key for channel in self._channels.values() if channel.users and not channel.topic.own]

    def _heard(self) -> None:
        self._told_early = True
        self._woken.set()

    async def _take_questions(self) -> None:
        some, self._questions = self._questions, []
        for question in some:
            await self._neighbours.take(question)

    async def _admit(self) -> None:
        """Look up what was asked for, for some of those who ask."""
        some, self._asked = self._asked[:TOLD_AT_ONCE], self._asked[TOLD_AT_ONCE:]
        self.press.next_tick()
        for viewer, _, _ in some:
            if not viewer.left and viewer.seen < 0:
                viewer.channels = tuple([await self._channel(viewer.call, topic) for topic in viewer.topics])
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
            else:
                self._begin(viewer, task_ids, unknown)

    def _begin(self, viewer: Viewer, task_ids: Sequence[str], unknown: Sequence[str]) -> None:
        """What a listener wants is looked up: tell it, or let it wait for what nobody can tell now."""
        if any(channel.failed for channel in viewer.channels):
            self.dismiss(viewer, "unavailable")
        elif not all(channel.known for channel in viewer.channels):
            self._waiting.append((viewer, task_ids, unknown))
        else:
            viewer.begin(task_ids, unknown)
            viewer.told_at.update(dict.fromkeys(task_ids, self.tick))

    async def _channel(self, call: Call, topic: Topic) -> Channel:
        """The channel of a topic for a caller; looked at when nobody listened to it."""
        key = (topic.name, topic.audience(call))
        channel = self._channels.get(key)
        if channel is None:
            channel = self._channels[key] = Channel(topic, call.alone())
        channel.users += 1
        if channel.users == 1:
            channel.known = False
            now = self.press.next_tick()
            await self._source.look(channel, self.tick, now, first=True)
        return channel

    async def _look(self) -> None:
        """Once in an interval: see what has changed, and tell everybody."""
        now = self.press.next_tick()
        self._source.turn(now)
        self._looking = True
        for key, channel in list(self._channels.items()):
            if channel.users:
                await self._source.look(channel, self.tick, now)
            elif self.tick - channel.used_at > KEPT_TICKS:
                del self._channels[key]
        touched = self.node.watched.touched()
        if self._source.sure:
            self._neighbours.touch(touched)
            self._neighbours.tell(self.tick)
        else:
            self._neighbours.refuse("this node does not decide")
        await self._watches.look(self.tick, touched)
        self._looking = False
        waiting, self._waiting = self._waiting, []
        for viewer, task_ids, unknown in waiting:
            if not viewer.left:
                self._begin(viewer, task_ids, unknown)
        await self._tell(now)

    async def _tell(self, now: int) -> None:
        """Tell all listeners what is new to them."""
        word, since = self.press.event("tick"), self._source.stale_since(now)
        for number, viewer in enumerate(list(self._viewers), 1):
            if viewer.left:
                continue
            failed = viewer.seen >= 0 and any(channel.failed for channel in viewer.channels)
            if (over := viewer.over(now)) is not None or failed:
                self.dismiss(viewer, over or "unavailable")
                continue
            self.serve(viewer)
            silent = self.tick - viewer.sent_at >= self._silence_ticks
            if not viewer.outlet.full:
                if viewer.stale != (since is not None) or (since is not None and silent):
                    viewer.stale, viewer.sent_at = since is not None, self.tick
                    viewer.doubt(self.press.stale(since))
                elif silent and viewer.seen >= 0:
                    viewer.sent_at = self.tick
                    viewer.silence(word)
            if number % TOLD_AT_ONCE == 0:
                await asyncio.sleep(0)
