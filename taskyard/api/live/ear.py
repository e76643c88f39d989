"""What the deciding node tells this one for its listeners. Knows neither listeners nor what a topic means.

One question after the other, each answered at the decider's next tick, on one connection: who listens here costs the
decider nothing more. A question that fails is asked again from the beginning, and what may have been missed is read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec
import structlog

from taskyard.api.live import exchange
from taskyard.api.live.exchange import Asked, Key, Told
from taskyard.host.errors import Unavailable
from taskyard.host.port import NodePort

log = structlog.get_logger("taskyard.api")


class Ear:
    """Listens while it runs. `wanted` are the keys of what is listened to here; `heard` is called with each word."""

    def __init__(self, node: NodePort, wanted: Callable[[], list[Key]], heard: Callable[[], None]) -> None:
        settings = node.settings
        self._node = node
        self._wanted = wanted
        self._heard = heard
        self._interval_s = settings.event_interval / 1000
        # The decider may look less often than this node, up to what makes its word too old.
        self._limit_ms = settings.event_interval + settings.event_stale
        self._task: asyncio.Task[None] | None = None
        self._number = 0
        self._url = ""
        self._told_of: set[str] = set()  # the tasks that the decider knows to be watched here
        self.heard_at = 0  # the node's time of the last word (ms)
        self.states: dict[Key, bytes] = {}
        self.failed: set[Key] = set()

    def start(self) -> None:
        """Listen, if it does not yet."""
        if self._task is None:
            self._number = 0
            self._task = asyncio.get_running_loop().create_task(self._run(), name="events of the decider")

    def stop(self) -> None:
        """Listen no longer; what was heard is forgotten."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
        self.states.clear()
        self.failed.clear()

    async def look(self, key: Key) -> bytes:
        """How a topic stands now. Raises `Unavailable`."""
        told = await self._ask(Asked(self._node.name, 0, [key], [], [], at_once=True))
        if told.failed or not told.states:
            raise Unavailable("the node that decides cannot tell of this now")
        self.states[key] = told.states[0][1]
        return self.states[key]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                await self._round()
            except Unavailable:
                self._number = 0
                await asyncio.sleep(min(self._interval_s, 1.0))
            except Exception:
                log.exception("decider not heard")
                self._number = 0
                await asyncio.sleep(self._interval_s)
            # Where the decider looks more often than this node would.
            await asyncio.sleep(max(0.0, begun + self._interval_s / 4 - loop.time()))

    async def _round(self) -> None:
        """Ask once, and wait for the answer. Raises `Unavailable`."""
        keys, watched = self._wanted(), set(self._node.watched.ids())
        first = self._number == 0
        more = watched if first else watched - self._told_of
        less: set[str] = set() if first else self._told_of - watched
        told = await self._ask(Asked(self._node.name, self._number, keys, sorted(more), sorted(less)))
        if told.anew:
            self._number = 0
            return
        self._number += 1
        self._told_of = watched
        self._keep(keys, told)
        # What happened to a task before the decider knew that it is watched is seen by reading it once more.
        self._node.watched.touch(more.union(told.touched))
        self.heard_at = self._node.now()
        self._heard()

    def _keep(self, keys: Sequence[Key], told: Told) -> None:
        for place, body in told.states:
            self.states[keys[place]] = body
        self.failed = {keys[place] for place in told.failed}
        # What nobody listens to any more is not told of: it would be old when somebody does again.
        for key in self.states.keys() - set(keys) - set(self._wanted()):
            del self.states[key]

    async def _ask(self, asked: Asked) -> Told:
        decider = self._node.decider
        if decider is None or decider.url is None:
            raise Unavailable("no node decides now")
        if decider.url != self._url:
            self._url, self._number = decider.url, 0
            if asked.number:
                raise Unavailable("another node decides")
        question = exchange.encode(asked)
        answer = await self._node.call_decider(decider.url + exchange.PATH, question, self._limit_ms, "events")
        try:
            return exchange.told(answer)
        except msgspec.MsgspecError as error:
            raise Unavailable("the node that decides is of another version") from error
