"""The other nodes that listen to this one while it decides: what each wants, and what it is told at the next tick.

They are listeners like any other, but that they share what is encoded and are told of tasks by id alone: reading them
costs the decider nothing. Used by the hub's task alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace

from taskyard.api.call import Call, Reply
from taskyard.api.forward import HEAD_MOST
from taskyard.api.internal import read_said, say
from taskyard.api.live import exchange
from taskyard.api.live.channel import Channel, Topic
from taskyard.api.live.exchange import Asked, Key, Told
from taskyard.host.errors import Unavailable
from taskyard.host.watched import Watched
from taskyard.tokens import Principal

# A node that has not asked for so long listens no more.
SILENT_S = 10.0
# What the id of a task takes in a question at most.
ID_MOST = 256


class Question(asyncio.Future[Told]):
    """What a node asked, until it is answered."""

    def __init__(self, asked: Asked, call: Call) -> None:
        super().__init__()
        self.asked = asked
        self.call = call

    def answer(self, told: Told) -> None:
        """Answer it, unless nobody waits any more."""
        if not self.done():
            self.set_result(told)

    def refuse(self, reason: str) -> None:
        """There is no answer."""
        if not self.done():
            self.set_exception(Unavailable(reason))


class Neighbour:
    """One other node. `told_at` is the tick up to which it was told."""

    def __init__(self) -> None:
        self.number = 0
        self.told_at = -1
        self.channels: dict[Key, Channel] = {}
        self.new: set[Key] = set()
        self.tasks: set[str] = set()
        self.touched: set[str] = set()
        self.question: Question | None = None
        self.asked_at = 0.0


class Neighbours:
    """All of them. `topics` by name; `join` gives the channel of a topic to one more, `leave` takes it away again."""

    def __init__(
        self,
        topics: Callable[[str], Topic | None],
        watched: Callable[[], Watched],
        join: Callable[[Call, Topic], Awaitable[Channel]],
        leave: Callable[[Iterable[Channel]], None],
    ) -> None:
        self._topics = topics
        self._watched = watched
        self._join = join
        self._leave = leave
        self._by_node: dict[str, Neighbour] = {}

    def __len__(self) -> int:
        return len(self._by_node)

    async def take(self, question: Question) -> None:
        """Take a question up: it is answered at the next tick, or at once where it wants that."""
        asked = question.asked
        if asked.at_once:
            await self._tell_at_once(question)
            return
        neighbour = self._by_node.get(asked.node)
        if asked.number == 0:
            self.drop(asked.node)
            neighbour = self._by_node[asked.node] = Neighbour()
        elif neighbour is None or asked.number != neighbour.number + 1:
            self.drop(asked.node)
            question.answer(Told([], [], [], anew=True))
            return
        neighbour.number = asked.number
        neighbour.asked_at = asyncio.get_running_loop().time()
        if neighbour.question is not None:
            neighbour.question.refuse("it was asked again")
        neighbour.question = question
        watched = self._watched()
        for task_id in neighbour.tasks.intersection(asked.less):
            watched.drop(task_id)
        neighbour.tasks.difference_update(asked.less)
        for task_id in set(asked.more) - neighbour.tasks:
            watched.add(task_id)
        neighbour.tasks.update(asked.more)
        self._leave([neighbour.channels.pop(key) for key in neighbour.channels.keys() - set(asked.keys)])
        for key in asked.keys:
            if key not in neighbour.channels and (topic := self._topics(key[0])) is not None:
                neighbour.channels[key] = await self._join(heard_as(question.call, key[1]), topic)
                neighbour.new.add(key)

    async def _tell_at_once(self, question: Question) -> None:
        keys, states, failed = question.asked.keys, list[tuple[int, bytes]](), list[int]()
        for place, key in enumerate(keys):
            if (topic := self._topics(key[0])) is None:
                failed.append(place)
                continue
            channel = await self._join(heard_as(question.call, key[1]), topic)
            self._leave([channel])
            if channel.failed or not channel.known:
                failed.append(place)
            else:
                states.append((place, channel.body))
        question.answer(Told(states, failed, []))

    def touch(self, task_ids: set[str]) -> None:
        """Commits have touched these tasks."""
        for neighbour in self._by_node.values():
            neighbour.touched |= neighbour.tasks & task_ids

    def tell(self, tick: int) -> None:
        """Answer all that wait; forget those who ask no more."""
        now = asyncio.get_running_loop().time()
        for node, neighbour in list(self._by_node.items()):
            if neighbour.question is not None:
                neighbour.question.answer(_news(neighbour, neighbour.question.asked.keys))
                neighbour.question = None
                neighbour.told_at = tick
                neighbour.new.clear()
                neighbour.touched = set()
            elif now - neighbour.asked_at > SILENT_S:
                self.drop(node)

    def refuse(self, reason: str) -> None:
        """This node can tell nothing: all have to ask another one, or again."""
        for node in list(self._by_node):
            question = self._by_node[node].question
            self.drop(node)
            if question is not None:
                question.refuse(reason)

    def drop(self, node: str) -> None:
        """A node listens no more, if it did."""
        neighbour = self._by_node.pop(node, None)
        if neighbour is None:
            return
        if neighbour.question is not None:
            neighbour.question.refuse("it was asked anew")
        self._leave(neighbour.channels.values())
        watched = self._watched()
        for task_id in neighbour.tasks:
            watched.drop(task_id)


def _news(neighbour: Neighbour, keys: list[Key]) -> Told:
    states, failed = list[tuple[int, bytes]](), list[int]()
    for place, key in enumerate(keys):
        channel = neighbour.channels.get(key)
        if channel is None or channel.failed or not channel.known:
            failed.append(place)
        elif key in neighbour.new or channel.changed_at > neighbour.told_at:
            states.append((place, channel.body))
    return Told(states, failed, sorted(neighbour.touched))


def heard_as(call: Call, audience: bool | None) -> Call:
    """Another node's call as one of those would make it who belong to an audience: admins, or readers of Chinese."""
    who = Principal("", frozenset({"admin" if audience else "user"}))
    alone = replace(call, who=who, request_headers={b"accept-language": b"zh" if audience else b"en"})
    return alone.alone()


async def answer(call: Call) -> Reply:
    """POST /internal/events: another node asks what its listeners are to be told. Raises `Problem`, `Unavailable`."""
    asked = await read_said(call, HEAD_MOST + ID_MOST * call.node.settings.event_tasks, exchange.asked)
    return say(exchange.encode(await call.live.answer(asked, call)))
