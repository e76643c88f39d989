"""A plan's writes and reads, carried out on a connection. Opens and ends no transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from taskyard.engine.plan import Found, Lookup, Plan, Receipt, Writes
from taskyard.engine.rows import AttemptRow, KeyRow
from taskyard.store.connection import Connection
from taskyard.store.damage import Damaged, readable
from taskyard.store.queries import QUERIES
from taskyard.store.records import queued_records, records

# What each kind of row does, in the order of `Writes`. The history is not here: it folds.
_BEFORE: Final = (
    ("lanes", "lane_insert"),
    ("tasks", "task_insert"),
    ("payloads", "payload_insert"),
    ("tags", "tag_insert"),
    ("keys", "key_upsert"),
    ("reopened", "task_reopen"),
    ("reopened", "result_delete"),
    ("reopened", "failed_delete"),
    ("retried", "task_retried"),
    ("unqueued", "queue_delete"),
    ("queued", "queue_upsert"),
    ("stopped", "run_delete"),
    ("runs", "run_upsert"),
)
_AFTER: Final = (
    ("ended", "task_end"),
    ("results", "result_insert"),
    ("purged", "payload_delete"),
    ("purged", "result_delete"),
    ("purged", "attempt_purge"),
    ("purged", "task_purge"),
    ("servers", "server_upsert"),
    ("unregistered", "server_delete"),
    ("stats", "stats_add"),
    ("series", "series_upsert"),
    ("failures", "failure_upsert"),
    ("failed", "failed_upsert"),
    ("health", "health_upsert"),
    ("loads", "load_upsert"),
    ("facets", "facet_upsert"),
    ("settings", "setting_upsert"),
    ("audit", "audit_insert"),
)
WRITES: Final = tuple((field, QUERIES[name]) for field, name in _BEFORE)
WRITES_AFTER: Final = tuple((field, QUERIES[name]) for field, name in _AFTER)


def write(connection: Connection, writes: Writes) -> None:
    """Store the rows of a plan."""
    for field, statement in WRITES:
        rows = getattr(writes, field)
        if rows:
            connection.change_each(statement, rows)
    for folds, entries in groupby(writes.attempts, key=_folds):
        if not folds:
            connection.change_each(QUERIES["attempt_insert"], entries)
            continue
        for entry in entries:
            _fold(connection, entry)
    for field, statement in WRITES_AFTER:
        rows = getattr(writes, field)
        if rows:
            connection.change_each(statement, rows)


def _folds(entry: AttemptRow) -> bool:
    return entry.count > 1


def _fold(connection: Connection, entry: AttemptRow) -> None:
    changed = connection.change(
        QUERIES["attempt_fold"],
        (
            *(entry.attempt, entry.ended_at, entry.http_status, entry.error),
            *(entry.task_id, entry.task_id, entry.server_id, entry.outcome),
        ),
    )
    if not changed:
        connection.change(QUERIES["attempt_insert"], entry._replace(count=1))


def read(connection: Connection, plan: Plan) -> Receipt:
    """Read what a plan asks for."""
    receipt = Receipt()
    for refill in plan.refills:
        receipt.refills.append(queued_records(connection.rows(QUERIES["refill"], refill)))
    if plan.wakes is not None:
        receipt.wakes = queued_records(connection.rows(QUERIES["wakes"], plan.wakes))
    if plan.payloads:
        receipt.payloads = readable(connection.rows(QUERIES["payloads"], (id_list(plan.payloads),)))
    return receipt


def look_up(connection: Connection, ask: Lookup) -> Found:
    """The tasks and idempotency keys of a lookup."""
    found = Found()
    if ask.tasks:
        rows = connection.rows(QUERIES["records"], (id_list(ask.tasks),))
        found.tasks = {record.task.id: record for record in records(rows)}
    if ask.keys:
        rows = connection.rows(QUERIES["keys"], (json.dumps(ask.keys, ensure_ascii=False),))
        found.keys = {(row[0], row[1]): _key(row) for row in rows}
    return found


def _key(row: Sequence[Any]) -> KeyRow:
    """A key whose row cannot be read is one that no body fits any more: better refused than one task made twice."""
    key = KeyRow._make(row)
    return key._replace(hash="") if any(isinstance(value, Damaged) for value in row) else key


def id_list(ids: list[str] | Iterator[str]) -> str:
    """A list of ids (each once) as the one parameter of a batch."""
    return json.dumps(list(dict.fromkeys(ids)), ensure_ascii=False)
