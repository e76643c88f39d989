"""Stored text that cannot be read as it was written: the disk has changed it. It harms the row that it is in alone.

Such text is read with U+FFFD in place of what is no UTF-8, and is known by its type. Knows nothing of databases.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from taskyard.engine.rows import QueueRow, Record, RunRow, TaskRow

_json: Final = msgspec.json.Decoder(msgspec.Raw).decode


class Damaged(str):
    """Text that is not what was stored."""

    __slots__ = ()


class DamagedRows(list[Any]):
    """Rows of a query, with `Damaged` among their values."""

    __slots__ = ()


def read_text(stored: bytes) -> str:
    """Text as far as it can be read."""
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return Damaged(stored.decode(errors="replace"))


def is_sound(body: str | None) -> bool:
    """Whether a stored body is the JSON text that it should be (`None`: there is none)."""
    if body is None:
        return True
    if isinstance(body, Damaged):
        return False
    try:
        _json(body)
    except msgspec.DecodeError:
        return _is_json(body)
    except RecursionError:
        pass  # as far as that goes it is JSON
    return True


def _is_json(body: str) -> bool:
    """A second opinion: msgspec takes no half of a surrogate pair, and what was stored may have come another way."""
    try:
        json.loads(body)
    except ValueError:
        return False
    except RecursionError:
        pass
    return True


def readable(rows: Iterable[Sequence[Any]]) -> dict[str, str]:
    """Bodies by task, without those of which not all can be read."""
    return {task_id: body for task_id, body in rows if not isinstance(body, Damaged)}


def is_whole(row: Sequence[Any], *bodies: str | None) -> bool:
    """Whether all of a row can be read, `bodies` (its JSON texts) as what they are."""
    return not any(isinstance(value, Damaged) for value in row) and all(map(is_sound, bodies))


def marked(record: Record) -> Record:
    """A record that says which of its columns cannot be read."""
    parts: tuple[TaskRow | QueueRow | RunRow | None, ...] = (record.task, record.queue, record.run)
    names = [
        name
        for row in parts
        if row is not None
        for name, value in zip(row._fields, row, strict=True)
        if isinstance(value, Damaged)
    ]
    return record._replace(damaged=", ".join(names)) if names else record
