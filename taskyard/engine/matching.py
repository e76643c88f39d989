"""The match: queued tasks to free slots, in one global order over the heads of all flows whose pool has a free slot.

Priority first, then place. A pool whose servers are all taken is set aside until one of them opens; a flow that waits
for another server than the one where it failed, or for the retry budget, is passed over and holds up nobody. A task
that has waited long for another server may go to the same one again. Where the next task of a flow is known to the
store only, the servers it could use are left alone until the refill has come.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush

from taskyard.domain.fleet import Flow
from taskyard.domain.outcomes import Status
from taskyard.domain.pool import Pool
from taskyard.domain.server import PROBE_INTERVAL_MS, Server
from taskyard.domain.task import Task
from taskyard.engine import tally
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Changed, Dispatch
from taskyard.engine.turn import Turn


def match(turn: Turn) -> None:
    """Assign as many queued tasks as there are free slots for, within the turn's bound."""
    memory, now = turn.memory, turn.now
    memory.retry_wake = None
    if memory.draining:
        return
    fleet, limits = memory.fleet, memory.limits
    left = limits.dispatches_per_turn
    candidates = _candidates(turn)
    aside: list[tuple[Pool, tuple[int, int, Flow]]] = []
    unknown = 0  # mask of the classes that a task outside memory may be the next one for
    while candidates:
        rank, serial, pool = heappop(candidates)
        if pool.mask & unknown:
            unknown |= pool.mask  # its task waits too, and none behind it may take its servers meanwhile
            continue
        flow = _first(pool)
        if flow is None:
            continue
        if pool.heads[0][0] != rank:
            heappush(candidates, (pool.heads[0][0], serial, pool))
            continue
        if left == 0:
            turn.plan.again = True
            break
        task = flow.window.head()
        if task is None:
            memory.short_flows.add(flow)
            turn.plan.again = True
            unknown |= pool.mask
            continue
        if held_back(memory, pool, flow.avoid, now):
            _wake(memory, next_budget(now))
            aside.append((pool, heappop(pool.heads)))
            _again(candidates, serial, pool)
            continue
        avoid = kept_from(memory, pool, flow.avoid, task.queued_at, now)
        server = pool.pick(fleet, task.spec.type, avoid, turn.rng)
        if server is None:
            if avoid:
                _wake(memory, task.queued_at + limits.elsewhere_ms)
                aside.append((pool, heappop(pool.heads)))
                _again(candidates, serial, pool)
            else:
                pool.starved = True
            continue
        pool.budget.spend(now, retry=bool(flow.avoid))
        _dispatch(turn, task, server)
        left -= 1
        _again(candidates, serial, pool)
    for pool, entry in aside:
        heappush(pool.heads, entry)


def held_back(memory: Memory, pool: Pool, avoid: str, now: int) -> bool:
    """Whether a flow whose tasks failed on a server must wait for the pool's retry budget."""
    return bool(avoid) and not pool.budget.allows(now, memory.limits.retry_budget)


def kept_from(memory: Memory, pool: Pool, avoid: str, since: int, now: int) -> str:
    """The server that a task is kept from which failed on `avoid` and waits since `since` (int ms); '' for none."""
    return pool.avoided(memory.fleet, avoid) if now < since + memory.limits.elsewhere_ms else ""


def _wake(memory: Memory, at: int) -> None:
    """Have the match look again at a time, though nothing happens."""
    if memory.retry_wake is None or at < memory.retry_wake:
        memory.retry_wake = at


def next_budget(now: int) -> int:
    """When the retry budget is looked at again (int ms): its buckets are seconds."""
    return (now // 1000 + 1) * 1000


def _candidates(turn: Turn) -> list[tuple[int, int, Pool]]:
    """The pools that have a queued task and may have a free slot, by their first task's rank."""
    memory = turn.memory
    fleet = memory.fleet
    opened, fleet.opened = fleet.opened, 0
    anew = memory.matched_version != fleet.version
    memory.matched_version = fleet.version
    candidates: list[tuple[int, int, Pool]] = []
    for serial, pool in enumerate(fleet.pools.values()):
        if pool.heads and (anew or not pool.starved or pool.mask & opened):
            pool.starved = False
            if _first(pool) is not None:
                candidates.append((pool.heads[0][0], serial, pool))
    heapify(candidates)
    return candidates


def _first(pool: Pool) -> Flow | None:
    """The flow with the pool's first task; entries that are no longer true are dropped on the way."""
    heads = pool.heads
    while heads:
        rank, _, flow = heads[0]
        if flow.lane.pool is pool and flow.head_rank() == rank:
            return flow
        heappop(heads)
    return None


def _again(candidates: list[tuple[int, int, Pool]], serial: int, pool: Pool) -> None:
    """Put a pool back by its next task."""
    if _first(pool) is not None:
        heappush(candidates, (pool.heads[0][0], serial, pool))


def _dispatch(turn: Turn, task: Task, server: Server) -> None:
    memory, now, spec = turn.memory, turn.now, task.spec
    run = memory.start(task, server, now, now + spec.timeout_ms)
    run.dirty = True
    turn.touched_runs.add(run)
    turn.touch(task)
    if server.misconfigured:
        server.probe_at = now + PROBE_INTERVAL_MS
        turn.touch_server(server)
        memory.fleet.refresh(server, now)
    waited = max(0, now - task.queued_at)
    if run.attempt == 1:
        counters = turn.tally.of_type(spec.type)
        counters[tally.WAITS] += 1
        counters[tally.WAIT_MS] += waited
        turn.tally.waited.append(waited)
    picks = turn.tally.picks
    picks[server.id] = picks.get(server.id, 0) + 1
    payload = task.payload
    if payload is None:
        turn.plan.payloads.append(task.id)
    else:
        memory.drop_payload(task)
    turn.plan.effects.append(
        Dispatch(
            task.id,
            run.attempt,
            server.id,
            run.node,
            spec.type,
            spec.priority,
            spec.capabilities,
            spec.run_async,
            run.limit_at,
            spec.timeout_ms,
            spec.hops,
            spec.traceparent,
            waited,
            payload,
        )
    )
    turn.plan.effects.append(Changed(task.id, Status.PROCESSING))
