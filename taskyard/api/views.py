"""Rows and views of the node as the answers of the API."""

from __future__ import annotations

import json
from collections.abc import Iterable

import msgspec
from msgspec import UNSET, Raw

from taskyard.domain.outcomes import Outcome, Status
from taskyard.engine.rows import AttemptRow, Record
from taskyard.host.bulk import status_of_record
from taskyard.host.port import ServerView
from taskyard.store.damage import is_sound
from taskyard.store.port import Store, WholeTask
from taskyard.wire import servers as wire_servers
from taskyard.wire import tasks as wire_tasks

_is_json = msgspec.json.Decoder(Raw).decode
_encode = msgspec.json.Encoder().encode


def raw(text: str | None) -> Raw | None:
    """Stored JSON text as it goes into an answer."""
    return None if text is None else Raw(text.encode())


def _sound(text: str | None) -> Raw | None:
    """The same of text that the disk may have changed: nothing then."""
    return raw(text) if is_sound(text) else None


def loose(text: str | None) -> Raw | None:
    """Stored text that is JSON or plain words."""
    if text is None:
        return None
    try:
        _is_json(text)
    except (msgspec.DecodeError, RecursionError):
        return Raw(_encode(text))
    return Raw(text.encode())


def words_of(text: str | None) -> list[str]:
    """Stored JSON text of a list of words; those that can be read as such."""
    try:
        words = [] if text is None else json.loads(text)
    except ValueError:  # the disk has changed it
        return []
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []


def unreadable(what: str, columns: str = "") -> str:
    """What is said of a task when the disk has changed something of it."""
    return f"unreadable: its {what} in the database is damaged" + (f" ({columns})" if columns else "")


def status_of(record: Record) -> Status:
    """A task's status: that of an ended task's row, else from its live row."""
    return status_of_record(record.task.status, record.run)


def last_start(record: Record, history: Iterable[AttemptRow]) -> int | None:
    """When the latest attempt started."""
    if record.run is not None:
        return record.run.started_at
    if record.task.started_at is not None:
        return record.task.started_at
    return max((entry.started_at for entry in history), default=None)


def _common(record: Record, started_at: int | None) -> dict[str, object]:
    """The members that a row of a list and a whole task share."""
    task, queue, run, damaged = record
    status = status_of(record)
    ended = status.ended
    live = run or queue
    return {
        "id": task.id,
        "type": task.type,
        "status": status.name,
        "priority": task.priority,
        "capabilities": words_of(task.capabilities),
        "group": task.group_name or None,
        "owner": task.owner,
        "tags": words_of(task.tags),
        "metadata": _sound(task.metadata),
        "progress": run.progress if run else task.progress,
        "message": run.message if run else task.message,
        "server_id": run.server_id if run else queue.last_server or None if queue else task.server_id,
        "error": task.error or (unreadable("row", damaged) if damaged else None),
        "error_code": task.error_code,
        "error_details": loose(task.error_details),
        "result_metadata": loose(task.result_metadata),
        "attempts": run.attempt if run else queue.attempts if queue else task.attempts,
        "failures": task.failures if ended or live is None else live.failures,
        "max_retries": task.max_retries,
        "timeout": task.timeout,
        "created_at": task.created_at,
        "run_at": task.run_at,
        "deadline": task.deadline if ended or live is None else live.deadline,
        "started_at": started_at,
        "completed_at": task.completed_at,
        "updated_at": task.completed_at or (live.updated_at if live is not None else task.created_at),
    }


def task_row(record: Record, history: Iterable[AttemptRow] = ()) -> wire_tasks.TaskRow:
    """A task as a list shows it; `history` only to find when its latest attempt began."""
    return wire_tasks.TaskRow(**_common(record, last_start(record, history)))  # type: ignore[arg-type]


def _entries(record: Record, history: list[AttemptRow]) -> list[wire_tasks.HistoryEntry]:
    entries = [
        wire_tasks.HistoryEntry(
            attempt=row.attempt,
            server_id=row.server_id,
            started_at=row.started_at,
            ended_at=row.ended_at,
            outcome=row.outcome,
            count=row.count,
            http_status=row.http_status,
            error=row.error,
            metadata=loose(row.metadata),
        )
        for row in history
    ]
    task = record.task
    # The attempt that completed a task has no row of its own: it is read off the task.
    if task.status == Status.COMPLETED and task.ended_by is not None and task.completed_at is not None:
        entries.append(
            wire_tasks.HistoryEntry(
                attempt=task.ended_by,
                server_id=task.server_id or "",
                started_at=last_start(record, history) or task.completed_at,
                ended_at=task.completed_at,
                outcome=Outcome.COMPLETED.value,
                count=1,
                http_status=task.http_status,
                error=None,
                metadata=loose(task.result_metadata),
            )
        )
    return entries


def read_task(
    store: Store, task_id: str, owner: str | None, *, with_payload: bool = False
) -> tuple[wire_tasks.Task, Status] | None:
    """A whole task as one owner may see it. For a reader thread."""
    whole = store.whole_task(task_id, owner, payload=with_payload)
    return None if whole is None else task_shown(whole, with_payload=with_payload)


def task_shown(whole: WholeTask, *, with_payload: bool = False) -> tuple[wire_tasks.Task, Status]:
    """A whole task as its owner sees it, and its status."""
    record, history = whole.record, whole.history
    status = status_of(record)
    task = wire_tasks.Task(
        **_common(record, last_start(record, history)),  # type: ignore[arg-type]
        result=raw(whole.result) if status is Status.COMPLETED else None,
        history=_entries(record, history),
        resubmit_of=record.task.resubmit_of,
        resubmitted_as=whole.resubmitted_as,
        payload=raw(whole.payload) if with_payload else UNSET,
    )
    if whole.damaged and task.error is None:
        task.error = unreadable(" and ".join(whole.damaged))
    return task, status


def server_health(view: ServerView) -> wire_servers.ServerHealth:
    """What the checks say of a server."""
    return wire_servers.ServerHealth(
        status="healthy" if view.last_passed else "unhealthy",
        last_heartbeat=view.last_heartbeat,
        last_check=view.last_check,
        consecutive_failures=view.consecutive_failures,
        score=round(view.score, 1),
    )


def uptime(view: ServerView, now: int) -> int:
    """ms since the server was last not online."""
    return 0 if view.online_since is None else max(0, now - view.online_since)


def server(view: ServerView, now: int, *, with_endpoints: bool) -> wire_servers.Server:
    """A server as callers see it; those with the role `user` alone see no endpoints."""
    endpoints = wire_servers.ShownEndpoints(
        predict=view.predict, health=view.health_url, metrics=view.metrics_url, cancel=view.cancel_url
    )
    return wire_servers.Server(
        id=view.id,
        name=view.name,
        status=view.status,
        registered_at=view.registered_at,
        last_heartbeat=view.last_heartbeat,
        uptime=uptime(view, now),
        time_since_last_heartbeat=max(0, now - view.last_heartbeat),
        groups=list(view.groups),
        capabilities=list(view.capabilities),
        priority=view.weight,
        max_concurrent=view.max_concurrent,
        active_tasks=view.active,
        reported_active_tasks=view.reported_active,
        endpoints=endpoints if with_endpoints else None,
        is_async=view.is_async,
        maintenance_reason=view.maintenance_reason,
        misconfigured=view.misconfigured,
        paused_until=view.paused_until,
        health=server_health(view),
    )
