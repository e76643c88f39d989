"""A plan as the calls of one exchange, and its receipt from their answers. Sends nothing itself.

A batch is one statement, and a statement cannot touch a row twice: of rows with the same key the last one counts, as if
they had been stored one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from taskyard.engine.plan import Found, Lookup, Plan, Post, Receipt, Writes
from taskyard.engine.rows import AttemptRow, KeyRow
from taskyard.store.port import BadData
from taskyard.store.postgres.queries import QUERIES, Call
from taskyard.store.postgres.records import queued_records, records

Row = Sequence[Any]


def _first(row: Row) -> Hashable:
    return row[0]  # type: ignore[no-any-return]


def _two(row: Row) -> Hashable:
    return row[0], row[1]


def _three(row: Row) -> Hashable:
    return row[0], row[1], row[2]


class _Step(NamedTuple):
    """What one kind of row does: a statement, and the key by which rows replace each other (`None`: they do not)."""

    field: str
    statement: str
    key: Callable[[Row], Hashable] | None = None


# In the order of `Writes`. The history is not here: it folds.
_BEFORE: Final = (
    _Step("lanes", "lane_insert"),
    _Step("tasks", "task_insert"),
    _Step("payloads", "payload_insert"),
    _Step("tags", "tag_insert"),
    _Step("keys", "key_upsert", _two),
    _Step("reopened", "task_reopen"),
    _Step("reopened", "result_delete"),
    _Step("reopened", "failed_delete"),
    _Step("retried", "task_retried"),
    _Step("unqueued", "queue_delete"),
    _Step("queued", "queue_upsert", _first),
    _Step("stopped", "run_delete"),
    _Step("runs", "run_upsert", _two),
)
_AFTER: Final = (
    _Step("ended", "task_end"),
    _Step("results", "result_insert"),
    _Step("purged", "payload_delete"),
    _Step("purged", "result_delete"),
    _Step("purged", "attempt_purge"),
    _Step("purged", "task_purge"),
    _Step("purged", "ended_purge"),
    _Step("servers", "server_upsert", _first),
    _Step("unregistered", "server_delete"),
    _Step("stats", "stats_add"),
    _Step("series", "series_upsert", _two),
    _Step("failures", "failure_upsert", _three),
    _Step("failed", "failed_upsert", _first),
    _Step("health", "health_upsert", _two),
    _Step("loads", "load_upsert", _two),
    _Step("facets", "facet_upsert", _three),
    _Step("settings", "setting_upsert", _first),
    _Step("audit", "audit_insert"),
)


def write_calls(writes: Writes) -> list[Call]:
    """The calls that store the rows of a plan. Raises `BadData` for a value that no database would take."""
    try:
        return [
            *_calls(_BEFORE, writes),
            *(_history(batch) for batch in _rounds(writes.attempts)),
            *_calls(_AFTER, writes),
        ]
    except (TypeError, AttributeError, ValueError) as error:  # `UnicodeEncodeError` is one of the last
        raise BadData("the store refuses a value", type(error).__name__) from error


def post_calls(post: Post | None) -> list[Call]:
    """The calls that store what concerns other nodes. Raises `BadData`."""
    if post is None:
        return []
    steps: dict[str, Sequence[Row]] = {
        "line_take": post.taken,
        "letters_drop": post.unread + post.gone,
        "node_delete": post.gone,
        "letter_insert": post.letters,
    }
    try:
        return [QUERIES[name].of(rows) for name, rows in steps.items() if rows]
    except (TypeError, AttributeError, ValueError) as error:
        raise BadData("the store refuses a value", type(error).__name__) from error


def _calls(steps: Sequence[_Step], writes: Writes) -> Iterator[Call]:
    for field, statement, key in steps:
        rows = getattr(writes, field)
        if rows:
            if key is not None and len(rows) > 1:
                rows = list({key(row): row for row in rows}.values())
            yield QUERIES[statement].of(rows)


def _rounds(entries: Sequence[AttemptRow]) -> Iterator[list[AttemptRow]]:
    """The history in batches with one entry a task, so that each meets what the one before has left."""
    batch: list[AttemptRow] = []
    tasks: set[str] = set()
    for entry in entries:
        if entry.task_id in tasks:
            yield batch
            batch, tasks = [], set()
        batch.append(entry)
        tasks.add(entry.task_id)
    if batch:
        yield batch


def _history(batch: list[AttemptRow]) -> Call:
    folds = any(entry.count > 1 for entry in batch)
    return QUERIES["attempt_add" if folds else "attempt_insert"].of(batch)


def read_calls(plan: Plan) -> list[Call]:
    """The calls that read what a plan asks for."""
    calls = [QUERIES["refill"].with_values(refill) for refill in plan.refills]
    if plan.wakes is not None:
        calls.append(QUERIES["wakes"].with_values(plan.wakes))
    if plan.payloads:
        calls.append(QUERIES["payloads"].of([(task_id,) for task_id in plan.payloads]))
    return calls


def receipt(plan: Plan, answers: Sequence[list[Any]]) -> Receipt:
    """The receipt from the answers to `read_calls`."""
    found = Receipt()
    rest = iter(answers)
    found.refills = [queued_records(next(rest)) for _ in plan.refills]
    if plan.wakes is not None:
        found.wakes = queued_records(next(rest))
    if plan.payloads:
        found.payloads = dict(next(rest))
    return found


def lookup_calls(ask: Lookup) -> list[Call]:
    """The calls of a lookup. Raises `BadData`."""
    calls = []
    try:
        if ask.tasks:
            calls.append(QUERIES["records"].of([(task_id,) for task_id in ask.tasks]))
        if ask.keys:
            calls.append(QUERIES["keys"].of(ask.keys))
    except (TypeError, AttributeError, ValueError) as error:
        raise BadData("the store refuses a value", type(error).__name__) from error
    return calls


def found(ask: Lookup, answers: Sequence[list[Any]]) -> Found:
    """The tasks and idempotency keys from the answers to `lookup_calls`."""
    result = Found()
    rest = iter(answers)
    if ask.tasks:
        result.tasks = {record.task.id: record for record in records(next(rest))}
    if ask.keys:
        result.keys = {(row[0], row[1]): KeyRow._make(row) for row in next(rest)}
    return result
