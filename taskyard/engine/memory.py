"""What the decider holds in memory, and the few moves that change it. Everything here can be rebuilt from the store.

The moves keep the invariants (counts, windows, slots, timers); they decide nothing and write nothing.
"""

from __future__ import annotations

from taskyard.domain.fleet import Fleet, Flow, Lane
from taskyard.domain.outcomes import Status
from taskyard.domain.server import Server
from taskyard.domain.task import Run, Task
from taskyard.domain.timers import Timers
from taskyard.domain.window import Window
from taskyard.engine.facets import Facets
from taskyard.engine.failures import Failures
from taskyard.engine.limits import Limits
from taskyard.engine.runtimes import RunTimes
from taskyard.engine.series import Series
from taskyard.engine.service import Service
from taskyard.engine.wakes import Wakes


class Memory:
    """The state between turns.

    `tasks` holds every running task and those queued ones that a window or the wakes cover; `runs` every attempt that
    holds a slot. `queued` and `queued_by_owner` count all queued tasks, those that only the store holds included.
    """

    def __init__(self, limits: Limits, node: str) -> None:
        self.limits = limits
        self.node = node
        self.loads: dict[str, int] = {}  # what each node that can dispatch has in hand; none: this one alone
        self.fleet = Fleet()
        self.tasks: dict[str, Task] = {}
        self.runs: dict[tuple[str, int], Run] = {}
        self.run_timers: Timers[Run] = Timers()
        self.server_timers: Timers[Server] = Timers()
        self.wakes = Wakes(limits.wake_entries)
        self.queued = 0
        self.processing = 0
        self.queued_by_owner: dict[str, int] = {}
        # Whose task was the first that waits in a lane, and how many lanes are whose; known since the start.
        self._lane_makers: dict[int, str] = {}
        self._lanes_made: dict[str, int] = {}
        self.place = 0
        self.payload_bytes = 0
        self.in_windows = 0
        self.short_flows: set[Flow] = set()
        self.retry_wake: int | None = None
        self.sweep_at = 0
        self.damaged: list[Task] = []  # live tasks whose rows cannot be read; the next turn ends them
        self.draining = False
        self.shown_status: dict[str, str] = {}
        self.matched_version = -1
        # What people look at; see the modules of these names.
        self.series = Series(0)
        self.failures = Failures(limits.failure_groups)
        self.service = Service(0)
        self.facets = Facets(limits.facet_values)
        self.run_times = RunTimes()

    # --- queue -------------------------------------------------------------------------------------------------------

    def next_place(self) -> int:
        """The next place in the global order."""
        self.place += 1
        return self.place

    def enqueue(self, task: Task) -> None:
        """Put a task into its lane: into its flow when it is ready, else among the waiting."""
        fleet = self.fleet
        lane = task.lane
        if fleet.lanes.get(lane.id) is not lane:
            lane = task.lane = fleet.lane(lane.capabilities, lane.group, lane.pin)
        owner = task.spec.owner
        lane.queued += 1
        self.queued += 1
        self.queued_by_owner[owner] = self.queued_by_owner.get(owner, 0) + 1
        task.status = Status.PENDING
        self.tasks[task.id] = task
        if task.due_at is None:
            self._enter_flow(task)
        else:
            task.flow = None
        at = task.wake_at
        if at is not None and self.wakes.covers(at, task.id):
            self.wakes.add(task, at)

    def _enter_flow(self, task: Task) -> None:
        flow = task.flow = self.fleet.flow(task.lane, task.avoid)
        flow.count += 1
        window = flow.window
        if window.covers(task.rank):
            window.add(task)
            task.in_window = True
            self.in_windows += 1
            if window.head() is task:
                self.fleet.announce(flow)

    def note_damage(self, task: Task) -> None:
        """See to it that a live task which the store returned is ended if its row cannot be read."""
        if task.damaged and not task.status.ended:
            self.damaged.append(task)

    def adopt(self, task: Task) -> None:
        """Take in a queued task that the store returned and that all counts include already."""
        self.note_damage(task)
        if task.due_at is None:
            task.flow = self.fleet.flow(task.lane, task.avoid)

    def make_ready(self, task: Task) -> None:
        """A waiting task came due: from now on it stands in its flow, at its place."""
        task.due_at = None
        self.tasks[task.id] = task
        self._enter_flow(task)
        self.rewake(task)

    def rewake(self, task: Task) -> None:
        """Set the task's next wake anew."""
        at = task.wake_at
        if at is not None and self.wakes.covers(at, task.id):
            self.wakes.add(task, at)
        else:
            self.wakes.drop(task)

    def dequeue(self, task: Task) -> None:
        """Take a queued task out of the queue, wherever it stands."""
        flow = task.flow
        if flow is not None:
            flow.count -= 1
            if task.in_window:
                was_head = flow.window.head() is task
                flow.window.remove(task)
                task.in_window = False
                self.in_windows -= 1
                if was_head:
                    self.fleet.announce(flow)
                if flow.window.tail is not None and len(flow.window) < self.low_water():
                    self.short_flows.add(flow)
            if not flow.count:
                self._close_flow(flow)
            task.flow = None
        self.wakes.drop(task)
        lane = task.lane
        lane.queued -= 1
        if not lane.queued:
            self._lane_emptied(lane)
        self.queued -= 1
        owner = task.spec.owner
        left = self.queued_by_owner.get(owner, 1) - 1  # a damaged row may name another
        if left:
            self.queued_by_owner[owner] = left
        else:
            self.queued_by_owner.pop(owner, None)

    def _close_flow(self, flow: Flow) -> None:
        flow.window.tail = None
        self.short_flows.discard(flow)
        if flow.avoid:
            flow.lane.flows.pop((flow.limit_key, flow.avoid), None)

    def trim(self) -> None:
        """Push the ends of the longest windows out of memory until the budget holds; once a turn."""
        most = self.limits.window_entries
        if self.in_windows <= most:
            return
        flows = [flow for lane in self.fleet.lanes.values() for flow in lane.flows.values() if len(flow.window)]
        share = max(1, most // len(flows))
        for flow in sorted(flows, key=lambda flow: -len(flow.window)):
            window: Window[Task] = flow.window
            while len(window) > share and self.in_windows > most * 7 // 8:
                task = window.evict()
                task.in_window = False
                self.in_windows -= 1
                self.forget_unless_covered(task)
            if self.in_windows <= most * 7 // 8:
                break

    def low_water(self) -> int:
        """Below how many tasks in memory a flow with more in the store wants a refill."""
        limits = self.limits
        share = limits.window_entries // (4 * max(1, len(self.fleet.lanes)))
        return max(limits.window_least // 2, min(2 * limits.refill_bite, share))

    def full_of_lanes(self, owner: str, known: Lane | None) -> str | None:
        """The limit that forbids an owner one more lane with queued tasks, or `None`.

        `known` is that lane when it exists; it has no queued tasks, and others without make room.
        """
        if self._lanes_made.get(owner, 0) >= self.limits.max_lanes_per_sub:
            return "MAX_LANES_PER_SUB"
        lanes = self.fleet.lanes
        if len(lanes) >= self.limits.max_lanes:
            for lane in [lane for lane in lanes.values() if not lane.queued and lane is not known]:
                self.fleet.drop_lane(lane)
        others = len(lanes) - (known is not None and lanes.get(known.id) is known)
        return None if others < self.limits.max_lanes else "MAX_LANES"

    def is_near_full(self, share: float) -> bool:
        """Whether all owners together have come to this share of the queued tasks, or of the lanes, that may be."""
        limits, lanes = self.limits, self.fleet.lanes
        most = share * limits.max_lanes
        return self.queued >= share * limits.max_queued or (
            len(lanes) >= most and sum(lane.queued > 0 for lane in lanes.values()) >= most
        )

    def owners_near_full(self, share: float) -> list[str]:
        """The owners that have come to this share of the queued tasks, or of the lanes, that one may have."""
        queued, lanes = share * self.limits.max_queued_per_sub, share * self.limits.max_lanes_per_sub
        near = {owner for owner, count in self.queued_by_owner.items() if count >= queued}
        near.update(owner for owner, count in self._lanes_made.items() if count >= lanes)
        return sorted(near)

    def lane_made(self, lane: Lane, owner: str) -> None:
        """A lane without queued tasks is about to have one."""
        self._lane_makers[lane.id] = owner
        self._lanes_made[owner] = self._lanes_made.get(owner, 0) + 1

    def _lane_emptied(self, lane: Lane) -> None:
        owner = self._lane_makers.pop(lane.id, None)
        if owner is not None:
            left = self._lanes_made[owner] - 1
            if left:
                self._lanes_made[owner] = left
            else:
                del self._lanes_made[owner]

    def forget_unless_covered(self, task: Task) -> None:
        """Let go of a task that neither a window, nor the wakes, nor a slot holds."""
        if not (task.in_window or task.in_wakes or task.run is not None):
            self.drop_payload(task)
            self.tasks.pop(task.id, None)

    def shrink_wakes(self) -> None:
        """Keep the wakes within their bound; once a turn."""
        for task in self.wakes.shrink():
            self.forget_unless_covered(task)

    # --- payloads ----------------------------------------------------------------------------------------------------

    def keep_payload(self, task: Task, payload: str) -> None:
        """Hold a queued task's payload while the budget allows."""
        if self.payload_bytes + len(payload) <= self.limits.payload_bytes:
            task.payload = payload
            self.payload_bytes += len(payload)

    def drop_payload(self, task: Task) -> None:
        """Let a payload go; the store has it."""
        if task.payload is not None:
            self.payload_bytes -= len(task.payload)
            task.payload = None

    # --- slots -------------------------------------------------------------------------------------------------------

    def start(self, task: Task, server: Server, now: int, limit_at: int) -> Run:
        """Give a queued task a slot of a server."""
        self.dequeue(task)
        task.attempts += 1
        node = self._sender(task) if self.loads else self.node
        run = Run(task.id, task.attempts, server, node, now, limit_at, task=task, beat_at=now)
        task.run = run
        task.status = Status.PROCESSING
        task.queue_deadline = None
        self.tasks[task.id] = task
        self.hold(run, now)
        self.processing += 1
        return run

    def _sender(self, task: Task) -> str:
        """The node that shall send an attempt: where a client waits for it, else the one with the least in hand.

        What the decider sends itself weighs double, since it takes the turns too; it is asked first all the same.
        """
        loads, mine = self.loads, self.node
        node = task.home
        if node not in loads:
            node = min(loads, key=lambda name: (loads[name] * 2, 0) if name == mine else (loads[name], 1))
        loads[node] += 1
        return node

    def hold(self, run: Run, now: int) -> None:
        """Book a slot for an attempt."""
        self.runs[run.task_id, run.attempt] = run
        run.server.runs.add(run)
        self.run_timers.set(run, run.wake_at())
        self.fleet.refresh(run.server, now)

    def detach(self, run: Run) -> Task:
        """Part a task from its attempt; the attempt keeps its slot until `free`."""
        task = run.task
        assert task is not None
        run.task = None
        task.run = None
        task.last_server = run.server.id
        self.processing -= 1
        return task

    def free(self, run: Run) -> None:
        """Give an attempt's slot back; the fleet must be told of the server."""
        run.over = True
        self.runs.pop((run.task_id, run.attempt), None)
        self.run_timers.drop(run)
        run.server.runs.discard(run)

    def rewake_server(self, server: Server, now: int) -> None:
        """Set the server's next wake anew."""
        limits = self.limits
        self.server_timers.set(server, server.wake_at(now, 2 * limits.check_timeout_ms, limits.offline_grace_ms))

    def next_at(self) -> int | None:
        """When the next turn is due though no fact comes, or `None`."""
        if self.damaged:
            return 0
        times = [self.run_timers.next_at(), self.server_timers.next_at(), self.wakes.next_at(), self.retry_wake]
        due = [at for at in times if at is not None]
        if self.fleet.servers:
            due.append(self.sweep_at)
        return min(due) if due else None
