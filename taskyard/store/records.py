"""From the store's tuples to records: a task's columns, then those of its queue row and its run, null where absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from taskyard.engine.rows import QueueRow, Record, RunRow, TaskRow
from taskyard.store.damage import DamagedRows, marked

_QUEUE: Final = len(TaskRow._fields)
_RUN: Final = _QUEUE + len(QueueRow._fields)

_task = TaskRow._make
_queue = QueueRow._make
_run = RunRow._make


def queued_records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task` and `queue`."""
    return _marked(rows, [Record(_task(row[:_QUEUE]), _queue(row[_QUEUE:]), None) for row in rows])


def records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task`, `queue` and `run`."""
    found = [
        Record(
            _task(row[:_QUEUE]),
            _queue(row[_QUEUE:_RUN]) if row[_QUEUE] is not None else None,
            _run(row[_RUN:]) if row[_RUN] is not None else None,
        )
        for row in rows
    ]
    return _marked(rows, found)


def running_record(run: RunRow, columns: Sequence[Any]) -> Record:
    """The record of a running task from the columns of `task`."""
    return marked(Record(_task(columns), None, run))


def _marked(rows: Sequence[Any], found: list[Record]) -> list[Record]:
    return [marked(record) for record in found] if isinstance(rows, DamagedRows) else found
