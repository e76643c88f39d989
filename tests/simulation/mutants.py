"""Mutants: named bugs, as patches of the engine or the host, that the oracle must find.

Each is a function that puts its patch on through `swap(owner, name, value)`; `applied` takes it off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from taskyard.domain.fleet import Fleet, Flow
from taskyard.domain.health import Health
from taskyard.domain.outcomes import Outcome, Status
from taskyard.domain.pool import Pool
from taskyard.domain.server import Server
from taskyard.domain.task import Run, Task
from taskyard.domain.window import PLACE_LIMIT, Window
from taskyard.engine import attempts, recovery, servers, tasks
from taskyard.engine.attempts import Ending
from taskyard.engine.engine import HANDLERS, Engine
from taskyard.engine.facts import CalledBack, Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Receipt, Snapshot
from taskyard.engine.turn import Turn
from taskyard.engine.wakes import Wakes
from tests.simulation.host import Host

Swap = Callable[[Any, str, Any], None]
Mutant = Callable[[Swap], None]

MUTANTS: dict[str, Mutant] = {}


def mutant(put_on: Mutant) -> Mutant:
    """Register a mutant under its function's name."""
    MUTANTS[put_on.__name__] = put_on
    return put_on


@contextmanager
def applied(name: str) -> Iterator[None]:
    """Run with a mutant on. Raises `KeyError` for an unknown name."""
    undo: list[Callable[[], None]] = []

    def swap(owner: Any, attribute: str, value: Any) -> None:
        if isinstance(owner, dict):
            undo.append(partial(owner.__setitem__, attribute, owner[attribute]))
            owner[attribute] = value
        else:
            undo.append(partial(setattr, owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, value)

    MUTANTS[name](swap)
    try:
        yield
    finally:
        for back in reversed(undo):
            back()


def _around(swap: Swap, owner: Any, name: str, wrap: Callable[..., Any]) -> None:
    """Put `wrap(original, *arguments)` in the place of a function."""
    original = getattr(owner, name)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        return wrap(original, *arguments, **named)

    swap(owner, name, wrapped)


# --- the fence and attempts ------------------------------------------------------------------------------------------


@mutant
def fence_off(swap: Swap) -> None:
    """Every callback counts for the latest attempt."""

    def called_back(turn: Turn, fact: CalledBack) -> None:
        attempts.called_back(turn, replace(fact, attempt=None))

    handlers: Any = HANDLERS
    swap(handlers, CalledBack, called_back)  # type: ignore[arg-type]


@mutant
def ended_tasks_complete_again(swap: Swap) -> None:
    """A late COMPLETED ends a task that had ended already."""

    def repeat(original: Any, turn: Turn, fact: CalledBack, task: Task) -> None:
        if fact.word == "COMPLETED" and task.id not in turn.touched:
            turn.end_task(task, Status.COMPLETED, by=task.attempts)
            turn.done(fact.ref, task)
        else:
            original(turn, fact, task)

    _around(swap, attempts, "_repeat_or_refuse", repeat)


@mutant
def one_retry_too_many(swap: Swap) -> None:
    """`maxRetries` + 1 retries."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        task = run.task
        if task is not None and task.failures == task.spec.max_retries and end.outcome is Outcome.FAILED:
            task.failures -= 1
        original(turn, run, end, delay_ms)

    _around(swap, attempts, "finish_attempt", finish)


@mutant
def lost_at_will(swap: Swap) -> None:
    """A task whose attempts are lost is queued again, however often."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        if end.outcome is Outcome.LOST and run.task is not None:
            run.task.lost = min(run.task.lost, 0)
        original(turn, run, end, delay_ms)

    _around(swap, attempts, "finish_attempt", finish)


@mutant
def linger_zero(swap: Swap) -> None:
    """An attempt that is given up frees its slot at once."""
    _around(swap, Turn, "give_up", lambda original, turn, run: (original(turn, run), turn.free(run)))


@mutant
def cut_off_frees_the_slot(swap: Swap) -> None:
    """A connection that the node closed counts as the backend's own end."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        original(turn, run, replace(end, given_up=end.given_up and end.outcome is not Outcome.FAILED), delay_ms)

    _around(swap, attempts, "finish_attempt", finish)


@mutant
def attempt_limit_forgotten(swap: Swap) -> None:
    """An attempt never times out."""

    def due(original: Any, turn: Turn, run: Run) -> None:
        if run.task is not None and run.limit_at <= turn.now:
            run.limit_at = turn.now + 3_600_000
        original(turn, run)

    _around(swap, attempts, "run_due", due)


# --- the queue -------------------------------------------------------------------------------------------------------


@mutant
def window_off_by_one(swap: Swap) -> None:
    """What is pushed out of a window is not the first one outside it."""

    def evict(original: Any, window: Window[Task]) -> Task:
        entry: Task = original(window)
        window.tail = entry.rank + 1
        return entry

    _around(swap, Window, "evict", evict)


@mutant
def window_covers_too_much(swap: Swap) -> None:
    """A window takes in tasks that stand behind some that only the store has."""
    swap(Window, "covers", lambda window, rank: True)


@mutant
def refill_loses_one(swap: Swap) -> None:
    """The last task of a refill is dropped."""

    def settle(original: Any, engine: Engine, plan: Plan, receipt: Receipt) -> None:
        receipt.refills = [records[:-1] if len(records) > 1 else records for records in receipt.refills]
        original(engine, plan, receipt)

    _around(swap, Engine, "settle", settle)


@mutant
def place_not_kept(swap: Swap) -> None:
    """A task that was declined goes to the end of the queue."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.last_outcome is Outcome.DECLINED:
            task.rank = (task.rank >> 48 << 48) | turn.memory.next_place()
        original(turn, task, due_at)

    _around(swap, Turn, "requeue", requeue)


@mutant
def place_kept_after_failure(swap: Swap) -> None:
    """A task that failed goes to the head of the queue."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.last_outcome is Outcome.FAILED:
            task.rank = task.rank >> 48 << 48
        original(turn, task, due_at)

    _around(swap, Turn, "requeue", requeue)


@mutant
def priority_ignored(swap: Swap) -> None:
    """All tasks have the same priority."""
    _around(swap, tasks, "rank_of", lambda original, priority, place: original(0, place))


@mutant
def wakes_forgotten(swap: Swap) -> None:
    """Waiting tasks beyond what memory holds are never looked at again."""

    def shrink(original: Any, wakes: Wakes) -> list[Task]:
        gone: list[Task] = original(wakes)
        wakes.horizon = None
        return gone

    _around(swap, Wakes, "shrink", shrink)


@mutant
def queue_timeout_ignored(swap: Swap) -> None:
    """A task may wait for its first dispatch for ever."""

    def wake(original: Any, turn: Turn, task: Task) -> None:
        task.queue_deadline = None
        original(turn, task)

    _around(swap, tasks, "wake", wake)


@mutant
def due_too_early(swap: Swap) -> None:
    """`runAt` is not waited for."""

    def enqueue(original: Any, memory: Memory, task: Task) -> None:
        task.due_at = None
        original(memory, task)

    _around(swap, Memory, "enqueue", enqueue)


# --- servers ---------------------------------------------------------------------------------------------------------


@mutant
def avoid_ignored(swap: Swap) -> None:
    """A retry goes to the server where the task failed, though others are alive."""
    swap(Pool, "only", lambda pool, fleet, server_id: True)


@mutant
def one_slot_too_many(swap: Swap) -> None:
    """`maxConcurrent` + 1 attempts on a server."""

    def has_room(original: Any, server: Server, now: int) -> bool:
        server.max_concurrent += 1
        try:
            return bool(original(server, now))
        finally:
            server.max_concurrent -= 1

    _around(swap, Server, "has_room", has_room)


@mutant
def pause_ignored(swap: Swap) -> None:
    """A server that asked to wait is not waited for."""
    swap(Server, "pause", lambda server, now, asked_ms: None)


@mutant
def maintenance_ignored(swap: Swap) -> None:
    """A server in maintenance goes on getting tasks."""
    tier = Server.tier.fget  # type: ignore[attr-defined]

    def wrong(server: Server) -> int:
        wish, server.maintenance = server.maintenance, False
        try:
            return int(tier(server))
        finally:
            server.maintenance = wish

    swap(Server, "tier", property(wrong))


@mutant
def offline_too_soon(swap: Swap) -> None:
    """Two failed checks in a row switch a server off."""

    def failed(original: Any, health: Health, *what: Any, **how: Any) -> bool:
        health.fails += health.fails == 1
        return bool(original(health, *what, **how))

    _around(swap, Health, "failed", failed)


@mutant
def freed_slot_forgotten(swap: Swap) -> None:
    """Pools are not told of every server that has a slot again."""

    def refresh(original: Any, fleet: Fleet, server: Server, now: int) -> None:
        opened = fleet.opened
        original(fleet, server, now)
        if len(server.runs) == server.max_concurrent - 1:
            fleet.opened = opened

    _around(swap, Fleet, "refresh", refresh)


@mutant
def offline_without_grace(swap: Swap) -> None:
    """The attempts of an offline server are given up at once."""

    def due(original: Any, turn: Turn, server: Server) -> None:
        server.heard_at -= turn.memory.limits.offline_grace_ms
        original(turn, server)
        server.heard_at += turn.memory.limits.offline_grace_ms

    _around(swap, servers, "server_due", due)


@mutant
def degraded_as_good_as_online(swap: Swap) -> None:
    """Degraded servers and standbys get their share like any other."""
    tier = Server.tier.fget  # type: ignore[attr-defined]
    swap(Server, "tier", property(lambda server: min(0, tier(server))))


@mutant
def priority_ignored_across_lanes(swap: Swap) -> None:
    """Among lanes, the older task goes first whatever its priority."""

    def head_rank(original: Any, flow: Flow) -> int | None:
        rank = original(flow)
        return None if rank is None else rank % PLACE_LIMIT

    _around(swap, Flow, "head_rank", head_rank)


# --- clients ---------------------------------------------------------------------------------------------------------


@mutant
def idempotency_forgotten(swap: Swap) -> None:
    """Keys of earlier turns are not looked at."""

    def replayed(original: Any, turn: Turn, fact: Submitted, key: str) -> bool:
        turn.found.keys.clear()
        return bool(original(turn, fact, key))

    _around(swap, tasks, "_replayed", replayed)


@mutant
def idempotency_forgotten_within_a_turn(swap: Swap) -> None:
    """Keys of the same turn are not looked at."""

    def replayed(original: Any, turn: Turn, fact: Submitted, key: str) -> bool:
        turn.new_keys.clear()
        return bool(original(turn, fact, key))

    _around(swap, tasks, "_replayed", replayed)


@mutant
def tenants_mixed_up(swap: Swap) -> None:
    """Anyone may act on anyone's task."""
    _around(swap, tasks, "find_owned", lambda original, turn, ref, task_id, owner: original(turn, ref, task_id, None))


@mutant
def effects_before_the_commit(swap: Swap) -> None:
    """The host answers and dispatches before it has stored anything."""

    def commit(original: Any, host: Host, facts: Any, plan: Plan) -> Receipt:
        host._carry_out(plan, facts)
        receipt: Receipt = original(host, facts, plan)
        return receipt

    _around(swap, Host, "_commit", commit)


# --- recovery and counters -------------------------------------------------------------------------------------------


@mutant
def counter_not_restored(swap: Swap) -> None:
    """After a start the count of queued tasks begins at nothing."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        original(memory, snapshot)
        memory.queued = 0

    _around(swap, recovery, "_adopt_queue", adopt)


@mutant
def flow_not_restored(swap: Swap) -> None:
    """After a start one flow is missing."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        snapshot.flows = snapshot.flows[1:]
        original(memory, snapshot)

    _around(swap, recovery, "_adopt_queue", adopt)


@mutant
def place_not_restored(swap: Swap) -> None:
    """After a start places begin anew: the young overtake the old."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        original(memory, snapshot)
        memory.place = 0

    _around(swap, recovery, "_adopt_queue", adopt)


@mutant
def lingers_not_restored(swap: Swap) -> None:
    """After a start the slots of given-up attempts are free."""

    def adopt(original: Any, turn: Turn, snapshot: Snapshot, *more: Any) -> None:
        snapshot.lingering = []
        original(turn, snapshot, *more)

    _around(swap, recovery, "_adopt_runs", adopt)


@mutant
def retried_counted_twice(swap: Swap) -> None:
    """A task counts as retried at each retry."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.failures == 2 and task.last_outcome is Outcome.FAILED:
            turn.tally.of_type(task.spec.type)[5] += 1
        original(turn, task, due_at)

    _around(swap, Turn, "requeue", requeue)


@mutant
def responses_not_counted_after_a_start(swap: Swap) -> None:
    """When the predict answer came is forgotten by a start."""

    def run_of(original: Any, row: Any, *more: Any) -> Run:
        run: Run = original(row._replace(responded_at=None), *more)
        return run

    _around(swap, recovery, "run_of", run_of)
