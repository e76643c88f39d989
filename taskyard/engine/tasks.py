"""What people do to tasks (submit, cancel, retry, judge by hand, purge), and what a waiting task's own times do."""

from __future__ import annotations

from taskyard.domain.fleet import Lane
from taskyard.domain.outcomes import VERDICTS, Outcome, Status
from taskyard.domain.task import Run, Task
from taskyard.domain.window import rank_of
from taskyard.engine import tally
from taskyard.engine.facts import CancelAsked, Judged, Noted, PurgeAsked, RetryAsked, Submitted
from taskyard.engine.plan import NoteDone, SubmitDone, TaskDone
from taskyard.engine.rows import KeyRow
from taskyard.engine.states import new_task_row, task_of
from taskyard.engine.turn import Turn

RETRYABLE = (Status.FAILED, Status.TIMEOUT, Status.CANCELLED)


def find(turn: Turn, task_id: str) -> Task | None:
    """The task as it is now: from memory, from this turn, or from what was looked up for it."""
    task = turn.memory.tasks.get(task_id) or turn.touched.get(task_id) or turn.loaded.get(task_id)
    if task is None:
        record = turn.found.tasks.get(task_id)
        if record is None:
            return None
        task = task_of(record, turn.memory.fleet)
        if task.status is Status.PENDING:
            turn.memory.adopt(task)
        turn.loaded[task_id] = task
    return task


def find_owned(turn: Turn, ref: int, task_id: str, owner: str | None) -> Task | None:
    """The task if the caller may act on it; otherwise the call is refused as if there were none."""
    task = find(turn, task_id)
    if task is None or (owner is not None and task.spec.owner != owner):
        turn.refuse(ref, "not_found", f"Task {task_id} not found: it was removed, or it is not yours.")
        return None
    return task


def submit(turn: Turn, fact: Submitted) -> None:
    """Admit a task, unless its idempotency key made one already or a limit is reached."""
    memory, spec, stored = turn.memory, fact.spec, fact.stored
    if not stored:
        if fact.key is not None and _replayed(turn, fact, fact.key):
            return
        if _queue_full(turn, fact.ref, spec.owner):
            return
    required = frozenset(spec.capabilities), spec.group, spec.pin
    known = memory.fleet.lane(*required) if memory.fleet.knows_lane(*required) else None
    new = known is None or not known.queued
    if new and not stored and _full_of_lanes(turn, fact.ref, spec.owner, known):
        return
    lane = memory.fleet.lane(*required)
    if new:
        memory.lane_made(lane, spec.owner)
    turn.note_lane(lane)
    start, due_at = spec.created_at, None
    if spec.run_at is not None:
        start = max(start, spec.run_at)
        due_at = spec.run_at if spec.run_at > turn.now else None
    task = Task(
        id=spec.id,
        spec=spec,
        lane=lane,
        rank=rank_of(spec.priority, memory.next_place()),
        due_at=due_at,
        deadline=None if spec.ttl_ms is None else start + spec.ttl_ms,
        queue_deadline=None if spec.queue_timeout_ms is None else start + spec.queue_timeout_ms,
        queued_at=start,
    )
    if memory.loads and not spec.run_async:
        task.home = memory.node if fact.line is None else fact.line[0]
    memory.enqueue(task)
    if not stored:
        _store(turn, fact, task)
    turn.touch(task)
    turn.tally.of_type(spec.type)[tally.CREATED] += 1
    turn.tally.of_owner(spec.owner)[tally.CREATED] += 1
    memory.facets.note(turn.now, spec)
    turn.answer(fact.ref, SubmitDone(spec.id, spec.created_at))


def _store(turn: Turn, fact: Submitted, task: Task) -> None:
    spec, writes = fact.spec, turn.plan.writes
    turn.memory.keep_payload(task, fact.payload)
    writes.tasks.append(new_task_row(spec, task.lane.id))
    writes.payloads.append((spec.id, fact.payload))
    if spec.tags:
        writes.tags += [(tag, spec.id) for tag in dict.fromkeys(spec.tags)]
    if fact.key is not None:
        expires = turn.now + turn.memory.limits.idempotency_ms
        writes.keys.append(KeyRow(spec.owner, fact.key, fact.key_hash, spec.id, spec.created_at, expires))
        turn.new_keys[spec.owner, fact.key] = (fact.key_hash, spec.id, spec.created_at)


def _replayed(turn: Turn, fact: Submitted, key: str) -> bool:
    known = turn.new_keys.get((fact.spec.owner, key))
    if known is None:
        row = turn.found.keys.get((fact.spec.owner, key))
        if row is None or row.expires_at <= turn.now:
            return False
        known = (row.hash, row.task_id, row.created_at)
    key_hash, task_id, created_at = known
    if key_hash != fact.key_hash:
        details = f"idempotencyKey {key!r} was used for another body (task {task_id}); use a new key for a new task."
        turn.refuse(fact.ref, "key_reused", details)
    else:
        turn.answer(fact.ref, SubmitDone(task_id, created_at, replayed=True))
    return True


def cancel(turn: Turn, fact: CancelAsked) -> None:
    """End a task that has not ended."""
    task = find_owned(turn, fact.ref, fact.task_id, fact.owner)
    if task is None:
        return
    if task.status.ended:
        _refuse_ended(turn, fact.ref, task, "cancelled")
        return
    run = stop(turn, task, "cancelled by hand")
    turn.end_task(task, Status.CANCELLED, run=run)
    if fact.who != task.spec.owner:
        turn.audit(fact.who, "task.cancel", task.id)
    turn.done(fact.ref, task)


def judge_by_hand(turn: Turn, fact: Judged) -> None:
    """End a task as a person says, whatever its attempt does."""
    task = find_owned(turn, fact.ref, fact.task_id, fact.owner)
    if task is None:
        return
    status = VERDICTS.get(fact.word)
    if status is None:
        details = f"status: a verdict by hand is one of {', '.join(VERDICTS)}, not {fact.word}."
        turn.refuse(fact.ref, "bad_request", details)
        return
    if task.status.ended:
        _refuse_ended(turn, fact.ref, task, "judged")
        return
    run = stop(turn, task, f"ended as {status.name} by hand")
    turn.end_task(
        task,
        status,
        result=fact.result if status is Status.COMPLETED else None,
        error=fact.error,
        error_code=fact.error_code,
        error_details=fact.error_details,
        metadata=fact.metadata,
        run=run,
        message=fact.message,
    )
    if fact.who != task.spec.owner:
        turn.audit(fact.who, f"task.{status.name.lower()}", task.id)
    turn.done(fact.ref, task)


def _queue_full(turn: Turn, ref: int, owner: str) -> bool:
    """Whether no more task of this owner may be queued; it is refused then."""
    memory = turn.memory
    if memory.queued >= memory.limits.max_queued:
        turn.refuse(ref, "queue_full", f"{memory.queued} tasks are queued, the most there may be (MAX_QUEUED).")
        return True
    if memory.queued_by_owner.get(owner, 0) >= memory.limits.max_queued_per_sub:
        details = "As many tasks are queued as one subject may have (MAX_QUEUED_PER_SUB)."
        turn.refuse(ref, "subject_queue_full", details)
        return True
    return False


def _full_of_lanes(turn: Turn, ref: int, owner: str, known: Lane | None) -> bool:
    """Whether no more lane of this owner may have queued tasks; the task is refused then."""
    limit = turn.memory.full_of_lanes(owner, known)
    if limit is None:
        return False
    details = f"Too many different requirements wait at once ({limit}); use fewer combinations of capabilities."
    turn.refuse(ref, "too_many_lanes", details)
    return True


def stop(turn: Turn, task: Task, reason: str) -> Run | None:
    """Take a live task off the queue or away from its attempt; returns that attempt."""
    run = task.run
    if run is not None:
        turn.close_attempt(run, Outcome.CANCELLED, given_up=True, error=reason)
    else:
        turn.memory.dequeue(task)
    return run


def retry(turn: Turn, fact: RetryAsked) -> None:
    """Queue an ended task again with full retries, or make one that waits for a time due at once."""
    task = find_owned(turn, fact.ref, fact.task_id, fact.owner)
    if task is None:
        return
    if task.status.ended and task.id in turn.touched:
        turn.plan.deferred.append(fact)  # it ended in this very turn: the next one knows how it stands in the store
        return
    if task.damaged:
        details = f"Task {task.id} cannot be run: its row in the database is damaged ({task.damaged})."
        turn.refuse(fact.ref, "conflict", details, task.status)
        return
    if task.status is Status.PENDING and task.due_at is not None:
        turn.memory.make_ready(task)
        task.queued_at = turn.now
        turn.touch(task)
    elif task.status in RETRYABLE:
        record = turn.found.tasks[task.id]
        if record.task.purged:
            turn.refuse(fact.ref, "conflict", f"Task {task.id} was purged: its payload is gone.", task.status)
            return
        if _queue_full(turn, fact.ref, task.spec.owner):
            return
        known = turn.memory.fleet.lanes.get(task.lane.id)  # the task's own may have made room in this turn
        if known is None or not known.queued:
            if _full_of_lanes(turn, fact.ref, task.spec.owner, known):
                return
            turn.memory.lane_made(task.lane, task.spec.owner)
        _reopen(turn, task)
    else:
        details = (
            f"Task {task.id} is {task.status.name}; only FAILED, TIMEOUT and CANCELLED tasks, and those that wait for "
            "a back-off or a runAt, can be retried."
        )
        turn.refuse(fact.ref, "conflict", details, task.status)
        return
    if fact.who != task.spec.owner:
        turn.audit(fact.who, "task.retry", task.id)
    turn.done(fact.ref, task)


def _reopen(turn: Turn, task: Task) -> None:
    spec, now = task.spec, turn.now
    turn.tally.of_owner(spec.owner)[tally.ENDS[task.status]] -= 1
    task.failures = task.lost = 0
    task.avoid = ""
    task.last_outcome = None
    task.rank = rank_of(spec.priority, turn.memory.next_place())
    task.deadline = None if spec.ttl_ms is None else now + spec.ttl_ms
    task.queue_deadline = None if spec.queue_timeout_ms is None else now + spec.queue_timeout_ms
    turn.plan.writes.reopened.append((task.id,))
    turn.note_lane(task.lane)
    turn.requeue(task, None)


def purge(turn: Turn, fact: PurgeAsked) -> None:
    """Erase an ended task's payload and result; the record stays."""
    task = find_owned(turn, fact.ref, fact.task_id, fact.owner)
    if task is None:
        return
    if not task.status.ended:
        details = f"Task {task.id} is {task.status.name}; only an ended task can be purged. Cancel it first."
        turn.refuse(fact.ref, "conflict", details, task.status)
        return
    if task.id in turn.touched:
        turn.plan.deferred.append(fact)
        return
    turn.touch(task)  # a retry in this very turn waits for the next one, which knows of the purge
    turn.plan.writes.purged.append((task.id,))
    turn.audit(fact.who, "task.purge", task.id)
    turn.answer(fact.ref, TaskDone(task.id, task.status, turn.now))


def end_damaged(turn: Turn) -> None:
    """End the tasks whose rows cannot be read: of what such a one asks for nothing is certain."""
    memory = turn.memory
    damaged, memory.damaged = memory.damaged, []
    for task in damaged:
        if memory.tasks.get(task.id) is task:
            error = f"unreadable: its row in the database is damaged ({task.damaged})"
            run = stop(turn, task, error)
            turn.end_task(task, Status.FAILED, error=error, run=run)


def note(turn: Turn, fact: Noted) -> None:
    """Write into the audit log that someone is about to change much."""
    turn.audit(fact.who, fact.action, fact.target, fact.details)
    turn.answer(fact.ref, NoteDone())


def _refuse_ended(turn: Turn, ref: int, task: Task, what: str) -> None:
    details = f"Task {task.id} is {task.status.name} already and cannot be {what}."
    turn.refuse(ref, "already_ended", details, task.status)


def wake(turn: Turn, task: Task) -> None:
    """A queued task's time has come: its limit has passed, or it is due."""
    now, memory = turn.now, turn.memory
    if task.status is not Status.PENDING:
        return
    if task.deadline is not None and task.deadline <= now:
        memory.dequeue(task)
        turn.end_task(task, Status.TIMEOUT, error=f"ttl passed: not done within {task.spec.ttl_ms} ms")
    elif task.queue_deadline is not None and task.queue_deadline <= now:
        memory.dequeue(task)
        limit = task.spec.queue_timeout_ms
        turn.end_task(task, Status.TIMEOUT, error=f"queueTimeout passed: no server took it within {limit} ms")
    elif task.due_at is not None and task.due_at <= now:
        memory.make_ready(task)
        turn.touch(task)
    else:
        memory.rewake(task)
