"""Between memory and rows: live tasks, attempts and servers as rows, and back."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from taskyard.domain.fleet import Fleet, Lane
from taskyard.domain.health import Health, State
from taskyard.domain.outcomes import Outcome, Status
from taskyard.domain.pool import Pool
from taskyard.domain.server import Server
from taskyard.domain.task import Run, Spec, Task
from taskyard.engine.rows import EndedTask, NewTask, QueueRow, Record, RunRow, ServerRow, TaskRow


@lru_cache(maxsize=1024)
def json_of(words: tuple[str, ...]) -> str:
    """A list of words as JSON text; the same few come again and again."""
    return json.dumps(words, ensure_ascii=False)


def new_task_row(spec: Spec, lane_id: int) -> NewTask:
    """The facts of a task as a row."""
    return NewTask(
        spec.id,
        spec.owner,
        spec.type,
        spec.priority,
        lane_id,
        json_of(spec.capabilities),
        spec.group,
        spec.pin,
        1 if spec.run_async else 0,
        spec.run_at,
        spec.timeout_ms,
        spec.ttl_ms,
        spec.queue_timeout_ms,
        spec.heartbeat_timeout_ms,
        spec.max_retries,
        spec.backoff_base_ms,
        spec.backoff_cap_ms,
        json_of(spec.tags) if spec.tags else None,
        spec.metadata,
        spec.resubmit_of,
        spec.hops,
        spec.traceparent,
        spec.created_at,
    )


def ended_record(spec: Spec, end: EndedTask, lane_id: int = 0) -> Record:
    """The record of a task that ended, without the store: from what was submitted and how it ended."""
    return Record(TaskRow(*new_task_row(spec, lane_id), *end[:-1], purged=0, retried=0), None, None)


def queue_row(task: Task, now: int) -> QueueRow:
    """A queued task's live state."""
    return QueueRow(
        task.id,
        task.spec.owner,
        task.lane.id,
        "",
        task.avoid,
        task.rank,
        task.due_at,
        task.wake_at,
        task.attempts,
        task.failures,
        task.lost,
        task.deadline,
        task.queue_deadline,
        task.queued_at,
        task.last_server,
        task.last_outcome.value if task.last_outcome else None,
        now,
    )


def run_row(run: Run, now: int) -> RunRow:
    """An attempt that holds a slot; what concerns its task is left empty once the two have parted."""
    task = run.task
    return RunRow(
        run.task_id,
        run.attempt,
        run.server.id,
        run.node,
        task.rank if task else 0,
        task.avoid if task else "",
        task.failures if task else 0,
        task.lost if task else 0,
        task.deadline if task else None,
        run.started_at,
        run.limit_at,
        1 if run.accepted else 0,
        run.responded_at,
        run.beat_at,
        run.progress,
        run.message,
        run.linger_until,
        now,
    )


def server_row(server: Server) -> ServerRow:
    """A server as a row."""
    return ServerRow(
        server.id,
        server.name,
        server.owner,
        server.predict,
        server.health_url,
        server.metrics_url,
        server.cancel_url,
        server.api_key,
        json.dumps(server.capabilities, ensure_ascii=False),
        1 if server.learns_capabilities else 0,
        json.dumps(server.groups, ensure_ascii=False),
        server.max_concurrent,
        server.weight,
        1 if server.is_async else 0,
        1 if server.maintenance else 0,
        server.maintenance_reason,
        1 if server.draining else 0,
        server.removing_until,
        server.registered_at,
        server.last_heartbeat,
        server.health.state.value,
        server.health.online_since,
        json.dumps({kind: round(ms, 3) for kind, ms in server.averages.items()}, ensure_ascii=False),
        1 if server.misconfigured else 0,
        server.paused_until,
        server.pause_step_ms,
        1 if server.held else 0,
    )


def server_of(row: ServerRow) -> Server:
    """A server from its row. Its health starts from the stored state; a check is due at once."""
    averages: dict[str, Any] = json.loads(row.averages)
    return Server(
        id=row.id,
        name=row.name,
        predict=row.predict,
        health_url=row.health_url,
        registered_at=row.registered_at,
        owner=row.owner,
        metrics_url=row.metrics_url,
        cancel_url=row.cancel_url,
        api_key=row.api_key,
        capabilities=tuple(json.loads(row.capabilities)),
        learns_capabilities=bool(row.learns_capabilities),
        groups=tuple(json.loads(row.groups)),
        max_concurrent=row.max_concurrent,
        weight=row.weight,
        is_async=bool(row.is_async),
        maintenance=bool(row.maintenance),
        maintenance_reason=row.maintenance_reason,
        draining=bool(row.draining),
        removing_until=row.removing_until,
        last_heartbeat=row.last_heartbeat,
        misconfigured=bool(row.misconfigured),
        paused_until=row.paused_until,
        pause_step_ms=row.pause_step,
        held=bool(row.held),
        averages={kind: float(ms) for kind, ms in averages.items()},
        health=Health(
            state=State(row.state), online_since=row.online_since, last_passed=row.state == State.ONLINE.value
        ),
    )


def spec_of(row: TaskRow) -> Spec:
    """What the client submitted, from its row."""
    return Spec(
        id=row.id,
        owner=row.owner,
        type=row.type,
        created_at=row.created_at,
        priority=row.priority,
        capabilities=tuple(json.loads(row.capabilities)),
        group=row.group_name,
        pin=row.pin,
        run_async=bool(row.run_async),
        run_at=row.run_at,
        timeout_ms=row.timeout,
        ttl_ms=row.ttl,
        queue_timeout_ms=row.queue_timeout,
        heartbeat_timeout_ms=row.heartbeat_timeout,
        max_retries=row.max_retries,
        backoff_base_ms=row.backoff_base,
        backoff_cap_ms=row.backoff_cap,
        tags=tuple(json.loads(row.tags)) if row.tags else (),
        metadata=row.metadata,
        resubmit_of=row.resubmit_of,
        hops=row.hops,
        traceparent=row.traceparent,
    )


def task_of(record: Record, fleet: Fleet) -> Task:
    """A task from its record: queued, running (then without its `Run`, see `run_of`), or ended.

    One whose row the disk has changed is `damaged`; what can be read of it is there.
    """
    if record.damaged:
        return _damaged_task(record, fleet, record.damaged)
    try:
        task = _task_of(record, fleet)
    except (ValueError, TypeError):
        return _damaged_task(record, fleet, "no JSON, or no word that there is")
    # The lane's id is a hash of what it requires.
    return task if task.lane.id == record.task.lane else _damaged_task(record, fleet, "capabilities, group or pin")


def _damaged_task(record: Record, fleet: Fleet, damaged: str) -> Task:
    """A task of which not all can be read: enough for it to leave the queue or its slot, and to end."""
    row, queue, run = record.task, record.queue, record.run
    spec = Spec(
        id=row.id,
        owner=row.owner if queue is None else queue.owner,
        type=row.type,
        created_at=row.created_at,
        priority=row.priority,
        timeout_ms=row.timeout,
        max_retries=row.max_retries,
    )
    lane_id = row.lane if queue is None else queue.lane
    lane = fleet.lanes.get(lane_id) or Lane(lane_id, frozenset(), "", "", Pool(0, ""), queued=1)
    task = Task(id=row.id, spec=spec, lane=lane, rank=0, damaged=damaged)
    if queue is not None:
        task.rank, task.avoid, task.due_at = queue.rank, queue.avoid, queue.due_at
        task.attempts, task.failures, task.lost = queue.attempts, queue.failures, queue.lost
        task.queued_at, task.last_server, task.row_in_queue = queue.queued_at, queue.last_server, True
    elif run is not None:
        task.rank, task.avoid, task.attempts = run.rank, run.avoid, run.attempt
        task.failures, task.lost, task.status = run.failures, run.lost, Status.PROCESSING
    else:
        task.attempts, task.failures, task.lost = row.attempts, row.failures, row.lost
        task.status, task.ended_by = ended_status(row.status), row.ended_by
        task.last_server = row.server_id or ""
    return task


def ended_status(number: int) -> Status:
    """A status from its stored number; of one that the disk has changed nothing good can be said."""
    try:
        return Status(number)
    except ValueError:
        return Status.FAILED


def _task_of(record: Record, fleet: Fleet) -> Task:
    row, queue, run, _ = record
    spec = spec_of(row)
    lane = fleet.lane(frozenset(spec.capabilities), spec.group, spec.pin)
    lane.stored = True
    if queue is not None:
        return Task(
            id=spec.id,
            spec=spec,
            lane=lane,
            rank=queue.rank,
            attempts=queue.attempts,
            failures=queue.failures,
            lost=queue.lost,
            avoid=queue.avoid,
            due_at=queue.due_at,
            deadline=queue.deadline,
            queue_deadline=queue.queue_deadline,
            queued_at=queue.queued_at,
            last_server=queue.last_server,
            last_outcome=Outcome(queue.last_outcome) if queue.last_outcome else None,
            status=Status.PENDING,
            row_in_queue=True,
            retried=bool(row.retried),
        )
    if run is not None:
        return Task(
            id=spec.id,
            spec=spec,
            lane=lane,
            rank=run.rank,
            attempts=run.attempt,
            failures=run.failures,
            lost=run.lost,
            avoid=run.avoid,
            deadline=run.deadline,
            status=Status.PROCESSING,
            retried=bool(row.retried),
        )
    return Task(
        id=spec.id,
        spec=spec,
        lane=lane,
        rank=0,
        attempts=row.attempts,
        failures=row.failures,
        lost=row.lost,
        deadline=row.deadline,
        last_server=row.server_id or "",
        status=Status(row.status),
        ended_by=row.ended_by,
        retried=bool(row.retried),
    )


def is_admitted(record: Record) -> bool:
    """Whether the task has its place, or had it; else a node has stored it and the decider not heard of it yet."""
    return record.queue is not None or record.run is not None or Status(record.task.status).ended


def run_of(row: RunRow, server: Server, task: Task | None) -> Run:
    """An attempt from its row."""
    run = Run(
        task_id=row.task_id,
        attempt=row.attempt,
        server=server,
        node=row.node,
        started_at=row.started_at,
        limit_at=row.limit_at,
        task=task,
        accepted=bool(row.accepted),
        responded_at=row.responded_at,
        beat_at=row.beat_at,
        progress=row.progress,
        message=row.message,
        linger_until=row.linger_until,
        stored=True,
    )
    if task is not None:
        task.run = run
    return run
