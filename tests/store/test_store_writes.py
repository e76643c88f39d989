"""Each kind of row in a plan: what is stored, and what a reader sees after it."""

import pytest

from taskyard.engine.plan import Lookup, Plan, Writes
from taskyard.engine.rows import STAT_NAMES, AuditRow, LaneRow
from taskyard.store.port import Purged, TaskQuery
from tests.store.making import (
    T0,
    attempt_row,
    ended,
    ended_task,
    fresh,
    key_row,
    new_task,
    plan,
    queue_row,
    queued,
    run_row,
    running,
    server_row,
    stat_row,
    tid,
)

FULL_TASK = new_task(
    1, run_at=T0 + 5, ttl=1, queue_timeout=2, heartbeat_timeout=3, tags='["a","b"]', metadata='{"x":"ü"}',
    resubmit_of=tid(0), hops=2, traceparent="00-1", capabilities='["gpu"]', group_name="g", pin="s9", priority=10,
)  # fmt: skip


def test_a_task_keeps_every_fact(store):
    store.commit(plan(tasks=[FULL_TASK], queued=[queue_row(1)]))
    assert store.task(tid(1), "ann").task == fresh(FULL_TASK)


def test_a_task_is_marked_as_retried_for_good(store):
    queued(store, 1, 2)
    store.commit(plan(retried=[(tid(1),)]))
    store.commit(plan(unqueued=[(tid(1),)], ended=[ended_task(1)]))
    store.commit(plan(reopened=[(tid(1),)], queued=[queue_row(1)]))
    assert [store.task(tid(n), None).task.retried for n in (1, 2)] == [1, 0]


def test_a_queued_task_has_its_queue_row_and_no_run(store):
    row = queue_row(
        1, limit_key="l", avoid="s2", due_at=T0 + 1, wake_at=T0 + 1, attempts=3, failures=2, lost=1, deadline=T0 + 7,
        queue_deadline=T0 + 8, last_server="s2", last_outcome="failed", lane=2**53 - 1, rank=11 * 2**48 - 1,
    )  # fmt: skip
    store.commit(plan(tasks=[new_task(1)], queued=[row]))
    record = store.task(tid(1), "ann")
    assert record.queue == row
    assert record.run is None


def test_a_queue_row_is_replaced_whole(store):
    queued(store, 1)
    row = queue_row(
        1, owner="bob", lane=2, limit_key="x", avoid="y", rank=5, due_at=1, wake_at=2, attempts=3, failures=4, lost=5,
        deadline=6, queue_deadline=7, queued_at=8, last_server="z", last_outcome="lost", updated_at=9,
    )  # fmt: skip
    store.commit(plan(queued=[row]))
    assert store.task(tid(1), "ann").queue == row


def test_a_running_task_has_its_run_and_no_queue_row(store):
    queued(store, 1)
    store.commit(plan(unqueued=[(tid(1),)], runs=[run_row(1)]))
    record = store.task(tid(1), "ann")
    assert record.queue is None
    assert record.run == run_row(1)
    assert record.task.status == 0


def test_a_run_is_replaced_whole(store):
    running(store, 1)
    row = run_row(
        1, server_id="s2", node="n2", rank=7, avoid="s1", failures=1, lost=2, deadline=3, started_at=4, limit_at=5,
        accepted=1, responded_at=6, beat_at=7, progress=8, message="m", linger_until=None, updated_at=9,
    )  # fmt: skip
    store.commit(plan(runs=[row]))
    assert store.task(tid(1), "ann").run == row


def test_an_attempt_that_was_given_up_is_no_live_state(store):
    running(store, 1)
    store.commit(plan(runs=[run_row(1, linger_until=T0 + 5000)], queued=[queue_row(1, attempts=1)]))
    record = store.task(tid(1), "ann")
    assert record.run is None
    assert record.queue == queue_row(1, attempts=1)


def test_a_new_attempt_beside_a_lingering_one(store):
    running(store, 1)
    store.commit(plan(runs=[run_row(1, 1, linger_until=T0 + 5000), run_row(1, 2, server_id="s2")]))
    assert store.task(tid(1), "ann").run == run_row(1, 2, server_id="s2")
    store.commit(plan(stopped=[(tid(1), 1)]))
    assert store.task(tid(1), "ann").run == run_row(1, 2, server_id="s2")
    store.commit(plan(stopped=[(tid(1), 2)]))
    assert store.task(tid(1), "ann").run is None


def test_the_end_of_a_task_keeps_every_member(store):
    running(store, 1)
    end = ended_task(1, status=3, attempts=4, failures=3, lost=2)
    store.commit(plan(stopped=[(tid(1), 1)], ended=[end], results=[(tid(1), '"r"')]))
    record = store.task(tid(1), "ann")
    assert (record.queue, record.run) == (None, None)
    assert record.task == fresh(new_task(1))._replace(**{k: v for k, v in end._asdict().items() if k != "id"})
    assert store.result(tid(1), "ann") == '"r"'


def test_a_reopened_task_is_live_again_without_end_and_result(store):
    ended(store, 1, tags='["a"]')
    store.commit(plan(reopened=[(tid(1),)], queued=[queue_row(1, attempts=1)]))
    record = store.task(tid(1), "ann")
    assert record.task == fresh(new_task(1, tags='["a"]'))
    assert record.queue.attempts == 1
    assert store.result(tid(1), "ann") is None
    assert store.payload(tid(1), "ann") == "{}"
    assert store.tasks(TaskQuery(None, statuses=(2,))).records == []
    assert store.tasks(TaskQuery(None, server_id="s1")).records == []


def test_a_task_can_be_reopened_and_end_in_one_plan(store):
    ended(store, 1)
    store.commit(plan(reopened=[(tid(1),)], ended=[ended_task(1, status=5)], results=[(tid(1), "2")]))
    assert store.task(tid(1), "ann").task.status == 5
    assert store.result(tid(1), "ann") == "2"


def test_purging_erases_what_people_and_backends_wrote(store):
    ended(store, 1, metadata='{"secret":1}', resubmit_of=tid(0))
    store.commit(plan(attempts=[attempt_row(1, metadata='{"secret":2}')]))
    store.commit(plan(purged=[(tid(1),)]))
    task = store.task(tid(1), "ann").task
    assert task.purged == 1
    assert (task.metadata, task.result_metadata, task.error_details) == (None, None, None)
    assert (task.error, task.resubmit_of, task.status) == ("e", tid(0), 2)
    assert [entry.metadata for entry in store.history(tid(1))] == [None]
    for read in (store.payload, store.result):
        with pytest.raises(Purged):
            read(tid(1), "ann")
        assert read(tid(1), "bob") is None
    assert store.commit(Plan(T0, payloads=[tid(1)])).payloads == {}


def test_the_payload_is_kept_byte_for_byte_until_retention(store):
    body = '{"a" :  [1.0, 1e400, "\\ud800 ü \\u0000"]}' + " " * 100_000
    store.commit(plan(tasks=[new_task(1)], payloads=[(tid(1), body)], queued=[queue_row(1)]))
    assert store.payload(tid(1), "ann") == body
    store.commit(plan(unqueued=[(tid(1),)], ended=[ended_task(1)], results=[(tid(1), "null")]))
    assert store.payload(tid(1), "ann") == body
    assert store.result(tid(1), "ann") == "null"


def test_lanes_may_be_given_again(store):
    lane = LaneRow(2**53 - 1, '["a","b"]', "g", "s1")
    store.commit(plan(lanes=[lane], tasks=[new_task(1)], queued=[queue_row(1, lane=lane.id)]))
    store.commit(plan(lanes=[lane]))
    assert store.recover(10).lanes == [lane]


def test_tags_find_their_tasks(store):
    store.commit(plan(tasks=[new_task(1, tags='["a"]')], tags=[("a", tid(1)), ("a", tid(1))], queued=[queue_row(1)]))
    assert [record.task.id for record in store.tasks(TaskQuery("ann", tag="a")).records] == [tid(1)]


def test_an_idempotency_key_takes_the_place_of_the_old_one(store):
    store.commit(plan(keys=[key_row("k", 1), key_row("k", 2, owner="bob")]))
    store.commit(plan(keys=[key_row("k", 3, hash="h2", created_at=T0 + 5, expires_at=T0 + 6)]))
    found = store.lookup(Lookup(keys=[("ann", "k"), ("bob", "k"), ("ann", "other")])).keys
    assert found == {
        ("ann", "k"): key_row("k", 3, hash="h2", created_at=T0 + 5, expires_at=T0 + 6),
        ("bob", "k"): key_row("k", 2, owner="bob"),
    }


def test_servers_are_added_changed_and_removed(store):
    full = server_row(
        "s1", metrics_url="m", cancel_url="c", api_key="k", learns_capabilities=1, groups='["g"]', max_concurrent=7,
        weight=0, is_async=1, maintenance=1, maintenance_reason="r", draining=1, removing_until=T0, registered_at=T0,
        last_heartbeat=T0 + 2, state="offline", online_since=None, averages='{"a":1}', misconfigured=1, name="n",
        owner="o", predict="p", health_url="h", capabilities="[]", paused_until=T0 + 3, pause_step=2000, held=1,
    )  # fmt: skip
    store.commit(plan(servers=[server_row("s1"), server_row("s2")]))
    store.commit(plan(servers=[full]))
    assert sorted(store.recover(1).servers) == [full, server_row("s2")]
    store.commit(plan(unregistered=[("s1",), ("unknown",)]))
    assert store.recover(1).servers == [server_row("s2")]


def test_counters_are_added_up(store):
    ones = dict.fromkeys(STAT_NAMES, 1)
    store.commit(plan(stats=[stat_row(last_at=T0 + 9, **ones), stat_row(last_at=T0 + 3, **ones)]))
    store.commit(plan(stats=[stat_row(last_at=T0 + 5, **{name: n for n, name in enumerate(STAT_NAMES)})]))
    expected = stat_row(last_at=T0 + 9, **{name: n + 2 for n, name in enumerate(STAT_NAMES)})
    assert store.stats(0, 9, "yard") == [expected]


def test_settings_and_audit(store):
    rows = [AuditRow(T0 + n, "ann", "drain", f"s{n}", None if n else "{}") for n in range(3)]
    store.commit(plan(settings=[("algorithm", "random"), ("other", "1")], audit=rows))
    store.commit(plan(settings=[("algorithm", "round-robin")]))
    assert store.recover(1).settings == {"algorithm": "round-robin", "other": "1"}
    assert store.audit(2) == rows[:0:-1]


def test_an_empty_plan_changes_nothing(store):
    receipt = store.commit(Plan(T0, Writes()))
    assert (receipt.refills, receipt.wakes, receipt.payloads) == ([], [], {})


def test_what_is_taken_away_goes_before_what_is_put_there(store):
    """One plan may take a task from the queue and a slot, and put both back changed."""
    queued(store, 1)
    store.commit(plan(unqueued=[(tid(1),)], queued=[queue_row(1, avoid="s1")]))
    assert store.task(tid(1), "ann").queue == queue_row(1, avoid="s1")
    running(store, 2)
    store.commit(plan(stopped=[(tid(2), 1)], runs=[run_row(2, node="n2")]))
    assert store.task(tid(2), "ann").run == run_row(2, node="n2")


# --- history ---------------------------------------------------------------------------------------------------------


def test_history_entries_stand_in_order(store):
    rows = [attempt_row(1, n, server_id=f"s{n}") for n in (3, 1, 2)]
    store.commit(plan(attempts=[*rows, attempt_row(2, 1)]))
    assert store.history(tid(1)) == sorted(rows)
    assert store.history(tid(9)) == []


def test_successive_entries_of_a_kind_are_folded(store):
    first = attempt_row(1, 1, outcome="declined", metadata="{}")
    store.commit(plan(attempts=[first]))
    again = {"outcome": "declined", "count": 2, "metadata": None}
    store.commit(plan(attempts=[attempt_row(1, n, error=f"no {n}", http_status=n, **again) for n in (2, 3)]))
    folded = first._replace(last=3, count=3, ended_at=T0 + 3, error="no 3", http_status=3)
    assert store.history(tid(1)) == [folded]


@pytest.mark.parametrize("other", [{"server_id": "s2"}, {"outcome": "unreached"}])
def test_an_entry_of_another_kind_is_not_folded(store, other):
    first = attempt_row(1, 1, outcome="declined")
    second = first._replace(attempt=2, last=2, count=2, **other)
    store.commit(plan(attempts=[first, second]))
    assert store.history(tid(1)) == [first, second._replace(count=1)]


def test_only_the_last_entry_is_folded_into(store):
    rows = [attempt_row(1, 1, outcome="declined"), attempt_row(1, 2, server_id="s2")]
    third = attempt_row(1, 3, outcome="declined", count=2)
    store.commit(plan(attempts=[*rows, third]))
    assert store.history(tid(1)) == [*rows, third._replace(count=1)]


def test_a_fold_without_an_entry_or_with_another_tasks_is_an_entry(store):
    store.commit(plan(attempts=[attempt_row(1, 1), attempt_row(2, 4, count=2)]))
    assert store.history(tid(1)) == [attempt_row(1, 1)]
    assert store.history(tid(2)) == [attempt_row(2, 4)]
