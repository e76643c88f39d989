"""The figures that people look at, in every store: written again and again, read by index, removed when old."""

from taskyard.engine.plan import Plan, Writes
from taskyard.engine.rows import AuditRow
from taskyard.store.figures import Keep
from taskyard.store.port import TaskQuery
from tests.store.making import (
    T0,
    ended,
    facet_row,
    failure_row,
    health_row,
    load_row,
    plan,
    queued,
    series_row,
    server_row,
    stat_row,
    tid,
)

HOUR = T0 // 3_600_000
FAR = T0 + 10**9


def test_series_are_replaced_and_read_with_the_one_before(store):
    rows = [series_row(T0 + n * 1000) for n in range(4)]
    store.commit(plan(series=[*rows, series_row(T0, 12_000)]))
    newer = rows[2]._replace(submitted=9, runs="8: 8")
    store.commit(plan(series=[newer]))
    assert store.figures.series(1000, T0 + 2000, T0 + 3000) == [rows[1], newer]
    assert store.figures.series(12_000, T0 - 1, FAR) == [series_row(T0, 12_000)]
    assert store.recover(1).series[:1] == [rows[3]]


def test_failures_are_an_owners_or_all(store):
    ours, theirs = failure_row(), failure_row("g2", owner="bob", hour=HOUR + 1, last_at=T0 + 99)
    store.commit(plan(failures=[ours, theirs]))
    store.commit(plan(failures=[ours._replace(tasks=7)]))
    figures = store.figures
    assert figures.failures("ann", HOUR) == [ours._replace(tasks=7)]
    assert figures.failures(None, HOUR) == [ours._replace(tasks=7), theirs]
    assert figures.failures(None, HOUR + 1) == [theirs]
    assert [figures.last_failure(owner) for owner in ("ann", "bob", "eve", None)] == [T0 + 1, T0 + 99, None, T0 + 99]
    assert store.recover(1).failures == [theirs]


def test_a_groups_tasks_are_listed_until_they_are_retried(store):
    ended(store, 1, 2, 3, status=3, result="null")
    store.commit(plan(failed=[(tid(1), "g"), (tid(2), "g"), (tid(3), "h")]))

    def listed(**filters):
        page = store.tasks(TaskQuery(None, failure="g", **filters))
        return [record.task.id for record in page.records]

    assert listed() == [tid(2), tid(1)]
    assert listed(limit=1) == [tid(2)]
    assert listed(before=tid(2)) == [tid(1)]
    assert listed(statuses=(4,)) == listed(type="other") == []
    store.commit(plan(reopened=[(tid(2),)]))
    assert listed() == [tid(1)]


def test_the_sweep_takes_the_kept_and_the_grouped_along(store):
    ended(store, 1, 2, status=3)
    ended(store, 3, status=2, owner="bob")
    kept = [("", 3, 2), ("ann", 2, 2), ("bob", 1, 0)]
    store.commit(
        plan(
            failed=[(tid(1), "g"), (tid(2), "g")],
            stats=[
                stat_row(0, "kept", owner, created=created, failed=failed, completed=created - failed)
                for owner, created, failed in kept
            ],
        )
    )
    assert store.sweep(FAR, 0, 10) == 3
    for owner, _, _ in kept:
        (row,) = store.stats(0, 1, "kept", owner)
        assert (row.created, row.failed, row.completed) == (0, 0, 0)
    assert store.tasks(TaskQuery(None, failure="g")).records == []


def test_facets_by_prefix_are_an_owners_or_alls(store):
    rows = [facet_row(value, owner=owner) for value in ("ocr", "ocr-2", "pdf", "ö") for owner in ("ann", "")]
    store.commit(plan(facets=[*rows, facet_row("ocr-3", owner="bob"), facet_row("ocr-9", field="tag")]))
    figures = store.figures
    assert figures.facets("type", "ann", "ocr", 9) == ["ocr", "ocr-2"]
    assert figures.facets("type", "", "", 9) == ["ocr", "ocr-2", "pdf", "ö"]
    assert figures.facets("type", "ann", "", 3) == ["ocr", "ocr-2", "pdf"]
    assert figures.facets("tag", "ann", "ocr", 9) == ["ocr-9"]


def test_health_is_read_from_the_change_before(store):
    changes = [health_row("s1", T0 + n * 10, status) for n, status in enumerate(("online", "degraded", "offline"))]
    other = health_row("s2", T0 + 5)
    gone = health_row("gone", T0 + 5)
    store.commit(plan(servers=[server_row("s1"), server_row("s2")], health=[*changes, other, gone]))
    figures = store.figures
    assert figures.health(T0 + 15, "s1", 9) == changes[1:]
    assert figures.health(T0 + 15, "s1", 0) == [changes[1]]
    assert figures.health(T0, "s1", 2) == changes[1:], "the newest are kept"
    assert figures.health(T0 + 1, None, 2) == [changes[0], changes[1], changes[2]]
    assert sorted(figures.health(T0 + 15, None, 9)) == sorted([changes[1], other, changes[2]])
    assert sorted(store.recover(1).health) == sorted([changes[2], other])


def test_loads_are_summed_by_server_that_is_registered(store):
    rows = [load_row(server, T0 + n) for n in range(3) for server in ("s1", "s2")]
    store.commit(plan(servers=[server_row("s1"), server_row("s2")], loads=[*rows, load_row("gone", T0)]))
    store.commit(plan(loads=[rows[0]._replace(picks=100)]))
    figures = store.figures
    assert [row.picks for row in figures.loads("s1", T0)] == [100, 3, 3]
    sums = {row.server_id: (row.picks, row.completed, row.failed, row.run_ms) for row in figures.load_sums(T0, T0 + 2)}
    assert sums == {"s1": (103, 4, 2, 100), "s2": (6, 4, 2, 100)}
    assert sorted(store.recover(1).loads) == sorted(rows[4:])


def test_the_audit_log_is_walked_by_subject_or_target(store):
    for number in range(5):
        who, target = ("ann", "bob")[number % 2], f"s{number % 3}"
        store.commit(plan(audit=[AuditRow(T0 + number, who, "x", target, None)]))
    figures = store.figures

    def times(*args):
        return [row.at - T0 for _, row in figures.audit(*args)]

    assert times(None, None, None, 9) == [4, 3, 2, 1, 0]
    assert times("ann", None, None, 9) == [4, 2, 0]
    assert times(None, "s0", None, 9) == [3, 0]
    (_, _), (third, _) = figures.audit(None, None, None, 2)
    assert times(None, None, third, 2) == [2, 1]


def test_what_is_old_is_removed_by_bites(store):
    old = T0 - 100_000_000
    writes = Writes(
        series=[series_row(at, step) for at in (old, T0) for step in (1000, 12_000, 288_000)],
        failures=[failure_row(hour=hour) for hour in (old // 3_600_000, HOUR)],
        servers=[server_row("s1"), server_row("s2")],
        health=[health_row("s1", old), health_row("s1", old + 1), health_row("s2", old), health_row("gone", old)],
        loads=[load_row(at=old), load_row(at=T0)],
        facets=[facet_row("a", last_at=old), facet_row("b")],
        audit=[AuditRow(at, "ann", "x", "y", None) for at in (old, old, T0)],
    )
    store.commit(Plan(T0, writes))
    keep = Keep(now=T0 + 1, history=T0, facets=T0, audit=T0, most=1)
    assert store.forget(keep) == 1
    while store.forget(keep):
        pass
    figures = store.figures
    assert [row.at for step in (1000, 12_000, 288_000) for row in figures.series(step, 0, FAR)] == [T0] * 3
    assert [row.hour for row in figures.failures(None, 0)] == [HOUR]
    assert figures.health(0, "s1", 9) == [health_row("s1", old + 1)], "the last one of a server that is there"
    assert figures.health(0, "s2", 9) == [health_row("s2", old)]
    assert figures.health(0, "gone", 9) == []
    assert [row.at for row in figures.loads("s1", 0)] == [T0]
    assert figures.facets("type", "ann", "", 9) == ["b"]
    assert [row.at for _, row in figures.audit(None, None, None, 9)] == [T0]
    # However old, the latest span of each length stays: what happened in it is in no longer one yet.
    while store.forget(keep._replace(now=FAR, history=FAR)):
        pass
    assert [row.at for step in (1000, 12_000, 288_000) for row in figures.series(step, 0, FAR)] == [T0] * 3


def test_a_waiting_task_is_kept_too_and_counts_go_down(store):
    queued(store, 1)
    store.commit(plan(stats=[stat_row(0, "kept", "ann", created=1, failed=1)]))
    store.commit(plan(stats=[stat_row(0, "kept", "ann", failed=-1)]))
    (row,) = store.stats(0, 1, "kept", "ann")
    assert (row.created, row.failed) == (1, 0)
