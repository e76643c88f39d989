"""Mutants of recovery and of counters."""

from __future__ import annotations

from typing import Any

from taskyard.domain.outcomes import Outcome
from taskyard.domain.task import Run, Task
from taskyard.engine import recovery
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Snapshot
from taskyard.engine.turn import Turn
from tests.simulation.mutant import Swap, around, mutant


@mutant
def counter_not_restored(swap: Swap) -> None:
    """After a start the count of queued tasks begins at nothing."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        original(memory, snapshot)
        memory.queued = 0

    around(swap, recovery, "_adopt_queue", adopt)


@mutant
def flow_not_restored(swap: Swap) -> None:
    """After a start one flow is missing."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        snapshot.flows = snapshot.flows[1:]
        original(memory, snapshot)

    around(swap, recovery, "_adopt_queue", adopt)


@mutant
def place_not_restored(swap: Swap) -> None:
    """After a start places begin anew: the young overtake the old."""

    def adopt(original: Any, memory: Memory, snapshot: Snapshot) -> None:
        original(memory, snapshot)
        memory.place = 0

    around(swap, recovery, "_adopt_queue", adopt)


@mutant
def lingers_not_restored(swap: Swap) -> None:
    """After a start the slots of given-up attempts are free."""

    def adopt(original: Any, turn: Turn, snapshot: Snapshot, *more: Any) -> None:
        snapshot.lingering = []
        original(turn, snapshot, *more)

    around(swap, recovery, "_adopt_runs", adopt)


@mutant
def retried_counted_twice(swap: Swap) -> None:
    """A task counts as retried at each retry."""

    def requeue(original: Any, turn: Turn, task: Task, due_at: int | None) -> None:
        if task.failures == 2 and task.last_outcome is Outcome.FAILED:
            turn.tally.of_type(task.spec.type)[5] += 1
        original(turn, task, due_at)

    around(swap, Turn, "requeue", requeue)


@mutant
def responses_not_counted_after_a_start(swap: Swap) -> None:
    """When the predict answer came is forgotten by a start."""

    def run_of(original: Any, row: Any, *more: Any) -> Run:
        run: Run = original(row._replace(responded_at=None), *more)
        return run

    around(swap, recovery, "run_of", run_of)
