"""What the API reads of one task, of counters and of the store itself, and the sweep."""

import threading

import pytest

from taskyard.engine.plan import Lookup
from taskyard.store.port import TaskQuery
from tests.store.making import (
    T0,
    attempt_row,
    ended,
    ended_task,
    key_row,
    new_task,
    plan,
    queue_row,
    queued,
    run_row,
    running,
    stat_row,
    tid,
)
from tests.support.nodes import until


def test_nobody_but_the_owner_and_an_admin_sees_a_task(store):
    ended(store, 1)
    ended(store, 2, resubmit_of=tid(1))
    for read, seen in (
        (store.task, store.task(tid(1), "ann")),
        (store.payload, "{}"),
        (store.result, "1"),
        (store.resubmitted_as, tid(2)),
    ):
        assert seen is not None
        assert read(tid(1), "ann") == read(tid(1), None) == seen
        assert read(tid(1), "bob") is None
        assert read(tid(1), "") is None
        assert read(tid(7), None) is None


def test_the_newest_repetition_is_found(store):
    ended(store, 1, 5)
    ended(store, 3, resubmit_of=tid(1))
    ended(store, 4, resubmit_of=tid(1), owner="bob")
    assert store.resubmitted_as(tid(1), None) == tid(4)
    assert store.resubmitted_as(tid(1), "ann") == tid(3)
    assert store.resubmitted_as(tid(5), None) is None


def test_ready_tasks_between_two_ranks_are_counted_up_to_a_number(store):
    queued(store, 1, 2, 3, 4)
    queued(store, 5, due_at=T0 + 9)
    queued(store, 6, avoid="s1")
    queued(store, 7, lane=2)
    running(store, 8)
    first, last = (queue_row(number).rank for number in (1, 4))
    assert store.ready_between(1, "", "", first, last, 99) == 3
    assert store.ready_between(1, "", "", first, 1 << 52, 99) == 4
    assert store.ready_between(1, "", "", first + 1, last + 1, 99) == 3
    assert store.ready_between(1, "", "", first, last, 2) == 2
    assert store.ready_between(1, "", "s1", 0, 1 << 52, 99) == 1
    assert store.ready_between(1, "", "s2", 0, 1 << 52, 99) == 0
    assert store.ready_between(1, "", "", last, first, 99) == 0


def test_a_task_without_result_has_none(store):
    queued(store, 1)
    assert store.result(tid(1), "ann") is None
    assert store.payload(tid(1), "ann") == '{"n":1}'


def test_a_whole_task_is_all_that_is_its(store):
    store.commit(plan(attempts=[attempt_row(1, 1), attempt_row(1, 2)]))
    ended(store, 1, attempts=3)
    ended(store, 2, resubmit_of=tid(1))
    whole = store.whole_task(tid(1), "ann")
    assert whole == (store.task(tid(1), "ann"), store.history(tid(1)), "1", None, tid(2), ())
    assert store.whole_task(tid(1), None, payload=True) == whole._replace(payload="{}")
    assert store.whole_task(tid(1), "bob") is None
    assert store.whole_task(tid(7), None) is None
    store.commit(plan(purged=[(tid(1),)]))
    purged = store.whole_task(tid(1), None, payload=True)
    assert (purged.record.task.purged, purged.result, purged.payload) == (1, None, None)
    queued(store, 3)
    assert store.whole_task(tid(3), None, payload=True)[1:] == ([], None, '{"n":3}', None, ())


def test_a_whole_task_is_read_at_one_moment(store):
    queued(store, 1)
    done = threading.Event()
    seen, torn = [], []

    def read():
        while not done.is_set():
            record, history, result, *_ = store.whole_task(tid(1), None)
            seen.append(record.queue is None)
            attempts = record.task.attempts if record.queue is None else record.queue.attempts
            expected = str(attempts) if record.queue is None else None
            if (result, len(history)) != (expected, attempts):
                torn.append((record, history, result))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for n in range(1, 101):
        end = ended_task(1, attempts=n)
        store.commit(plan(unqueued=[(tid(1),)], attempts=[attempt_row(1, n)], ended=[end], results=[(tid(1), str(n))]))
        store.commit(plan(reopened=[(tid(1),)], queued=[queue_row(1, attempts=n)]))
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert set(seen) == {True, False}


# --- the server of an attempt ----------------------------------------------------------------------------------------


def test_the_server_of_a_running_and_a_lingering_attempt(store):
    running(store, 1)
    store.commit(plan(runs=[run_row(1, 1, linger_until=T0), run_row(1, 2, server_id="s2")]))
    assert [store.attempt_server(tid(1), n) for n in (1, 2, 3)] == ["s1", "s2", None]


def test_the_server_of_the_last_attempt_before_the_queue(store):
    queued(store, 1, attempts=2, last_server="s7")
    assert [store.attempt_server(tid(1), n) for n in (1, 2, 3)] == [None, "s7", None]
    queued(store, 2, attempts=2, last_server="")
    assert store.attempt_server(tid(2), 2) is None


def test_the_server_of_an_attempt_in_the_history(store):
    folded = attempt_row(1, 2, last=4, server_id="s2", count=3)
    store.commit(plan(tasks=[new_task(1)], attempts=[attempt_row(1, 1), folded, attempt_row(1, 6, server_id="s3")]))
    assert [store.attempt_server(tid(1), n) for n in range(8)] == [None, "s1", "s2", "s2", "s2", None, "s3", None]


def test_the_server_of_the_attempt_that_ended_the_task(store):
    ended(store, 1, attempts=3, server_id="s9")
    assert [store.attempt_server(tid(1), n) for n in (2, 3, 4)] == [None, "s9", None]
    assert store.attempt_server(tid(5), 3) is None


# --- counters --------------------------------------------------------------------------------------------------------


def test_counters_by_hour_and_key(store):
    rows = [
        stat_row(hour, "server", key, created=hour, last_at=T0 + hour) for hour in (3, 1, 2) for key in ("s2", "s1")
    ]
    store.commit(plan(stats=[*rows, stat_row(2, "type", "s1", created=50)]))
    assert store.stats(1, 3, "server", "s1") == [rows[3], rows[5]]
    assert [(row.hour, row.key) for row in store.stats(2, 4, "server")] == [(2, "s1"), (2, "s2"), (3, "s1"), (3, "s2")]
    assert store.stats(4, 9, "server") == []
    assert store.stats_total("server", "s1") == stat_row(0, "server", "s1", created=6, last_at=T0 + 3)
    assert store.stats_total("server", "none") == stat_row(0, "server", "none", last_at=0)


# --- the sweep -------------------------------------------------------------------------------------------------------


def test_the_sweep_removes_what_ended_before_a_time_and_all_that_is_its(store):
    store.commit(plan(tasks=[new_task(1, tags='["a","b"]')], tags=[("a", tid(1)), ("b", tid(1))]))
    store.commit(plan(payloads=[(tid(1), "{}")], ended=[ended_task(1, completed_at=T0 + 10)], results=[(tid(1), "1")]))
    store.commit(plan(attempts=[attempt_row(1), attempt_row(2)]))
    ended(store, 2, completed_at=T0 + 11)
    queued(store, 3)
    running(store, 4)
    assert store.sweep(T0 + 11, 0, 100) == 1
    assert store.task(tid(1), None) is None
    assert store.history(tid(1)) == []
    assert store.history(tid(2)) == [attempt_row(2)]
    assert [store.task(tid(n), None) is None for n in (2, 3, 4)] == [False, False, False]
    for tag in ("a", "b"):
        assert store.tasks(TaskQuery(None, tag=tag)).records == []
    # Nothing is left that would stand in the way of the same rows.
    store.commit(plan(tasks=[new_task(1)], payloads=[(tid(1), "{}")], results=[(tid(1), "2")]))
    assert store.sweep(T0 + 11, 0, 100) == 0


def test_the_sweep_goes_in_small_bites_the_oldest_first(store):
    for number in (1, 2, 3):
        ended(store, number, completed_at=T0 + 10 - number)
    assert store.sweep(T0 + 100, 0, 2) == 2
    assert [store.task(tid(n), None) is None for n in (1, 2, 3)] == [False, True, True]
    assert store.sweep(T0 + 100, 0, 2) == 1


def test_the_sweep_leaves_a_reopened_task(store):
    ended(store, 1, completed_at=T0)
    store.commit(plan(reopened=[(tid(1),)], queued=[queue_row(1)]))
    assert store.sweep(T0 + 100, 0, 9) == 0


def test_the_sweep_removes_expired_keys_but_no_others(store):
    store.commit(plan(keys=[key_row(f"k{n}", n, expires_at=T0 + n) for n in range(4)]))
    assert store.sweep(0, T0 + 2, 9) == 2
    found = store.lookup(Lookup(keys=[("ann", f"k{n}") for n in range(4)])).keys
    assert set(found) == {("ann", "k2"), ("ann", "k3")}


# --- the store itself ------------------------------------------------------------------------------------------------


def test_a_store_in_order_says_so(store):
    store.check()
    until(lambda: sum(store.sizes().values()) > 0)
    assert store.tight() is None


def test_what_was_committed_is_read_from_another_thread_at_once(store):
    """Many readers beside the writer: each commit is seen whole by every read that begins after it."""
    committed = [0]
    stop = threading.Event()
    wrong = []

    def read():
        while not stop.is_set():
            least = committed[0]
            record = store.task(tid(1), "ann")
            result = store.stats_total("yard", "").created
            if record is None or record.run.progress < least or result < least:
                wrong.append((least, record, result))
                return

    running(store, 1, progress=0)
    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 200):
            store.commit(plan(runs=[run_row(1, progress=number)], stats=[stat_row(created=1)]))
            committed[0] = number
    finally:
        stop.set()
        for reader in readers:
            reader.join()
    assert wrong == []


@pytest.mark.parametrize("body", ["x" * 2_000_000, ""])
def test_bodies_of_any_size(store, body):
    store.commit(plan(tasks=[new_task(1)], payloads=[(tid(1), body)], results=[(tid(1), body)]))
    assert store.payload(tid(1), None) == store.result(tid(1), None) == body
