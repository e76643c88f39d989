"""Where a queued task stands: how many are served before it, counted exactly in memory, and what the store must count.

Tasks stand in one queue when a server may be picked for both. A flow's window is an exact prefix: what is ahead beyond
its tail only the store knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from taskyard.domain.fleet import Flow, Lane
from taskyard.domain.task import Task
from taskyard.engine.memory import Memory


class Outside(NamedTuple):
    """Ready tasks of a flow that memory does not hold: those of `from_rank` ≤ rank < `below`."""

    lane: int
    limit_key: str
    avoid: str
    from_rank: int
    below: int


class Ahead(NamedTuple):
    """How many tasks in memory are served before a task, and where in the store more of them may be."""

    known: int
    outside: list[Outside]


def ahead(memory: Memory, task: Task) -> Ahead | None:
    """What stands before a queued task; `None` for one that waits for its time and stands in no queue."""
    if task.due_at is not None:
        return None
    known, outside = 0, []
    for flow in _rivals(memory, task.lane):
        window = flow.window
        known += window.before(task.rank)
        if window.tail is not None and window.tail < task.rank:
            outside.append(Outside(flow.lane.id, flow.limit_key, flow.avoid, window.tail, task.rank))
    return Ahead(known, outside)


def _rivals(memory: Memory, lane: Lane) -> Iterator[Flow]:
    """The flows whose tasks may take a server that this lane's may; alone when no server can do either."""
    fleet, mine = memory.fleet, lane.pool
    if not any(True for _ in mine.members(fleet)):
        yield from lane.flows.values()
        return
    for pool in fleet.pools.values():
        if pool is mine or pool.rivals(fleet, mine):
            for other in pool.lanes:
                yield from other.flows.values()
