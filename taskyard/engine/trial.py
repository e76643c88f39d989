"""A copy of the scheduler on which something can be tried: all servers, and what is served before one task.

The copy is a memory of its own, so that the very match can be run on it; nothing done to it is felt by the original.
Of each flow it holds no more than the slots that a trial opens could take, and says by a tail that more is there.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from random import Random

from taskyard.domain.fleet import Flow, Lane
from taskyard.domain.outcomes import Status
from taskyard.domain.pool import Pool
from taskyard.domain.server import AWAY, Server
from taskyard.domain.task import Task
from taskyard.engine.matching import match
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Dispatch, Found
from taskyard.engine.turn import Turn

# Beyond these no picture is made: it is copied between two turns.
SERVERS_MOST = 2_000
DEPTH_MOST = 1_000
DEPTH_LEAST = 300


def picture(memory: Memory, task: Task, now: int, opened: int) -> Picture | None:
    """A picture deep enough for trials that open `opened` slots besides those that are free.

    `None` for a task that is not ready, when there is too much, or when memory holds too little to be sure.
    """
    servers = memory.fleet.servers
    if task.due_at is not None or not task.in_window or len(servers) > SERVERS_MOST:
        return None
    room = max((server.max_concurrent - server.active for server in servers.values()), default=0)
    depth = max(DEPTH_LEAST, room + opened) + 1
    if depth > DEPTH_MOST:
        return None
    seen = Picture(memory, task, now, depth)
    return seen if seen.whole else None


class Picture:
    """What trials for one ready task need of a memory at the time `now` (int ms), copied once.

    Memory may move on then; its tasks are copied by each trial alone, which sees what has changed of one meanwhile.

    `depth` is how many tasks of a flow are taken at most. `whole` says that the task itself is among them. `runs` are
    the attempts that hold slots, `times` how long completed attempts took, by type.
    """

    def __init__(self, memory: Memory, task: Task, now: int, depth: int) -> None:
        self.now = now
        self.task = task
        self.limits = memory.limits
        self.node = memory.node
        self.draining = memory.draining
        self.policy = memory.fleet.policy.name
        self.servers = [_twin(server) for server in memory.fleet.servers.values()]
        self.runs = [
            (run, run.server.id, None if run.task is None else run.task.spec.type) for run in memory.runs.values()
        ]
        self.flows: list[_Flow] = []
        for lane in memory.fleet.lanes.values():
            for flow in lane.flows.values():
                if flow.count and (taken := _Flow(flow, task, depth)).matters:
                    self.flows.append(taken)
        mask = _reach(task.lane.pool, [flow.lane.pool for flow in self.flows])
        self._near = {
            server.id for cls in memory.fleet.classes.values() if mask >> cls.bit & 1 for server in cls.servers.values()
        }
        for taken in self.flows:
            taken.near = taken.lane is task.lane or bool(taken.lane.pool.mask & mask)
        types = {kind for _, _, kind in self.runs if kind is not None}
        types |= {entry.spec.type for flow in self.flows for entry in flow.tasks}
        self.times = {kind: latest for kind in types if (latest := memory.run_times.latest(kind)) is not None}

    @property
    def size(self) -> int:
        """How many tasks were taken."""
        return sum(len(flow.tasks) for flow in self.flows)

    @property
    def whole(self) -> bool:
        """Whether the task itself is among them."""
        return any(entry is self.task for flow in self.flows for entry in flow.tasks)

    def near(self) -> Picture:
        """The same without the servers and tasks that have nothing to do with the task, not even through others."""
        less = copy(self)
        less.servers = [server for server in self.servers if server.id in self._near]
        less.runs = [entry for entry in self.runs if entry[1] in self._near]
        less.flows = [flow for flow in self.flows if flow.near]
        return less

    def shallow(self, depth: int) -> Picture:
        """The same with fewer tasks of each flow."""
        less = copy(self)
        less.flows = [flow.cut(depth) for flow in self.flows]
        return less


def _reach(pool: Pool, others: Iterable[Pool]) -> int:
    """The mask of the classes that the pool may use, that others which may use one of these may, and so on."""
    mask, masks = pool.mask, {other.mask for other in others}
    while joined := {other for other in masks if other & mask}:
        masks -= joined
        for other in joined:
            mask |= other
    return mask


class _Flow:
    """The tasks of a flow up to one task's rank, `tail` the rank of the first that was left out.

    `near` says whether they compete with the task, be it through others.
    """

    near = False

    def __init__(self, flow: Flow, task: Task, depth: int) -> None:
        self.lane, self.avoid, self.limit_key = flow.lane, flow.avoid, flow.limit_key
        self.budget = flow.lane.pool.budget.copy()
        self.tail = flow.window.tail
        self.tasks: list[Task] = []
        for level in flow.window.levels():
            for entry in level:
                if entry.rank > task.rank:
                    return
                if len(self.tasks) == depth:
                    self.tail = entry.rank
                    return
                self.tasks.append(entry)

    def cut(self, depth: int) -> _Flow:
        """The same with at most `depth` tasks."""
        if len(self.tasks) <= depth:
            return self
        less = copy(self)
        less.tail, less.tasks = self.tasks[depth].rank, self.tasks[:depth]
        return less

    @property
    def matters(self) -> bool:
        return bool(self.tasks) or self.tail is not None


class Trial:
    """A scheduler made of a picture: change its `servers`, then see whether the task starts."""

    def __init__(self, picture: Picture, rank: int | None = None) -> None:
        """With `rank` the task stands there in place of where it stood."""
        self.now = picture.now
        self.memory = Memory(picture.limits, picture.node)
        self.memory.draining = picture.draining
        self.fleet = self.memory.fleet
        self.fleet.use_policy(picture.policy)
        for server in picture.servers:
            self.change(_twin(server))
        for flow in picture.flows:
            lane = self.fleet.lane(flow.lane.capabilities, flow.lane.group, flow.lane.pin)
            lane.pool.budget = flow.budget.copy()
            for entry in flow.tasks:
                twin = copy(entry)
                if entry is picture.task:
                    self._task = twin
                    twin.rank = entry.rank if rank is None else rank
                self._enter(twin, lane)
            known = self.fleet.flow(lane, flow.avoid, flow.limit_key)
            if flow.tail is not None:
                known.window.tail = flow.tail
                known.count += 1
                self.fleet.announce(known)

    def _enter(self, task: Task, lane: Lane) -> None:
        task.lane, task.flow, task.run, task.payload = lane, None, None, ""
        task.in_window = task.in_wakes = False
        self.memory.enqueue(task)

    def change(self, server: Server) -> None:
        """Take note of a server that is new or was changed."""
        self.fleet.place(server)
        self.fleet.refresh(server, self.now)

    def match(self, rng: Random) -> list[Dispatch]:
        """Run the match of one turn; what it dispatched."""
        turn = Turn(self.memory, self.now, rng, Found())
        match(turn)
        return [effect for effect in turn.plan.effects if isinstance(effect, Dispatch)]

    @property
    def started(self) -> bool:
        """Whether the task was given a slot."""
        return self._task.status is Status.PROCESSING


def _twin(server: Server) -> Server:
    twin = copy(server)
    twin.runs, twin.health = set(server.runs), copy(server.health)
    twin.cls = None
    twin.known_tier, twin.known_open, twin.known_serving = AWAY, False, False
    return twin
