"""From the store's tuples to records: a task's columns, then those of its queue row and its run, null where absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from taskyard.engine.rows import QueueRow, Record, RunRow, TaskRow

_QUEUE: Final = len(TaskRow._fields)
_RUN: Final = _QUEUE + len(QueueRow._fields)

_task = TaskRow._make
_queue = QueueRow._make
_run = RunRow._make


def queued_records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task` and `queue`."""
    return [Record(_task(row[:_QUEUE]), _queue(row[_QUEUE:]), None) for row in rows]


def records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task`, `queue` and `run`."""
    return [
        Record(
            _task(row[:_QUEUE]),
            _queue(row[_QUEUE:_RUN]) if row[_QUEUE] is not None else None,
            _run(row[_RUN:]) if row[_RUN] is not None else None,
        )
        for row in rows
    ]
