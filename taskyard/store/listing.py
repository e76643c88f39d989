"""Lists of tasks: which index to walk, which filters are left, and how far one call may go. Knows rows, no HTTP.

Every index gives ids from the newest down, so a page is a walk from an id downwards. Of the indexes that a query
allows, the one whose first rows reach furthest back is the most selective and is walked; the other filters are checked
on the way. A walk that meets too few matches ends after `EXAMINE_MOST` rows and says where to go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Protocol

from taskyard.engine.rows import AttemptRow, Record
from taskyard.store.damage import is_sound
from taskyard.store.port import Page, TaskQuery, WholeTask

# Rows that one call may examine: about 60 ms.
EXAMINE_MOST: Final = 10_000
_FIRST_STEP: Final = 64
_STEP: Final = 1_000
# More lanes or types than these are not merged: another index is walked, and they are checked on the way.
_MERGE_MOST: Final = 16

_PENDING: Final = 0
_PROCESSING: Final = 1
# Ids are `task_` and the hex of a UUIDv7, whose first 48 bits are the time in ms.
_ID: Final = "task_"
_LOWEST: Final = _ID
_HIGHEST: Final = _ID + "g"
_TIME_MOST: Final = (1 << 48) - 1


class Reader(Protocol):
    """One state of a database, and the statements of its `lists.sql` by their names."""

    def rows(self, name: str, values: Sequence[int | str] = ()) -> Sequence[Any]:
        """All rows of a statement."""

    def records(self, ids: list[str]) -> list[Record]:
        """The tasks of a list, in any order."""


class _Row(NamedTuple):
    """What the filters need of a task, with its live status and server."""

    id: str
    owner: str
    type: str
    lane: int
    tags: str | None
    status: int
    server_id: str | None


class _Part(NamedTuple):
    """One index to walk: a statement of `lists.sql` and its first parameters."""

    statement: str
    values: tuple[int | str, ...] = ()


class _Source:
    """Tasks by id downwards, merged from the parts of one filter. Reads ahead by steps."""

    def __init__(self, reader: Reader, parts: Sequence[_Part], below: str, lowest: str) -> None:
        self._reader = reader
        self._parts = parts
        self._lowest = lowest
        self.below = below
        self.examined = 0
        self.exhausted = False

    def read(self, most: int) -> list[_Row]:
        """The next rows, newest first."""
        found: dict[str, _Row] = {}
        for name, values in self._parts:
            rows = self._reader.rows(name, (*values, self.below, self._lowest, most))
            self.examined += len(rows)
            for row in rows:
                found[row[0]] = _Row._make(row)
        ids = sorted(found, reverse=True)[:most]
        self.exhausted = len(ids) < most
        if ids:
            self.below = ids[-1]
        return [found[task_id] for task_id in ids]


def list_tasks(reader: Reader, query: TaskQuery) -> Page:
    """A page of tasks, newest first."""
    below, lowest = _range(query)
    if query.statuses == () or below <= lowest or query.limit < 1:
        return Page([], None)
    search = _Search(reader, query)
    sources = [_Source(reader, parts, below, lowest) for parts in search.sources()]
    source, rows = _most_selective(sources)
    matches: list[str] = []
    while True:
        matches += [row.id for row in rows if search.matches(row)]
        if len(matches) > query.limit:
            page = matches[: query.limit]
            return Page(_read(reader, page), page[-1])
        if source.exhausted:
            return Page(_read(reader, matches), None)
        if source.examined >= EXAMINE_MOST:
            return Page(_read(reader, matches), source.below)
        rows = source.read(_STEP)


def _range(query: TaskQuery) -> tuple[str, str]:
    """The ids of a query: below the first, and not below the second."""
    below, lowest = _HIGHEST, _LOWEST
    if query.created_to is not None and query.created_to <= _TIME_MOST:
        below = _ID + format(max(query.created_to, 0), "012x")
    if query.created_from is not None and query.created_from > 0:
        lowest = _ID + format(query.created_from, "012x") if query.created_from <= _TIME_MOST else _HIGHEST
    if query.before is not None:
        below = min(below, query.before)
    return below, lowest


def _most_selective(sources: list[_Source]) -> tuple[_Source, list[_Row]]:
    """The source that is over first or whose first rows reach furthest back, and those rows."""
    best, best_rows = sources[0], sources[0].read(_FIRST_STEP)
    for source in sources[1:]:
        if best.exhausted:
            break
        rows = source.read(_FIRST_STEP)
        if source.exhausted or source.below < best.below:
            best, best_rows = source, rows
    return best, best_rows


def _read(reader: Reader, ids: list[str]) -> list[Record]:
    found = reader.records(ids) if ids else []
    return sorted(found, key=lambda record: record.task.id, reverse=True)


class _Search:
    """A query's filters: the indexes that each allows, and the check of a row against them all."""

    def __init__(self, reader: Reader, query: TaskQuery) -> None:
        self._reader = reader
        self._query = query
        self._lanes: set[int] | None = None
        if query.capability is not None:
            self._lanes = {lane for (lane,) in reader.rows("lanes_with", (query.capability,))}
        self._id: str | None = None
        if query.q is not None:
            rows = reader.rows("list_by_id", (query.q, _HIGHEST, _LOWEST, 1))
            if rows and query.owner in (None, rows[0][1]):
                self._id = query.q

    def sources(self) -> list[list[_Part]]:
        """The ways to find the tasks, each by the parts that must be merged for it."""
        query = self._query
        if self._id is not None:
            return [[_Part("list_by_id", (self._id,))]]
        if query.failure is not None:
            return [[_Part("list_by_failure", (query.failure,))]]  # the only way to tell
        ways: list[list[_Part]] = []
        if query.tag is not None:
            ways.append([_Part("list_by_tag", (query.tag,))])
        if query.q is not None:
            types = self._types_like(query.q)
            if len(types) <= _MERGE_MOST:
                ways.append([_Part("list_by_tag", (query.q,)), *(_Part("list_by_type", (name,)) for name in types)])
        if query.server_id is not None:
            server = (query.server_id,)
            ways.append([_Part("list_by_server", server), _Part("list_running_on", server)])
        if query.statuses is not None:
            ways.append([_status_part(status) for status in sorted(set(query.statuses))])
        if self._lanes is not None and len(self._lanes) <= _MERGE_MOST:
            ways.append([_Part("list_by_lane", (lane,)) for lane in sorted(self._lanes)])
        if query.type is not None:
            ways.append([_Part("list_by_type", (query.type,))])
        if query.owner is not None:
            ways.append([_Part("list_by_owner", (query.owner,))])
        return ways or [[_Part("list_all")]]

    def _types_like(self, prefix: str) -> list[str]:
        """The types that begin with a prefix; of many, one more than are merged."""
        types: list[str] = []
        rows = self._reader.rows("type_from", (prefix,))
        while rows and rows[0][0].startswith(prefix) and len(types) <= _MERGE_MOST:
            types.append(rows[0][0])
            rows = self._reader.rows("type_after", (types[-1],))
        return types

    def matches(self, row: _Row) -> bool:
        """Whether a task passes all filters."""
        query = self._query
        return (
            (query.owner is None or row.owner == query.owner)
            and (query.type is None or row.type == query.type)
            and (query.statuses is None or row.status in query.statuses)
            and (query.server_id is None or row.server_id == query.server_id)
            and (self._lanes is None or row.lane in self._lanes)
            and (query.tag is None or _has_tag(row, query.tag))
            and (query.q is None or row.id == self._id or (self._id is None and self._is_like(row, query.q)))
        )

    def _is_like(self, row: _Row, q: str) -> bool:
        return row.type.startswith(q) or _has_tag(row, q)


def _status_part(status: int) -> _Part:
    if status == _PENDING:
        return _Part("list_queued")
    if status == _PROCESSING:
        return _Part("list_running")
    return _Part("list_by_status", (status,))


def _has_tag(row: _Row, tag: str) -> bool:
    if row.tags is None:
        return False
    try:
        return tag in json.loads(row.tags)
    except (ValueError, TypeError):  # the disk has changed them
        return False


def whole_of(
    record: Record, history: list[AttemptRow], result: str | None, payload: str | None, repetition: str | None
) -> WholeTask:
    """A task with its bodies, as far as these can be read."""
    damaged = tuple(name for name, body in (("result", result), ("payload", payload)) if not is_sound(body))
    return WholeTask(
        record,
        history,
        None if "result" in damaged else result,
        None if "payload" in damaged else payload,
        repetition,
        damaged,
    )
