"""Random plans against the model: after each, every read of the store gives what the model gives."""

import tempfile
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskyard.engine.plan import Lookup, Plan, Refill, WakeRead, Writes
from taskyard.engine.rows import STAT_NAMES, AuditRow, LaneRow
from taskyard.store.port import BadData, Purged
from taskyard.store.postgres.store import PostgresStore
from taskyard.store.sqlite import SqliteStore
from tests.store.conftest import PORTS
from tests.store.making import (
    T0,
    attempt_row,
    ended_task,
    key_row,
    new_task,
    queue_row,
    run_row,
    server_row,
    stat_row,
    tid,
)
from tests.store.model import Model
from tests.support.postgres import empty

NUMBERS = st.integers(1, 9)
IDS = NUMBERS.map(tid)
ONE_ID = IDS.map(lambda task_id: (task_id,))
OWNERS = st.sampled_from(["ann", "bob"])
SERVERS = st.sampled_from(["s1", "s2"])
LANES = st.integers(1, 3)
TIMES = st.integers(0, 50)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=5)
OPTIONAL = st.none() | TEXTS
INTS = st.integers(-(2**53) + 1, 2**53 - 1)

WRITES = st.fixed_dictionaries(
    {},
    optional={
        "lanes": st.lists(LANES.map(lambda lane: LaneRow(lane, f'["c{lane}"]', "", "")), max_size=2),
        "tasks": st.lists(
            st.builds(
                new_task, NUMBERS, owner=OWNERS, lane=LANES, metadata=OPTIONAL, timeout=INTS, ttl=st.none() | INTS
            ),
            max_size=2,
            unique_by=lambda task: task.id,
        ),
        "payloads": st.lists(st.tuples(IDS, TEXTS), max_size=2, unique_by=lambda row: row[0]),
        "keys": st.lists(st.builds(key_row, TEXTS, NUMBERS, owner=OWNERS, hash=TEXTS), max_size=2),
        "reopened": st.lists(ONE_ID, max_size=1),
        "retried": st.lists(ONE_ID, max_size=1),
        "unqueued": st.lists(ONE_ID, max_size=2),
        "queued": st.lists(
            st.builds(
                queue_row,
                NUMBERS,
                priority=st.integers(0, 10),
                place=st.integers(0, 2**48 - 1),
                owner=OWNERS,
                lane=LANES,
                limit_key=st.sampled_from(["", "k"]),
                avoid=st.sampled_from(["", "s1"]),
                due_at=st.none() | TIMES,
                wake_at=st.none() | TIMES,
                last_outcome=OPTIONAL,
            ),
            max_size=4,
        ),
        "stopped": st.lists(st.tuples(IDS, st.integers(1, 2)), max_size=2),
        # A task has one live attempt at most: the second is always one that was given up.
        "runs": st.lists(
            st.builds(run_row, NUMBERS, st.just(1), server_id=SERVERS, message=OPTIONAL)
            | st.builds(run_row, NUMBERS, st.just(2), server_id=SERVERS, linger_until=TIMES),
            max_size=3,
        ),
        "attempts": st.lists(
            st.builds(
                attempt_row,
                NUMBERS,
                st.integers(1, 9),
                server_id=SERVERS,
                outcome=st.sampled_from(["declined", "failed"]),
                count=st.integers(1, 2),
                error=OPTIONAL,
                metadata=OPTIONAL,
            ),
            max_size=4,
        ),
        "ended": st.lists(
            st.builds(ended_task, NUMBERS, status=st.integers(2, 5), error=OPTIONAL, completed_at=TIMES), max_size=2
        ),
        "results": st.lists(st.tuples(IDS, TEXTS), max_size=1),
        "purged": st.lists(ONE_ID, max_size=1),
        "servers": st.lists(st.builds(server_row, SERVERS, name=TEXTS, api_key=OPTIONAL), max_size=2),
        "unregistered": st.lists(SERVERS.map(lambda server: (server,)), max_size=1),
        "stats": st.lists(
            st.builds(
                stat_row,
                st.integers(0, 2),
                st.sampled_from(["yard", "type"]),
                TEXTS,
                TIMES,
                **dict.fromkeys(STAT_NAMES, TIMES),
            ),
            max_size=3,
        ),
        "settings": st.lists(st.tuples(TEXTS, TEXTS), max_size=2),
        "audit": st.lists(st.builds(AuditRow, TIMES, TEXTS, TEXTS, TEXTS, OPTIONAL), max_size=2),
    },
).map(lambda rows: Writes(**rows))

PLANS = st.builds(
    Plan,
    st.just(T0),
    WRITES,
    st.lists(
        st.builds(
            Refill,
            LANES,
            st.sampled_from(["", "k"]),
            st.sampled_from(["", "s1"]),
            st.integers(0, 11 * 2**48),
            st.integers(0, 4),
        ),
        max_size=3,
    ),
    st.none() | st.builds(WakeRead, st.integers(-1, 50), IDS | st.just(""), st.integers(0, 4)),
    st.lists(IDS, max_size=4),
)


def outcome(call, *values):
    try:
        return call(*values)
    except (BadData, Purged) as error:
        return type(error)


def compare(store, model):
    """Every read, for every task that a plan can name."""
    ids = [tid(number) for number in range(11)]
    for task_id in ids:
        for owner in (None, "ann", "bob"):
            assert store.task(task_id, owner) == model.task(task_id, owner)
            assert outcome(store.payload, task_id, owner) == outcome(model.body, model.bodies, task_id, owner)
            assert outcome(store.result, task_id, owner) == outcome(model.body, model.results, task_id, owner)
        assert store.history(task_id) == model.history(task_id)
    found = store.lookup(Lookup(ids, list(model.keys)))
    assert found.tasks == {task_id: model.task(task_id, None) for task_id in model.tasks}
    assert found.keys == model.keys
    snapshot = store.recover(3)
    assert sorted(snapshot.servers) == sorted(model.servers.values())
    assert sorted(map(str, snapshot.flows)) == model.flows()
    assert snapshot.lane_queued == Counter(row.lane for row in model.queue.values())
    assert snapshot.owner_queued == Counter(row.owner for row in model.queue.values())
    assert sorted(snapshot.lanes) == sorted(model.lanes[n] for n in snapshot.lane_queued if n in model.lanes)
    live = [run for run in model.runs.values() if run.linger_until is None and run.task_id in model.tasks]
    assert sorted(record.run for record in snapshot.runs) == sorted(live)
    assert all(record.task == model.tasks[record.run.task_id] for record in snapshot.runs)
    lingering = [run for run in model.runs.values() if run.linger_until is not None]
    assert sorted(snapshot.lingering) == sorted(lingering)
    assert snapshot.wakes == model.wakes()[:3]
    assert snapshot.wakes_complete == (len(model.wakes()) <= 3)
    assert (snapshot.settings, snapshot.last_place) == (model.settings, model.last_place())
    for scope in ("yard", "type"):
        rows = sorted(row for row in model.stats.values() if row.scope == scope)
        assert store.stats(0, 3, scope) == sorted(rows, key=lambda row: (row.hour, row.key))
    assert store.audit(100) == model.audit[::-1]


def end_once(writes, model):
    """Leave those ends that an engine could ask for: of tasks that are there and live, one each."""
    live = {task_id for task_id, task in model.tasks.items() if task.status == 0}
    live |= {task.id for task in writes.tasks}
    live |= {task_id for (task_id,) in writes.reopened if task_id in model.tasks}
    writes.ended = list({end.id: end for end in writes.ended if end.id in live}.values())


def run(make, plans):
    """Carry out plans on a store and on the model, and compare; then once more after the store was opened again."""
    model = Model()
    with closing(make()) as store:
        for plan in plans:
            end_once(plan.writes, model)
            assert outcome(store.commit, plan) == outcome(model.commit, plan)
        compare(store, model)
    with closing(make()) as store:
        compare(store, model)


@pytest.mark.parametrize("port", PORTS)
@settings(max_examples=60, deadline=None)
@given(plans=st.lists(PLANS, max_size=6))
def test_random_plans_do_to_the_store_what_they_do_to_the_model(port, plans):
    with tempfile.TemporaryDirectory() as folder:
        run(lambda: SqliteStore(Path(folder, "data"), connect=PORTS[port]), plans)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=st.lists(PLANS, max_size=6))
def test_random_plans_on_a_server(database, plans):
    empty(database)
    run(lambda: PostgresStore(database), plans)
