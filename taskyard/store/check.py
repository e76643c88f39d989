"""The check of a whole database: SQLite's own, then a recount by SQL of what the rows and counters say of each other.

It only reads, and nobody else may have the database open.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, NamedTuple

from taskyard.store.connection import Connection
from taskyard.store.port import Unusable
from taskyard.store.queries import QUERIES, load_migrations
from taskyard.store.schema import check_file

# How many places a fault names.
_EXAMPLES: Final = 5
# What must hold, and the statement that finds where it does not.
RULES: Final = (
    ("payloads and results are JSON in UTF-8", "check_bodies"),
    ("lists and objects are JSON", "check_json"),
    ("all other text is UTF-8", "check_text"),
    ("states and outcomes are words that there are", "check_words"),
    ("a task that has not ended waits or runs, and not both", "check_adrift"),
    ("what waits or runs is a task that has not ended", "check_undead"),
    ("what waits has its task's owner and lane", "check_queue"),
    ("no two waiting or running tasks have the same place", "check_places"),
    ("what runs, runs on a server that there is", "check_runs"),
    ("a task has a payload, unless it was purged", "check_payloads"),
    ("a task has a result when it completed and was not purged, and otherwise none", "check_results"),
    ("payloads, results, history and tags are of tasks that there are", "check_orphans"),
    ("a task says when it ended, if it did", "check_ends"),
    ("the history counts each attempt once", "check_history"),
    ("each tag of a task stands in the index of tags", "check_tags"),
    ("the index of tags has no others", "check_tags_of"),
    ("the yard's counters are the sums of the types'", "check_yard"),
    ("the yard's counters of attempts are the sums of the servers'", "check_servers"),
    ("as many tasks were submitted as there are and were removed", "check_created"),
    ("as many tasks were completed as there are and were removed", "check_completed"),
    ("no fewer tasks failed, timed out or were cancelled than there are and were removed", "check_ended"),
    ("no fewer tasks ended in an hour than there are that ended then", "check_hours"),
    ("as many tasks are counted as kept as there are, by owner and in all", "check_kept"),
    ("the figures of 12 s are the sums of those of their seconds", "check_spans"),
    ("the figures of 288 s are the sums of those of their 12 s", "check_long_spans"),
    ("the figures by time tell of an hour what its counters do", "check_series"),
    ("the groups of failures have as many tasks as failed in their hour", "check_failures"),
    ("a group of failures has its tasks by minute and its attempts by server", "check_groups"),
    ("what failed or timed out is of a group, and nothing else is", "check_failed"),
    ("a server's load is no more than its slots, and its attempts are those of their types", "check_loads"),
)
STRUCTURE: Final = "the file's structure and indexes are sound"
# Statements that would fail over what is no JSON.
_READ_JSON: Final = frozenset({"check_tags", "check_tags_of", "check_groups", "check_loads"})
# What no rule can tell, in words.
NOT_LOOKED_AT: Final = (
    "not looked at: whether text that is still text, and numbers that contradict nothing, are those that were stored"
)


class Fault(NamedTuple):
    """What should hold and does not, and some of the places where."""

    rule: str
    places: list[str]


@dataclass(slots=True)
class Report:
    """What was found. `recounted` is false for a database of an earlier version: a start brings it up to date."""

    version: int = 0
    waiting: int = 0
    running: int = 0
    ended: int = 0
    rules: int = 0
    recounted: bool = False
    faults: list[Fault] = field(default_factory=list)


def check(path: Path, told: Callable[[str], None]) -> Report:
    """Check a database file; `told` hears each rule before it is looked at.

    Raises `Unusable` when it is no database of ours, or too damaged to be read.
    """
    report = Report()
    try:
        check_file(path, path.with_name(path.name + "-wal"))
        connection = Connection(path, read_only=True)
        try:
            _check(connection, report, told)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise Unusable(str(path) + ": it is damaged (" + str(error) + "): restore it from a backup") from error
    return report


def _check(connection: Connection, report: Report, told: Callable[[str], None]) -> None:
    _, report.version, _ = connection.identity()
    told(STRUCTURE)
    report.rules += 1
    places = connection.check_whole(_EXAMPLES)
    if places:
        # Rows that are found through a broken index would only mislead.
        report.faults.append(Fault(STRUCTURE, places))
        return
    if report.version < load_migrations()[-1].number:
        return
    connection.know_text()
    no_json = False
    for rule, name in RULES:
        if no_json and name in _READ_JSON:
            continue
        told(rule)
        report.rules += 1
        places = [str(place) for (place,) in connection.rows(QUERIES[name], (_EXAMPLES,))]
        if places:
            report.faults.append(Fault(rule, places))
            no_json = no_json or name == "check_json"
    report.waiting, report.running, report.ended = connection.row(QUERIES["check_counts"])
    report.recounted = True
