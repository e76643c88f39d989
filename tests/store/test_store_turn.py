"""What a turn reads: lookups, refills, wakes and payloads, after the plan's own writes; and what a start reads."""

import pytest

from taskyard.domain.window import rank_of
from taskyard.engine.plan import FlowCount, Lookup, Plan, Refill, WakeRead, Writes
from taskyard.engine.rows import LaneRow, Record
from taskyard.store.port import StoreError
from tests.store.making import (
    T0,
    ended,
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


def numbers(records):
    return [int(record.task.id[-19:], 16) for record in records]


def refill(store, *wanted):
    return [numbers(found) for found in store.commit(Plan(T0, refills=list(wanted))).refills]


def test_lookup_finds_tasks_in_every_state(store):
    queued(store, 1)
    running(store, 2)
    ended(store, 3, owner="bob")
    found = store.lookup(Lookup(tasks=[tid(1), tid(2), tid(3), tid(4), tid(1)])).tasks
    assert found == {tid(n): store.task(tid(n), None) for n in (1, 2, 3)}
    assert found[tid(1)] == Record(fresh(new_task(1)), queue_row(1), None)
    assert found[tid(2)] == Record(fresh(new_task(2)), None, run_row(2))


def test_lookup_takes_no_attempt_that_was_given_up_for_the_live_one(store):
    running(store, 1, 2)
    store.commit(plan(runs=[run_row(1, linger_until=T0), run_row(2, linger_until=T0)], queued=[queue_row(1)]))
    store.commit(plan(runs=[run_row(2, 2, server_id="s2")]))
    found = store.lookup(Lookup(tasks=[tid(1), tid(2)])).tasks
    assert found[tid(1)] == Record(fresh(new_task(1)), queue_row(1), None)
    assert found[tid(2)] == Record(fresh(new_task(2)), None, run_row(2, 2, server_id="s2"))


def test_lookup_of_nothing(store):
    found = store.lookup(Lookup())
    assert (found.tasks, found.keys) == ({}, {})


def test_lookup_takes_a_turn_of_ids_and_odd_keys(store):
    store.commit(plan(keys=[key_row('a"b\\ü€😀', 1), key_row("", 2)]))
    found = store.lookup(Lookup([tid(n) for n in range(1000)], [("ann", 'a"b\\ü€😀'), ("ann", ""), ("ann", "x")]))
    assert set(found.keys) == {("ann", 'a"b\\ü€😀'), ("ann", "")}
    assert found.tasks == {}


def test_a_refill_goes_by_priority_then_place(store):
    rows = [queue_row(n, priority=p, place=place) for n, p, place in ((1, 0, 1), (2, 5, 4), (3, 5, 3), (4, 10, 9))]
    store.commit(plan(tasks=[new_task(n) for n in (1, 2, 3, 4)], queued=rows))
    assert refill(store, Refill(1, "", "", 0, 10)) == [[4, 3, 2, 1]]
    assert refill(store, Refill(1, "", "", 0, 2)) == [[4, 3]]
    assert refill(store, Refill(1, "", "", rank_of(5, 4), 10)) == [[2, 1]]
    assert refill(store, Refill(1, "", "", rank_of(5, 4) + 1, 10)) == [[1]]


def test_a_refill_keeps_to_its_flow_and_to_ready_tasks(store):
    rows = [
        queue_row(1),
        queue_row(2, lane=2),
        queue_row(3, avoid="s1"),
        queue_row(4, limit_key="k"),
        queue_row(5, due_at=T0, wake_at=T0),
        queue_row(6, wake_at=T0),
    ]
    store.commit(plan(tasks=[new_task(n) for n in range(1, 7)], queued=rows))
    flows = [Refill(1, "", "", 0, 9), Refill(2, "", "", 0, 9), Refill(1, "", "s1", 0, 9), Refill(1, "k", "", 0, 9)]
    assert refill(store, *flows, Refill(3, "", "", 0, 9)) == [[1, 6], [2], [3], [4], []]


def test_a_refill_gives_whole_records(store):
    queued(store, 1)
    (records,) = store.commit(Plan(T0, refills=[Refill(1, "", "", 0, 1)])).refills
    assert records == [Record(fresh(new_task(1)), queue_row(1), None)]


def test_reads_see_the_plans_own_writes(store):
    queued(store, 1, 2, 3)
    writes = Writes(
        tasks=[new_task(4)],
        payloads=[(tid(4), '"four"')],
        unqueued=[(tid(1),)],
        queued=[queue_row(4, priority=1), queue_row(3, due_at=T0 + 9, wake_at=T0 + 9)],
        runs=[run_row(1)],
    )
    found = Plan(T0, writes, [Refill(1, "", "", 0, 9)], WakeRead(0, "", 9), [tid(4), tid(1), tid(9)])
    receipt = store.commit(found)
    assert numbers(receipt.refills[0]) == [4, 2]
    assert numbers(receipt.wakes) == [3]
    assert receipt.payloads == {tid(4): '"four"', tid(1): '{"n":1}'}


def test_wakes_go_by_time_then_id_after_a_pair(store):
    times = {1: 30, 2: 10, 3: 20, 4: 20, 5: None}
    rows = [queue_row(n, wake_at=at) for n, at in times.items()]
    store.commit(plan(tasks=[new_task(n) for n in times], queued=rows))

    def wakes(after_at, after_id, limit=9):
        return numbers(store.commit(Plan(T0, wakes=WakeRead(after_at, after_id, limit))).wakes)

    assert wakes(-1, "") == [2, 3, 4, 1]
    assert wakes(20, tid(3)) == [4, 1]
    assert wakes(20, tid(4)) == [1]
    assert wakes(10, tid(9), 1) == [3]
    assert wakes(30, tid(1)) == []


# --- a start ---------------------------------------------------------------------------------------------------------


def test_a_new_store_has_nothing(store):
    snapshot = store.recover(10)
    assert (snapshot.servers, snapshot.lanes, snapshot.flows, snapshot.runs, snapshot.lingering) == ([], [], [], [], [])
    assert (snapshot.lane_queued, snapshot.owner_queued, snapshot.settings) == ({}, {}, {})
    assert (snapshot.wakes, snapshot.wakes_complete, snapshot.last_place, snapshot.last_time) == ([], True, 0, 0)


def test_a_start_counts_flows_lanes_and_owners(store):
    lanes = [LaneRow(n, f'["c{n}"]', "", "") for n in (1, 2, 3)]
    rows = [
        queue_row(1),
        queue_row(2, owner="bob"),
        queue_row(3, avoid="s1"),
        queue_row(4, due_at=T0, wake_at=T0),
        queue_row(5, lane=2, limit_key="k", due_at=T0, wake_at=T0),
    ]
    store.commit(plan(lanes=lanes, tasks=[new_task(n) for n in range(1, 6)], queued=rows))
    snapshot = store.recover(10)
    assert sorted(map(str, snapshot.flows)) == sorted(map(str, [FlowCount(1, "", "", 2), FlowCount(1, "", "s1", 1)]))
    assert snapshot.lane_queued == {1: 4, 2: 1}
    assert snapshot.owner_queued == {"ann": 4, "bob": 1}
    assert sorted(snapshot.lanes) == lanes[:2]


def test_a_start_finds_runs_with_their_tasks_and_lingering_ones_without(store):
    running(store, 1, 2)
    lingering = [run_row(2, linger_until=T0 + 5), run_row(9, 3, linger_until=T0 + 6)]
    store.commit(plan(runs=lingering, queued=[queue_row(2, attempts=1)]))
    snapshot = store.recover(10)
    assert snapshot.runs == [Record(fresh(new_task(1)), None, run_row(1))]
    assert snapshot.lingering == lingering


def test_a_start_reads_the_first_wakes(store):
    rows = [queue_row(n, wake_at=T0 - n) for n in range(1, 6)]
    store.commit(plan(tasks=[new_task(n) for n in range(1, 6)], queued=rows))
    some, all_of_them = store.recover(2), store.recover(5)
    assert (numbers(some.wakes), some.wakes_complete) == ([5, 4], False)
    assert (numbers(all_of_them.wakes), all_of_them.wakes_complete) == ([5, 4, 3, 2, 1], True)


@pytest.mark.parametrize(
    ("rows", "place"),
    [
        ({"queued": [queue_row(1, priority=10, place=70), queue_row(2, priority=0, place=3)]}, 70),
        ({"queued": [queue_row(1, place=3), queue_row(2, place=80, due_at=T0, wake_at=T0)]}, 80),
        ({"queued": [queue_row(1, place=3)], "runs": [run_row(2, rank=rank_of(7, 90))]}, 90),
        ({"queued": [queue_row(1, place=3)], "runs": [run_row(2, rank=rank_of(7, 90), linger_until=T0)]}, 90),
        ({"queued": [queue_row(1, priority=0, place=2**48 - 1)]}, 2**48 - 1),
        ({"runs": [run_row(2, rank=rank_of(7, 2**48 - 1))]}, 2**48 - 1),
    ],
)
def test_a_start_knows_the_last_place(store, rows, place):
    store.commit(plan(tasks=[new_task(1), new_task(2)], **rows))
    assert store.recover(10).last_place == place


def test_a_start_knows_the_latest_time(store):
    queued(store, 5)
    assert store.recover(10).last_time == T0 + 5
    ended(store, 1, completed_at=T0 + 60)
    assert store.recover(10).last_time == T0 + 60
    running(store, 2, updated_at=T0 + 70)
    assert store.recover(10).last_time == T0 + 70
    store.commit(plan(servers=[server_row(last_heartbeat=T0 + 80)]))
    assert store.recover(10).last_time == T0 + 80
    queued(store, 90)
    assert store.recover(10).last_time == T0 + 90


@pytest.mark.parametrize("make_store", ["sqlite", "strict"], indirect=True)
def test_a_start_knows_the_latest_time_of_what_was_swept_since(store):
    queued(store, 5)
    ended(store, 1, completed_at=T0 + 60)
    store.commit(plan(stats=[stat_row(last_at=T0 + 60), stat_row(scope="type", key="ocr", last_at=T0 + 60)]))
    store.sweep(T0 + 61, 0, 10)
    assert store.recover(10).last_time == T0 + 60


def test_everything_is_there_after_the_store_was_opened_again(make_store):
    store = make_store()
    queued(store, 1, wake_at=T0)
    running(store, 2)
    ended(store, 3)
    store.commit(plan(settings=[("a", "b")], servers=[server_row()]))
    before, records = store.recover(10), [store.task(tid(n), None) for n in (1, 2, 3)]
    store.close()
    store = make_store()
    assert store.recover(10) == before
    assert [store.task(tid(n), None) for n in (1, 2, 3)] == records


def test_a_closed_store_refuses(store):
    store.close()
    store.close()
    for call in (lambda: store.commit(plan(settings=[("a", "b")])), lambda: store.task(tid(1), None), store.check):
        with pytest.raises(StoreError, match="closed"):
            call()
