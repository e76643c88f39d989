"""What goes wrong in a commit: a value that is refused, a disk that is full. Nothing of the plan may stay."""

import dataclasses
import resource
import sqlite3

import pytest

from taskyard.engine.plan import Lookup, Plan, Writes
from taskyard.engine.rows import AuditRow, LaneRow
from taskyard.store.connection import Connection
from taskyard.store.port import BadData, OutcomeUnknown, StoreError
from taskyard.store.sqlite import SqliteStore
from tests.store.making import (
    T0,
    attempt_row,
    ended,
    ended_task,
    facet_row,
    failure_row,
    health_row,
    key_row,
    load_row,
    new_task,
    plan,
    queue_row,
    queued,
    run_row,
    running,
    series_row,
    server_row,
    stat_row,
    tid,
)


def good():
    """A plan with one row of every kind."""
    return Writes(
        lanes=[LaneRow(1, "[]", "", "")],
        tasks=[new_task(10)],
        payloads=[(tid(10), "{}")],
        tags=[("a", tid(10))],
        keys=[key_row()],
        reopened=[(tid(3),)],
        retried=[(tid(1),)],
        unqueued=[(tid(1),)],
        queued=[queue_row(10)],
        stopped=[(tid(2), 1)],
        runs=[run_row(1)],
        attempts=[attempt_row(2)],
        ended=[ended_task(2)],
        results=[(tid(2), "2")],
        purged=[(tid(4),)],
        servers=[server_row()],
        unregistered=[("s9",)],
        stats=[stat_row(created=1)],
        series=[series_row()],
        failures=[failure_row()],
        failed=[(tid(2), "g")],
        health=[health_row()],
        loads=[load_row()],
        facets=[facet_row()],
        settings=[("a", "b")],
        audit=[AuditRow(T0, "ann", "x", "y", None)],
    )


FIELDS = [field.name for field in dataclasses.fields(Writes)]
# What makes a row of each kind one that no store takes: text where a number belongs, or no text where one is required.
BAD = {
    "lanes": LaneRow("x", "[]", "", ""),
    "tasks": new_task(11, priority="high"),
    "payloads": (tid(11), None),
    "tags": (None, tid(10)),
    "keys": key_row("k2", expires_at="soon"),
    "reopened": ("\ud800",),
    "retried": ("\ud800",),
    "unqueued": ("\ud800",),
    "queued": queue_row(11, rank="first"),
    "stopped": ("\ud800", 1),
    "runs": run_row(11, started_at="now"),
    "attempts": attempt_row(11, outcome=None),
    "ended": ended_task(2, status="done"),
    "results": (tid(2), "again"),
    "purged": ("\ud800",),
    "servers": server_row("s2", weight="heavy"),
    "unregistered": ("\ud800",),
    "stats": stat_row(2, created="many"),
    "series": series_row(running="all"),
    "failures": failure_row(tasks="one"),
    "failed": (tid(2), None),
    "health": health_row(at="now"),
    "loads": load_row(picks="few"),
    "facets": facet_row(last_at="then"),
    "settings": ("c", None),
    "audit": AuditRow("today", "ann", "x", "y", None),
}


def everything(store):
    """All that a reader could see."""
    return (
        [store.task(tid(n), None) for n in range(12)],
        [store.history(tid(n)) for n in range(12)],
        [store.result(tid(n), None) for n in range(4)],
        store.payload(tid(4), None),
        store.lookup(Lookup(keys=[("ann", "k"), ("ann", "k2")])),
        store.recover(100),
        store.stats(0, 10, "yard"),
        store.audit(10),
    )


@pytest.fixture
def furnished(store):
    queued(store, 1)
    running(store, 2)
    ended(store, 3, 4)
    return store


def test_the_plan_without_the_culprit_is_good(furnished):
    before = everything(furnished)
    furnished.commit(Plan(T0, good()))
    assert furnished.task(tid(10), None) is not None
    assert before[0] != [furnished.task(tid(n), None) for n in range(12)]


@pytest.mark.parametrize("field", FIELDS)
def test_one_bad_value_anywhere_stores_nothing(furnished, field):
    before = everything(furnished)
    writes = good()
    getattr(writes, field).append(BAD[field])
    with pytest.raises(BadData):
        furnished.commit(Plan(T0, writes))
    assert everything(furnished) == before
    furnished.check()
    furnished.commit(Plan(T0, good()))
    assert furnished.task(tid(10), None) is not None


@pytest.mark.parametrize("value", [2**63, 1.5, b"bytes", [], "\ud800", object()])
def test_values_of_no_kind_are_refused(store, value):
    with pytest.raises(BadData):
        store.commit(plan(tasks=[new_task(1, created_at=value)]))
    assert store.task(tid(1), None) is None


@pytest.mark.parametrize("again", ["tasks", "payloads", "results"])
def test_nothing_is_recorded_twice(store, again):
    ended(store, 1)
    rows = {"tasks": new_task(1, owner="bob"), "payloads": (tid(1), "2"), "results": (tid(1), "2")}
    with pytest.raises(BadData):
        store.commit(plan(**{again: [rows[again]]}))
    assert (store.payload(tid(1), "ann"), store.result(tid(1), "ann")) == ("{}", "1")


def test_reads_refuse_what_is_no_text(store):
    with pytest.raises(BadData):
        store.task("\ud800", None)
    with pytest.raises(BadData):
        store.lookup(Lookup(tasks=["\ud800"]))
    assert store.task(tid(1), None) is None


# --- the database fails ----------------------------------------------------------------------------------------------


class Bounded(Connection):
    """A port to a disk with room for so many pages."""

    def fill(self):
        pages = self._pragma("PRAGMA page_count")
        self._pragma(f"PRAGMA max_page_count = {pages}")

    def make_room(self):
        self._pragma("PRAGMA max_page_count = 1000000")


def test_a_full_disk_leaves_the_outcome_unknown_and_what_was_there(tmp_path):
    store = SqliteStore(tmp_path / "data", connect=Bounded)
    queued(store, 1)
    store._writer.fill()
    big = plan(tasks=[new_task(2)], payloads=[(tid(2), "x" * 1_000_000)], queued=[queue_row(2)])
    with pytest.raises(OutcomeUnknown, match="full"):
        store.commit(big)
    with pytest.raises(StoreError, match="full"):
        store.check()
    assert store.recover(10).lane_queued == {1: 1}
    assert store.task(tid(2), None) is None
    store._writer.make_room()
    store.commit(big)
    store.check()
    assert store.recover(10).lane_queued == {1: 2}
    store.close()


def test_a_process_without_descriptors_cannot_read_and_says_so(tmp_path):
    store = SqliteStore(tmp_path / "data")
    queued(store, 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(StoreError, match="cannot be read"):
            store.task(tid(1), None)
        queued(store, 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert store.task(tid(1), None) is not None
    assert store.task(tid(2), None) is not None
    store.close()


class Breaking(Connection):
    """A port that fails at its n-th statement, as a broken disk would."""

    left = -1

    def change_each(self, statement, rows):
        Breaking.left -= 1
        if Breaking.left == 0:
            raise sqlite3.OperationalError("disk I/O error")
        super().change_each(statement, rows)


@pytest.mark.parametrize("position", range(1, 23))
def test_a_disk_that_breaks_at_any_statement_leaves_nothing_of_the_plan(tmp_path, position):
    store = SqliteStore(tmp_path / "data", connect=Breaking)
    queued(store, 1)
    running(store, 2)
    ended(store, 3, 4)
    before = everything(store)
    Breaking.left = position
    try:
        with pytest.raises(OutcomeUnknown, match="cannot be written"):
            store.commit(Plan(T0, good()))
    finally:
        Breaking.left = -1
    assert everything(store) == before
    store.close()
