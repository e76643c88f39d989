"""What waits, why, and until when: one task by its record, the lanes by age. Reads memory, changes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from heapq import nsmallest
from random import Random

from taskyard.domain.fleet import Lane
from taskyard.domain.outcomes import Status
from taskyard.domain.task import Task
from taskyard.engine.forecast import forecast
from taskyard.engine.funnel import Survey
from taskyard.engine.memory import Memory
from taskyard.engine.position import ahead
from taskyard.engine.remedy import SLOTS_MOST, remedy
from taskyard.engine.rows import Record
from taskyard.engine.states import task_of
from taskyard.engine.trial import Picture, picture
from taskyard.engine.why import Code, fullest, why_lane, why_task
from taskyard.host.port import Outlook, WaitingLane, WaitingLanes, WaitingTask
from taskyard.host.promises import Promises
from taskyard.host.views import oldest_in


def waiting_task(memory: Memory, record: Record, now: int, halted: str | None) -> WaitingTask | Status | None:
    """Why the task of a record that says it is queued waits, or its status when memory knows better.

    `None`: memory has moved on and knows no more of it; the store will. `halted`: see `NodePort.halted`.
    """
    task = memory.tasks.get(record.task.id)
    if task is None:
        if record.queue is None or record.queue.lane not in memory.fleet.lanes:
            return None
        task = task_of(record, memory.fleet)
    if task.status is not Status.PENDING:
        return task.status
    why = why_task(memory, task, now, halted)
    return WaitingTask(why, ahead(memory, task), None if why.reason.code is Code.NEXT or halted is not None else task)


class Trials:
    """Tries things on pictures off the event loop: one at a time, a quarter of the time at most, `most` callers.

    A picture is made on the loop, in which nothing else is done: it is one caller's at a time as well, in its turn.
    """

    REST = 3

    def __init__(self, most: int, promises: Promises) -> None:
        self._most = most
        self._promises = promises
        self._asking = 0
        self._one = asyncio.Lock()
        self._free_at = 0.0
        self._rng = Random()

    async def outlook(self, task: Task, memory: Callable[[], Memory], now: Callable[[], int]) -> Outlook:
        """What can be said of a waiting task, by the memory and the time (ms) of its turn; nothing when too many ask.

        Raises what `memory` raises.
        """
        if self._asking >= self._most:
            return Outlook(None, None)
        self._asking += 1
        try:
            async with self._one:
                await asyncio.sleep(max(0.0, self._free_at - time.monotonic()))
                began = time.monotonic()
                try:
                    seen = picture(memory(), task, now(), SLOTS_MOST)
                    if seen is None:
                        return Outlook(None, None)
                    found = await asyncio.to_thread(self._look, seen)
                finally:
                    self._free_at = time.monotonic() + self.REST * (time.monotonic() - began)
        finally:
            self._asking -= 1
        if found.estimate is not None:
            self._promises.note(seen.task.id, seen.now, found.estimate)
        return found

    def _look(self, seen: Picture) -> Outlook:
        return Outlook(remedy(seen, self._rng), forecast(seen, self._rng))


class Board:
    """The lanes as they were last looked at.

    A look at very many lanes takes a while, in which nothing else is done: it is shown again for so long that looking
    takes one part in `SHARE` of the time at most, whoever asks how often. `clock` counts ns.
    """

    SHARE = 20

    def __init__(self, clock: Callable[[], int] = time.perf_counter_ns) -> None:
        self._clock = clock
        self._seen: WaitingLanes | None = None
        self._good_until = 0

    def look(self, memory: Memory, most: int, now: int, halted: str | None) -> WaitingLanes:
        """The lanes now, or as they were a moment ago."""
        begun = self._clock()
        if self._seen is None or begun >= self._good_until:
            self._seen = waiting_lanes(memory, most, now, halted)
            done = self._clock()
            self._good_until = done + (done - begun) * (self.SHARE - 1)
        return self._seen


def waiting_lanes(memory: Memory, most: int, now: int, halted: str | None) -> WaitingLanes:
    """The lanes with queued tasks, the oldest first, `most` of them; and what is left out."""
    waiting = [lane for lane in memory.fleet.lanes.values() if lane.queued]
    ages = ((at if (at := oldest_in(lane)) is not None else now, number) for number, lane in enumerate(waiting))
    shown = [waiting[number] for _, number in nsmallest(most, ages)]
    sleepers = _sleepers(memory, {lane for lane in shown if fullest(lane) is None})
    survey = Survey(memory.fleet, now)
    lanes = [
        WaitingLane(
            capabilities=tuple(sorted(lane.capabilities)),
            group=lane.group,
            pin=lane.pin,
            queued=lane.queued,
            oldest_at=oldest_in(lane),
            why=why_lane(memory, lane, survey, halted, sleepers.get(lane)),
        )
        for lane in shown
    ]
    queued = sum(lane.queued for lane in waiting) - sum(lane.queued for lane in lanes)
    return WaitingLanes(now, lanes, len(waiting) - len(lanes), queued)


def _sleepers(memory: Memory, lanes: set[Lane]) -> dict[Lane, Task]:
    """The first task to come due of each lane, as far as memory knows."""
    found: dict[Lane, Task] = {}
    if not lanes:
        return found
    for task in memory.wakes.members():
        if task.due_at is not None and task.lane in lanes:
            first = found.get(task.lane)
            if first is None or first.due_at is None or task.due_at < first.due_at:
                found[task.lane] = task
    return found
