"""Mutants of the queue: windows, places, priorities, times, and what clients may do."""

from __future__ import annotations

from typing import Any

from taskyard.domain.fleet import Flow
from taskyard.domain.outcomes import Outcome
from taskyard.domain.task import Task
from taskyard.domain.window import PLACE_LIMIT, Window
from taskyard.engine import tasks
from taskyard.engine.engine import Engine
from taskyard.engine.facts import Submitted
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Plan, Receipt
from taskyard.engine.turn import Turn
from taskyard.engine.wakes import Wakes
from taskyard.prove.simulation.host import Host
from tests.simulation.mutant import Swap, around, mutant


@mutant
def window_off_by_one(swap: Swap) -> None:
    """What is pushed out of a window is not the first one outside it."""

    def evict(original: Any, window: Window[Task]) -> Task:
        entry: Task = original(window)
        window.tail = entry.rank + 1
        return entry

    around(swap, Window, "evict", evict)


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

    around(swap, Engine, "settle", settle)


@mutant
def place_not_kept(swap: Swap) -> None:
    """A task that was declined goes to the end of the queue."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.last_outcome is Outcome.DECLINED:
            task.rank = (task.rank >> 48 << 48) | turn.memory.next_place()
        original(turn, task, due_at)

    around(swap, Turn, "requeue", requeue)


@mutant
def place_kept_after_failure(swap: Swap) -> None:
    """A task that failed goes to the head of the queue."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.last_outcome is Outcome.FAILED:
            task.rank = task.rank >> 48 << 48
        original(turn, task, due_at)

    around(swap, Turn, "requeue", requeue)


@mutant
def priority_ignored(swap: Swap) -> None:
    """All tasks have the same priority."""
    around(swap, tasks, "rank_of", lambda original, priority, place: original(0, place))


@mutant
def wakes_forgotten(swap: Swap) -> None:
    """Waiting tasks beyond what memory holds are never looked at again."""

    def shrink(original: Any, wakes: Wakes) -> list[Task]:
        gone: list[Task] = original(wakes)
        wakes.horizon = None
        return gone

    around(swap, Wakes, "shrink", shrink)


@mutant
def queue_timeout_ignored(swap: Swap) -> None:
    """A task may wait for its first dispatch for ever."""

    def wake(original: Any, turn: Turn, task: Task) -> None:
        task.queue_deadline = None
        original(turn, task)

    around(swap, tasks, "wake", wake)


@mutant
def due_too_early(swap: Swap) -> None:
    """`runAt` is not waited for."""

    def enqueue(original: Any, memory: Memory, task: Task) -> None:
        task.due_at = None
        original(memory, task)

    around(swap, Memory, "enqueue", enqueue)


@mutant
def idempotency_forgotten(swap: Swap) -> None:
    """Keys of earlier turns are not looked at."""

    def replayed(original: Any, turn: Turn, fact: Submitted, key: str) -> bool:
        turn.found.keys.clear()
        return bool(original(turn, fact, key))

    around(swap, tasks, "_replayed", replayed)


@mutant
def idempotency_forgotten_within_a_turn(swap: Swap) -> None:
    """Keys of the same turn are not looked at."""

    def replayed(original: Any, turn: Turn, fact: Submitted, key: str) -> bool:
        turn.new_keys.clear()
        return bool(original(turn, fact, key))

    around(swap, tasks, "_replayed", replayed)


@mutant
def tenants_mixed_up(swap: Swap) -> None:
    """Anyone may act on anyone's task."""
    around(swap, tasks, "find_owned", lambda original, turn, ref, task_id, owner: original(turn, ref, task_id, None))


@mutant
def effects_before_the_commit(swap: Swap) -> None:
    """The host answers and dispatches before it has stored anything."""

    def commit(original: Any, host: Host, facts: Any, plan: Plan) -> Receipt:
        host._carry_out(plan, facts)
        receipt: Receipt = original(host, facts, plan)
        return receipt

    around(swap, Host, "_commit", commit)


@mutant
def priority_ignored_across_lanes(swap: Swap) -> None:
    """Among lanes, the older task goes first whatever its priority."""

    def head_rank(original: Any, flow: Flow) -> int | None:
        rank = original(flow)
        return None if rank is None else rank % PLACE_LIMIT

    around(swap, Flow, "head_rank", head_rank)
