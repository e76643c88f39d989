"""From tuples to records: a task's facts, its end, its queue row and its run, null where absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from taskyard.engine.rows import EndedTask, NewTask, QueueRow, Record, RunRow, TaskRow

# `task` has the facts, `purged` and `retried`; `ended` has the id last.
_FACTS: Final = len(NewTask._fields)
_END: Final = _FACTS + 2
_END_ID: Final = _END + len(EndedTask._fields) - 1
_QUEUE: Final = _END_ID + 1
_RUN: Final = _QUEUE + len(QueueRow._fields)
# What a task has in the place of an end while it is live: status 0, no attempts, failures or losses, no server …
_LIVE: Final = (0, 0, 0, 0, *[None] * (len(EndedTask._fields) - 5))


def _task(row: Sequence[Any]) -> TaskRow:
    end = row[_END:_END_ID] if row[_END_ID] is not None else _LIVE
    return TaskRow._make((*row[:_FACTS], *end, *row[_FACTS:_END]))


def queued_records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task`, `ended` and `queue`."""
    return [Record(_task(row), QueueRow._make(row[_QUEUE:]), None) for row in rows]


def records(rows: Sequence[Any]) -> list[Record]:
    """Records from rows of `task`, `ended`, `queue` and `run`."""
    return [
        Record(
            _task(row),
            QueueRow._make(row[_QUEUE:_RUN]) if row[_QUEUE] is not None else None,
            RunRow._make(row[_RUN:]) if row[_RUN] is not None else None,
        )
        for row in rows
    ]
