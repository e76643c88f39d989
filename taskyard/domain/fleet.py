"""The fleet: servers by class, queued tasks by lane, and the pools where they meet.

A class is the servers with the same capabilities and groups, a lane the tasks with the same requirements. Which classes
can serve which lanes is worked out when a lane or a class appears, never per task; lanes that the same classes can
serve share a pool. A pool picks a server by the policy in force. Knows nothing of stores or of a task's fate.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import heappush
from random import Random

from taskyard.domain.policies import DEFAULT_POLICY, POLICIES, Chooser
from taskyard.domain.server import AWAY, TIERS, Server
from taskyard.domain.task import Task
from taskyard.domain.window import Window

_LOG_MOST = 4096
_BUDGET_SECONDS = 10
_BUDGET_LEAST = 3


@dataclass(eq=False, slots=True)
class ServerClass:
    """Servers alike in capabilities and groups; `bit` is its place in a pool's mask."""

    bit: int
    capabilities: frozenset[str]
    groups: frozenset[str]
    servers: dict[str, Server] = field(default_factory=dict)

    def serves(self, lane: Lane) -> bool:
        """Whether its servers have what the lane requires (a pin is the pool's concern)."""
        return lane.capabilities <= self.capabilities and (not lane.group or lane.group in self.groups)


@dataclass(eq=False, slots=True)
class Flow:
    """The queue's unit: a lane, a limit key ('' until limits exist) and the server its tasks must avoid ('' for none).

    `count` is how many tasks are ready in it, in memory and in the store together.
    """

    lane: Lane
    limit_key: str
    avoid: str
    serial: int
    window: Window[Task] = field(default_factory=Window)
    count: int = 0

    def head_rank(self) -> int | None:
        """The rank of the first task, or a lower bound of it when memory holds none; `None` when the flow is empty."""
        head = self.window.head()
        if head is not None:
            return head.rank
        return self.window.tail if self.count else None


@dataclass(eq=False, slots=True)
class Lane:
    """Queued tasks with the same requirements. `queued` counts the ready and the waiting ones."""

    id: int
    capabilities: frozenset[str]
    group: str
    pin: str
    pool: Pool
    flows: dict[tuple[str, str], Flow] = field(default_factory=dict)
    queued: int = 0
    stored: bool = False


class RetryBudget:
    """Retries of a pool within the last 10 s, bounded by a share of its dispatches. One bucket a second."""

    __slots__ = ("_dispatches", "_retries", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._dispatches = [0] * _BUDGET_SECONDS
        self._retries = [0] * _BUDGET_SECONDS

    def _advance(self, now: int) -> int:
        second = now // 1000
        for passed in range(max(self._second + 1, second - _BUDGET_SECONDS + 1), second + 1):
            self._dispatches[passed % _BUDGET_SECONDS] = 0
            self._retries[passed % _BUDGET_SECONDS] = 0
        self._second = max(self._second, second)
        return self._second % _BUDGET_SECONDS

    def allows(self, now: int, ratio: float) -> bool:
        """Whether one more retry may go out now."""
        self._advance(now)
        return sum(self._retries) < max(_BUDGET_LEAST, ratio * sum(self._dispatches))

    def spend(self, now: int, *, retry: bool) -> None:
        """Book a dispatch."""
        index = self._advance(now)
        self._dispatches[index] += 1
        if retry:
            self._retries[index] += 1


class Pool:
    """Lanes that the same classes (or one pinned server) can serve, and the choosers over those servers."""

    __slots__ = ("_choosers", "_cursor", "_shape", "budget", "heads", "lanes", "mask", "pin", "starved")

    def __init__(self, mask: int, pin: str) -> None:
        self.mask = mask
        self.pin = pin
        self.lanes: set[Lane] = set()
        self.heads: list[tuple[int, int, Flow]] = []  # heap of (head rank, serial, flow), checked when it surfaces
        self.budget = RetryBudget()
        self.starved = False
        self._choosers: list[Chooser] = []
        self._cursor = 0
        self._shape = -1

    def has(self, server: Server) -> bool:
        """Whether the server is one of the pool's."""
        cls = server.cls
        return cls is not None and bool(self.mask >> cls.bit & 1) and (not self.pin or self.pin == server.id)

    def members(self, fleet: Fleet) -> Iterator[Server]:
        """The pool's servers, whatever their state."""
        if self.pin:
            server = fleet.servers.get(self.pin)
            if server is not None and self.has(server):
                yield server
            return
        for cls in fleet.classes.values():
            if self.mask >> cls.bit & 1:
                yield from cls.servers.values()

    def pick(self, fleet: Fleet, task_type: str, avoid: str, rng: Random) -> Server | None:
        """An open server by the policy in force, the best tier first; `None` when none is free."""
        if self._shape != fleet.shape or self._cursor < fleet.log_base:
            self._rebuild(fleet)
        else:
            start = self._cursor - fleet.log_base
            for server in fleet.log[start:] if start else fleet.log:
                if server.known_open and self.has(server):
                    self._choosers[server.known_tier].note(server)
        self._cursor = fleet.log_base + len(fleet.log)
        for chooser in self._choosers:
            chosen = chooser.pick(task_type, avoid, rng)
            if chosen is not None:
                return chosen
        return None

    def _rebuild(self, fleet: Fleet) -> None:
        if self._shape != fleet.shape:
            self._choosers = [fleet.policy.chooser(tier) for tier in range(TIERS)]
            self._shape = fleet.shape
        for server in self.members(fleet):
            if server.known_open:
                self._choosers[server.known_tier].note(server)

    def only(self, fleet: Fleet, server_id: str) -> bool:
        """Whether no other server of the pool than this one is serving: then avoiding it is void."""
        return not any(server.known_serving and server.id != server_id for server in self.members(fleet))


class Fleet:
    """All servers, classes, lanes and pools.

    `shape` grows whenever pools must be rebuilt, `version` whenever a server begins or ceases to serve. `log` holds the
    servers that opened or changed their load; each pool reads on from its own cursor, so a pool that picks nothing
    costs nothing.
    """

    def __init__(self) -> None:
        self.servers: dict[str, Server] = {}
        self.by_predict: dict[str, Server] = {}
        self.classes: dict[tuple[frozenset[str], frozenset[str]], ServerClass] = {}
        self.lanes: dict[int, Lane] = {}
        self._lanes_by_key: dict[tuple[frozenset[str], str, str], Lane] = {}
        self.pools: dict[tuple[int, str], Pool] = {}
        self.policy = POLICIES[DEFAULT_POLICY]
        self.shape = 0
        self.version = 0
        self.log: list[Server] = []
        self.log_base = 0
        self.opened = 0  # mask of the classes in which a server opened since the last match
        self._flows = 0
        self._bits = 0
        self._free_bits: list[int] = []

    # --- servers -----------------------------------------------------------------------------------------------------

    def place(self, server: Server) -> None:
        """Add a server, or move it to the class of its present capabilities and groups."""
        self.servers[server.id] = server
        self.by_predict[server.predict] = server
        key = (frozenset(server.capabilities), frozenset(server.groups))
        old = server.cls
        if old is not None and (old.capabilities, old.groups) == key:
            return
        cls = self.classes.get(key)
        if cls is None:
            bit = self._free_bits.pop() if self._free_bits else self._bits
            self._bits = max(self._bits, bit + 1)
            cls = self.classes[key] = ServerClass(bit, *key)
            for lane in self.lanes.values():
                if cls.serves(lane):
                    self._repool(lane)
        cls.servers[server.id] = server
        server.cls = cls
        if old is not None:
            self._leave(server, old)
        self.shape += 1
        self.version += 1
        self.opened |= 1 << cls.bit

    def remove(self, server: Server) -> None:
        """Forget a server; its class goes with its last one."""
        del self.servers[server.id]
        if self.by_predict.get(server.predict) is server:
            del self.by_predict[server.predict]
        cls, server.cls = server.cls, None
        server.known_open, server.known_tier, server.known_serving = False, AWAY, False
        if cls is not None:
            self._leave(server, cls)
        self.shape += 1
        self.version += 1

    def rename_predict(self, server: Server, predict: str) -> None:
        """Change a server's predict URL, under which it is also known."""
        if self.by_predict.get(server.predict) is server:
            del self.by_predict[server.predict]
        server.predict = predict
        self.by_predict[predict] = server

    def _leave(self, server: Server, cls: ServerClass) -> None:
        del cls.servers[server.id]
        if not cls.servers:
            del self.classes[cls.capabilities, cls.groups]
            self._free_bits.append(cls.bit)
            for lane in list(self.lanes.values()):
                if lane.pool.mask >> cls.bit & 1:
                    self._repool(lane)

    def refresh(self, server: Server, now: int) -> None:
        """Take note of a change of the server's state or load. Call it after every such change."""
        tier = server.known_tier = server.tier
        is_open = server.known_open = tier != AWAY and server.has_room(now)
        serving = tier != AWAY and server.fit
        if serving is not server.known_serving:
            server.known_serving = serving
            self.version += 1
        if is_open and server.cls is not None:
            self.opened |= 1 << server.cls.bit
            self.log.append(server)
            if len(self.log) > max(_LOG_MOST, 4 * len(self.servers)):
                self.log_base += len(self.log)
                self.log.clear()

    def use_policy(self, name: str) -> None:
        """Put another policy in force, from the next pick on. Raises `KeyError` for an unknown name."""
        self.policy = POLICIES[name]
        self.shape += 1

    # --- lanes -------------------------------------------------------------------------------------------------------

    def lane(self, capabilities: frozenset[str], group: str, pin: str) -> Lane:
        """The lane of these requirements, made when it is new."""
        lane = self._lanes_by_key.get((capabilities, group, pin))
        if lane is None:
            lane = Lane(lane_id_of(capabilities, group, pin), capabilities, group, pin, Pool(0, ""))
            self._lanes_by_key[capabilities, group, pin] = lane
            self.lanes[lane.id] = lane
            self._repool(lane)
        return lane

    def knows_lane(self, capabilities: frozenset[str], group: str, pin: str) -> bool:
        """Whether the lane exists already."""
        return (capabilities, group, pin) in self._lanes_by_key

    def drop_lane(self, lane: Lane) -> None:
        """Forget a lane without tasks."""
        del self.lanes[lane.id]
        del self._lanes_by_key[lane.capabilities, lane.group, lane.pin]
        self._leave_pool(lane)

    def flow(self, lane: Lane, avoid: str, limit_key: str = "") -> Flow:
        """The lane's flow for tasks that must avoid this server."""
        flow = lane.flows.get((limit_key, avoid))
        if flow is None:
            self._flows += 1
            flow = lane.flows[limit_key, avoid] = Flow(lane, limit_key, avoid, self._flows)
        return flow

    def _leave_pool(self, lane: Lane) -> None:
        pool = lane.pool
        pool.lanes.discard(lane)
        if not pool.lanes and self.pools.get((pool.mask, pool.pin)) is pool:  # a new lane's first pool is no real one
            del self.pools[pool.mask, pool.pin]

    def _repool(self, lane: Lane) -> None:
        mask = 0
        for cls in self.classes.values():
            if cls.serves(lane):
                mask |= 1 << cls.bit
        self._leave_pool(lane)
        pool = self.pools.get((mask, lane.pin))
        if pool is None:
            pool = self.pools[mask, lane.pin] = Pool(mask, lane.pin)
        pool.lanes.add(lane)
        pool.starved = False
        lane.pool = pool
        for flow in lane.flows.values():
            self.announce(flow)

    def announce(self, flow: Flow) -> None:
        """Tell the flow's pool that its head may have changed."""
        rank = flow.head_rank()
        if rank is not None:
            heappush(flow.lane.pool.heads, (rank, flow.serial, flow))


def lane_id_of(capabilities: frozenset[str], group: str, pin: str) -> int:
    """A lane's id: 53 bits of BLAKE2b over its requirements, the same in every process."""
    text = json.dumps([sorted(capabilities), group, pin], ensure_ascii=True, separators=(",", ":"))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 11
