"""The fleet: servers by class, queued tasks by lane, and the pools where they meet.

A class is the servers with the same capabilities and groups, a lane the tasks with the same requirements. Which classes
can serve which lanes is worked out when a lane or a class appears, never per task; lanes that the same classes can
serve share a pool. A pool picks a server by the policy in force. Knows nothing of stores or of a task's fate.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from heapq import heappush

from taskyard.domain.policies import DEFAULT_POLICY, POLICIES
from taskyard.domain.pool import Pool
from taskyard.domain.server import AWAY, Server
from taskyard.domain.task import Task
from taskyard.domain.window import Window

_LOG_MOST = 4096


@dataclass(eq=False, slots=True)
class ServerClass:
    """Servers alike in capabilities and groups; `bit` is its place in a pool's mask, `serving` how many serve."""

    bit: int
    capabilities: frozenset[str]
    groups: frozenset[str]
    servers: dict[str, Server] = field(default_factory=dict)
    serving: int = 0

    def able(self, lane: Lane) -> bool:
        """Whether its servers have the capabilities that the lane requires."""
        return lane.capabilities <= self.capabilities

    def serves(self, lane: Lane) -> bool:
        """Whether its servers have what the lane requires (a pin is the pool's concern)."""
        return self.able(lane) and (not lane.group or lane.group in self.groups)


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
        cls.serving += server.known_serving
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
        if cls is not None:
            self._leave(server, cls)
        server.known_open, server.known_tier, server.known_serving = False, AWAY, False
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
        cls.serving -= server.known_serving
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
            if server.cls is not None:
                server.cls.serving += 1 if serving else -1
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
