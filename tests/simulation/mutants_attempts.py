"""Mutants of attempts: the fence, retries, limits and what becomes of slots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from taskyard.domain.outcomes import Outcome, Status
from taskyard.domain.task import Run, Task
from taskyard.engine import attempts
from taskyard.engine.attempts import Ending
from taskyard.engine.engine import HANDLERS
from taskyard.engine.facts import CalledBack
from taskyard.engine.turn import Turn
from tests.simulation.mutant import Swap, around, found_only_by, mutant


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

    around(swap, attempts, "_repeat_or_refuse", repeat)


@mutant
def one_retry_too_many(swap: Swap) -> None:
    """`maxRetries` + 1 retries."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        task = run.task
        if task is not None and task.failures == task.spec.max_retries and end.outcome is Outcome.FAILED:
            task.failures -= 1
        original(turn, run, end, delay_ms)

    around(swap, attempts, "finish_attempt", finish)


@mutant
def lost_at_will(swap: Swap) -> None:
    """A task whose attempts are lost is queued again, however often."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        if end.outcome is Outcome.LOST and run.task is not None:
            run.task.lost = min(run.task.lost, 0)
        original(turn, run, end, delay_ms)

    around(swap, attempts, "finish_attempt", finish)


@mutant
def linger_zero(swap: Swap) -> None:
    """An attempt that is given up frees its slot at once."""
    around(swap, Turn, "give_up", lambda original, turn, run: (original(turn, run), turn.free(run)))


@mutant
def cut_off_frees_the_slot(swap: Swap) -> None:
    """A connection that the node closed counts as the backend's own end."""

    def finish(original: Any, turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
        original(turn, run, replace(end, given_up=end.given_up and end.outcome is not Outcome.FAILED), delay_ms)

    around(swap, attempts, "finish_attempt", finish)


@mutant
def attempt_limit_forgotten(swap: Swap) -> None:
    """An attempt never times out."""

    def due(original: Any, turn: Turn, run: Run) -> None:
        if run.task is not None and run.limit_at <= turn.now:
            run.limit_at = turn.now + 3_600_000
        original(turn, run)

    around(swap, attempts, "run_due", due)


@found_only_by("calls_back_early")
def early_callbacks_refused(swap: Swap) -> None:
    """A callback that overtakes the answer to its dispatch is refused."""

    def called_back(turn: Turn, fact: CalledBack) -> None:
        run = turn.memory.runs.get((fact.task_id, fact.attempt or 0))
        if run is not None and run.task is not None and not run.accepted:
            turn.refuse(fact.ref, "conflict", "not accepted yet")
        else:
            attempts.called_back(turn, fact)

    handlers: Any = HANDLERS
    swap(handlers, CalledBack, called_back)  # type: ignore[arg-type]
