"""Recovery: memory rebuilt from the store. The same code after a start, a crash and a failed commit.

Attempts that a stopped node was dispatching are `lost` (nobody knows how far they came) and their tasks go back to
their places, due within a few seconds so that a herd is spread. After a failed commit the node lives on: what it still
sends, or has an answer to, is not lost. Accepted attempts wait on for their callbacks, with at least a minute left; but
each gets that only once, or a node that starts again and again would never time one out. Lingers run on. Staleness of
servers counts from now.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from random import Random

from taskyard.domain.health import Health, State
from taskyard.domain.policies import POLICIES
from taskyard.domain.server import PROBE_INTERVAL_MS, Server
from taskyard.domain.task import Run
from taskyard.engine.attempts import lose
from taskyard.engine.engine import NOTHING, Engine
from taskyard.engine.failures import Failures
from taskyard.engine.limits import Limits
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Snapshot
from taskyard.engine.series import Series
from taskyard.engine.service import Service
from taskyard.engine.states import run_of, server_of, task_of
from taskyard.engine.turn import Turn

FIRST_CHECKS_SPREAD_MS = 1_000


def recover(
    snapshot: Snapshot,
    limits: Limits,
    node: str,
    now: int,
    rng: Random,
    alive: Collection[tuple[str, int]] = (),
) -> tuple[Engine, Plan]:
    """An engine over the store's state, and a first plan that must be committed before anything else is done.

    `alive` are the (task, attempt) pairs that this process is still sending, or whose end waits to be told.
    """
    memory = Memory(limits, node)
    memory.place = snapshot.last_place
    memory.sweep_at = now + limits.sweep_ms
    memory.series = Series(now, snapshot.series)
    memory.failures = Failures(limits.failure_groups, snapshot.failures)
    memory.service = Service(now, snapshot.loads, snapshot.health)
    algorithm = snapshot.settings.get("algorithm")
    if algorithm in POLICIES:
        memory.fleet.use_policy(algorithm)
    for row in snapshot.servers:
        try:
            server = server_of(row)
        except (ValueError, TypeError):  # the disk has changed it: it is there again once it is registered again
            snapshot.damaged.append(f"server {row.id}")
            continue
        _adopt_server(memory, server, now, rng)
    _adopt_queue(memory, snapshot)
    turn = Turn(memory, now, rng, NOTHING)
    _adopt_runs(turn, snapshot, alive)
    for server in memory.fleet.servers.values():
        turn.touch_server(server)
    turn.refresh_servers()
    return Engine(memory), turn.finish()


def _adopt_server(memory: Memory, server: Server, now: int, rng: Random) -> None:
    server.heard_at = server.online_booked_at = now
    server.health.next_check = now + int(rng.random() * FIRST_CHECKS_SPREAD_MS)
    server.was_online = server.health.state is State.ONLINE
    if server.misconfigured:
        server.probe_at = now + PROBE_INTERVAL_MS
    memory.shown_status[server.id] = server.status
    memory.fleet.place(server)


def _adopt_queue(memory: Memory, snapshot: Snapshot) -> None:
    fleet = memory.fleet
    for row in snapshot.lanes:
        lane = fleet.lane(frozenset(json.loads(row.capabilities)), row.group_name, row.pin)
        lane.stored = True
        lane.queued = snapshot.lane_queued.get(lane.id, 0)
    for counted in snapshot.flows:
        if counted.lane not in fleet.lanes:
            continue  # its row is damaged, and all of its first tasks' rows are
        flow = fleet.flow(fleet.lanes[counted.lane], counted.avoid, counted.limit_key)
        flow.count = counted.count
        flow.window.tail = 0
        fleet.announce(flow)
        memory.short_flows.add(flow)
    memory.queued = sum(snapshot.lane_queued.values())
    memory.queued_by_owner = dict(snapshot.owner_queued)
    for record in snapshot.wakes:
        task = task_of(record, fleet)
        memory.adopt(task)
        memory.tasks[task.id] = task
        at = task.wake_at
        if at is not None:
            memory.wakes.add(task, at)
    if not snapshot.wakes_complete and snapshot.wakes:
        last = snapshot.wakes[-1].queue
        assert last is not None
        assert last.wake_at is not None
        memory.wakes.horizon = (last.wake_at, last.task_id)


def _adopt_runs(turn: Turn, snapshot: Snapshot, alive: Collection[tuple[str, int]]) -> None:
    memory, now, limits = turn.memory, turn.now, turn.memory.limits
    interrupted: list[Run] = []
    for record in snapshot.runs:
        assert record.run is not None
        row = record.run
        server = memory.fleet.servers.get(row.server_id)
        task = task_of(record, memory.fleet)
        memory.tasks[task.id] = task
        memory.note_damage(task)
        memory.processing += 1
        run = run_of(row, server or _ghost(row.server_id, now), task)
        least = now + limits.recovery_grace_ms
        if run.limit_at < least and run.limit_at <= run.started_at + task.spec.timeout_ms:
            run.limit_at = least  # a limit above what the task asks for says that this was done before
            run.dirty = True
            turn.touched_runs.add(run)
        run.beat_at = now
        run.saved_progress_at = now
        memory.hold(run, now)
        if server is None or not (run.accepted or (run.task_id, run.attempt) in alive):
            interrupted.append(run)
    for row in snapshot.lingering:
        server = memory.fleet.servers.get(row.server_id)
        run = run_of(row, server or _ghost(row.server_id, now), None)
        memory.hold(run, now)
        if server is None:
            turn.free(run)
    for run in interrupted:
        delay = int(turn.rng.random() * limits.recovery_spread_ms)
        lose(turn, run, "the node stopped while it was dispatching this attempt", delay)


def _ghost(server_id: str, now: int) -> Server:
    """A stand-in for a server that is gone while one of its attempts is still on record."""
    return Server(id=server_id, name=server_id, predict="", health_url="", registered_at=now, health=Health())
