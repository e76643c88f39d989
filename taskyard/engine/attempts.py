"""How attempts end: by the backend's answer, by its callback, by a time limit, by the loss of its node or server.

The fence: every word about an attempt carries its number. A word about an attempt that is not the task's latest changes
nothing but the slot it still held.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskyard.domain.outcomes import AFTER, WORDS, Effect, Outcome, Status, backoff_ms
from taskyard.domain.server import PROBE_INTERVAL_MS, Server
from taskyard.domain.task import Run, Task
from taskyard.domain.window import rank_of
from taskyard.engine import tally
from taskyard.engine.facts import CalledBack, Ended, NodeGone, SlotFreed
from taskyard.engine.plan import TaskDone
from taskyard.engine.tasks import find, stop
from taskyard.engine.turn import Turn

# What is told among the failures, whether it ends the task or not.
NOTED = (Outcome.FAILED, Outcome.TIMEOUT, Outcome.LOST, Outcome.MISCONFIGURED)


@dataclass(slots=True)
class Ending:
    """How an attempt ended, as `finish_attempt` needs it; `given_up` when the backend did not say so itself."""

    outcome: Outcome
    final: bool = False
    given_up: bool = False
    result: str | None = None
    error: str | None = None
    error_code: str | None = None
    error_details: str | None = None
    metadata: str | None = None
    http_status: int | None = None
    progress: int | None = None
    message: str | None = None


def finish_attempt(turn: Turn, run: Run, end: Ending, delay_ms: int = 0) -> None:
    """End an attempt and decide what becomes of its task; one that goes back is due after `delay_ms` at the soonest."""
    after = AFTER[end.outcome]
    if end.outcome is Outcome.COMPLETED:
        _give_back(run)
    if end.outcome in NOTED:
        _note(turn, run, end)
    task = turn.close_attempt(
        run,
        end.outcome,
        given_up=end.given_up,
        error=end.error,
        http_status=end.http_status,
        metadata=end.metadata if end.outcome is not Outcome.COMPLETED else None,
    )
    if after.ends is not None:
        _end(turn, task, run, after.ends, end)
        return
    if after.counter == "failures":
        task.failures += 1
        if end.final or task.failures > task.spec.max_retries:
            _end(turn, task, run, after.exhausted or Status.FAILED, end)
            return
        if not task.retried:
            task.retried = True
            turn.plan.writes.retried.append((task.id,))
            turn.tally.of_type(task.spec.type)[tally.RETRIED] += 1
        task.avoid = run.server.id
        task.rank = rank_of(task.spec.priority, turn.memory.next_place())
        wait = backoff_ms(task.failures, task.spec.backoff_base_ms, task.spec.backoff_cap_ms, turn.rng.random())
        turn.requeue(task, turn.now + wait)
        return
    if after.counter == "lost":
        task.lost += 1
        if task.spec.max_retries == 0 or task.lost > turn.memory.limits.max_lost:
            _end(turn, task, run, after.exhausted or Status.FAILED, end)
            return
    turn.requeue(task, turn.now + delay_ms)


def _end(turn: Turn, task: Task, run: Run, status: Status, end: Ending) -> None:
    turn.end_task(
        task,
        status,
        result=end.result if status is Status.COMPLETED else None,
        error=None if status is Status.COMPLETED else end.error or f"the attempt was {end.outcome}",
        error_code=end.error_code,
        error_details=end.error_details,
        metadata=end.metadata,
        http_status=end.http_status,
        run=run,
        by=run.attempt,
        progress=end.progress,
        message=end.message,
        outcome=end.outcome,
    )


def _give_back(run: Run) -> None:
    """What its dispatch took of the retry budget: the server takes well what it is sent."""
    task = run.task
    if task is not None and task.avoid and not run.accepted:
        task.lane.pool.budget.give_back(run.started_at)


def _note(turn: Turn, run: Run, end: Ending) -> None:
    task, memory = run.task, turn.memory
    assert task is not None
    spec = task.spec
    memory.failures.attempt(
        turn.now,
        spec.owner,
        task.id,
        spec.type,
        end.outcome.value,
        end.http_status,
        end.error_code,
        end.error or f"the attempt was {end.outcome}",
        run.server.id,
        spec.timeout_ms,
        memory.run_times.p95(spec.type),
    )


def answered(turn: Turn, fact: Ended) -> None:
    """The dispatcher's word: the backend answered, or there was none; or a callback was too large to read."""
    run = turn.memory.runs.get((fact.task_id, fact.attempt))
    task = run.task if run is not None else None
    if run is not None:
        _judge_server(turn, run.server, fact)
    if run is None or task is None:  # a callback, a limit or a cancel was first
        turn.refuse(fact.ref, "superseded", f"Attempt {fact.attempt} of task {fact.task_id} is over.")
        if run is not None and fact.outcome is not Outcome.ACCEPTED and fact.http_status is not None:
            turn.free(run)  # it was given up and lingered; now the backend is done with it
        return
    if fact.responded_at is not None:
        run.responded_at = fact.responded_at
    if fact.outcome is Outcome.ACCEPTED:
        _give_back(run)
        run.accepted = True
        run.beat_at = turn.now
        run.dirty = True
        turn.touched_runs.add(run)
        turn.memory.run_timers.set(run, run.wake_at())
        turn.done(fact.ref, task)
        return
    finish_attempt(
        turn,
        run,
        Ending(
            outcome=fact.outcome,
            final=fact.final,
            given_up=fact.cut_off,
            result=fact.result,
            error=fact.error,
            error_code=fact.error_code,
            error_details=fact.error_details,
            metadata=fact.metadata,
            http_status=fact.http_status,
        ),
    )
    turn.done(fact.ref, task)


def _judge_server(turn: Turn, server: Server, fact: Ended) -> None:
    """What a dispatch's end says about the server."""
    now = turn.now
    turn.touch_server(server)
    if fact.outcome is Outcome.UNREACHED:
        if not server.held:  # those in flight at the same moment tell nothing new
            server.held = True
            server.dirty = True
            if server.was_unreached:  # its checks pass, and yet it is not reached: as if it had declined
                server.pause(now, None)
            server.was_unreached = True
            server.health.failed(now, turn.rng.random(), fact.error or "cannot be reached", checked=False)
            server.health.next_check = now
        return
    if fact.effect is Effect.SET_ASIDE:
        server.misconfigured = True
        server.probe_at = now + PROBE_INTERVAL_MS
        server.dirty = True
        return
    if fact.http_status is None:
        return
    server.was_unreached = False
    if server.misconfigured:
        server.misconfigured = False
        server.probe_at = None
        server.dirty = True
    if fact.effect is Effect.PAUSE:
        server.pause(now, fact.pause_ms)
        return
    if fact.outcome is not Outcome.ACCEPTED:  # one that accepts may still hand the task back
        server.worked()
    if fact.effect is Effect.SUSPECT:
        server.health.suspect(now)


def called_back(turn: Turn, fact: CalledBack) -> None:
    """A backend's callback; see the fence at the head of this module."""
    task = find(turn, fact.task_id)
    if task is None:
        turn.refuse(fact.ref, "not_found", f"Task {fact.task_id} not found: it was removed.")
        return
    attempt = fact.attempt if fact.attempt is not None else task.attempts
    if not attempt:
        turn.refuse(fact.ref, "conflict", f"Task {task.id} was not dispatched yet: no attempt can end it.", task.status)
        return
    outcome = WORDS[fact.word]
    run = turn.memory.runs.get((task.id, attempt))
    if run is not None:
        run.server.heard_at = turn.now
        if outcome is not None and outcome is not Outcome.DECLINED:
            run.server.worked()
    if run is not None and run.task is None and outcome is not None:
        turn.free(run)  # given up, lingering: now the backend says that it is done
        turn.touch_server(run.server)
    if attempt != task.attempts:
        details = f"Attempt {attempt} of task {task.id} was superseded; the task is {task.status.name}."
        turn.refuse(fact.ref, "superseded", details, task.status)
        return
    if task.status.ended:
        _repeat_or_refuse(turn, fact, task)
        return
    if task.run is None:
        _after_the_fact(turn, fact, task, run, outcome)
        return
    assert run is not None
    if outcome is None:
        _progress(turn, fact, run)
        turn.done(fact.ref, task)
        return
    turn.touch_server(run.server)
    if outcome is Outcome.DECLINED:
        run.server.pause(turn.now, None)
    finish_attempt(turn, run, _ending(fact, outcome))
    turn.done(fact.ref, task)


def _ending(fact: CalledBack, outcome: Outcome) -> Ending:
    return Ending(
        outcome=outcome,
        result="null" if fact.result is None and outcome is Outcome.COMPLETED else fact.result,
        error=fact.error or (f"the backend called back {fact.word}" if outcome is not Outcome.COMPLETED else None),
        error_code=fact.error_code,
        error_details=fact.error_details,
        metadata=fact.metadata,
        progress=fact.progress,
        message=fact.message,
    )


def _repeat_or_refuse(turn: Turn, fact: CalledBack, task: Task) -> None:
    """The latest attempt speaks of a task that has ended: its own end again is fine, anything else is not."""
    if task.ended_by == task.attempts and fact.word.value == task.status.name:
        turn.answer(fact.ref, TaskDone(task.id, task.status, turn.now))
        return
    details = f"Task {task.id} is {task.status.name}; attempt {task.attempts} can stop."
    turn.refuse(fact.ref, "already_ended", details, task.status)


def _after_the_fact(turn: Turn, fact: CalledBack, task: Task, run: Run | None, outcome: Outcome | None) -> None:
    """The latest attempt was given up and the task waits: a late COMPLETED is taken, a repeated end is agreed to.

    Counters and averages are not touched: the attempt was counted as what it was given up for. Each counts once, and
    the figures are at any time those of the history; nor should a policy learn from a span that went past its limit.
    """
    if outcome is Outcome.COMPLETED:
        turn.memory.dequeue(task)
        end = _ending(fact, outcome)
        turn.end_task(
            task,
            Status.COMPLETED,
            result=end.result,
            metadata=end.metadata,
            message=end.message,
            run=run,
            by=task.attempts,
        )
        turn.done(fact.ref, task)
    elif outcome is not None and outcome is task.last_outcome:
        turn.done(fact.ref, task)
    else:
        details = f"Attempt {task.attempts} of task {task.id} was given up; the task is {task.status.name}."
        turn.refuse(fact.ref, "superseded", details, task.status)


def _progress(turn: Turn, fact: CalledBack, run: Run) -> None:
    run.beat_at = turn.now
    if fact.progress is not None:
        run.progress = max(0, min(100, fact.progress))
    if fact.message is not None:
        run.message = fact.message
    save_progress(turn, run)
    turn.memory.run_timers.set(run, run.wake_at())


def save_progress(turn: Turn, run: Run) -> None:
    """Write what an attempt last said, at most once in `progress_interval_ms`; otherwise when that has passed."""
    due = run.saved_progress_at + turn.memory.limits.progress_interval_ms
    if due <= turn.now:
        run.saved_progress_at = turn.now
        run.progress_due = None
        run.dirty = True
        turn.touched_runs.add(run)
    else:
        run.progress_due = due


def slot_freed(turn: Turn, fact: SlotFreed) -> None:
    """A backend confirmed that it gave an attempt up."""
    run = turn.memory.runs.get((fact.task_id, fact.attempt))
    if run is not None and run.task is None:
        turn.free(run)


def run_due(turn: Turn, run: Run) -> None:
    """An attempt's time has come: its linger is over, or a limit has passed."""
    now, task = turn.now, run.task
    if run.wake_at() > now:
        turn.memory.run_timers.set(run, run.wake_at())
        return
    if task is None:
        turn.free(run)
        return
    if run.progress_due is not None and run.progress_due <= now:
        save_progress(turn, run)
        turn.memory.run_timers.set(run, run.wake_at())
        return
    if task.deadline is not None and task.deadline <= now:
        stop(turn, task, "ttl passed")
        turn.end_task(task, Status.TIMEOUT, error=f"ttl passed: not done within {task.spec.ttl_ms} ms", run=run)
        return
    if run.limit_at <= now:
        error = f"no result within {task.spec.timeout_ms} ms (timeout)"
    else:
        error = f"no callback within {task.spec.heartbeat_timeout_ms} ms (heartbeatTimeout)"
    finish_attempt(turn, run, Ending(Outcome.TIMEOUT, given_up=True, error=error))


def lose(turn: Turn, run: Run, reason: str, delay_ms: int = 0) -> None:
    """Give an attempt up because its node or server is gone."""
    finish_attempt(turn, run, Ending(Outcome.LOST, given_up=True, error=reason), delay_ms)


def node_gone(turn: Turn, fact: NodeGone) -> None:
    """Give up what a dead node was sending; accepted attempts need no node and wait on."""
    turn.memory.loads.pop(fact.node, None)
    gone = [run for run in turn.memory.runs.values() if run.node == fact.node and run.task is not None]
    for run in gone:
        if not run.accepted:
            lose(turn, run, "the node that was dispatching this attempt is gone")
            turn.touch_server(run.server)
