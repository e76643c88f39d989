"""Lists of tasks: each filter, pages, owners, the bound on what one call examines. Checked against a plain filter."""

import itertools
import json
import random

import pytest

from taskyard.engine.rows import LaneRow
from taskyard.store import listing
from taskyard.store.port import TaskQuery
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, ended, ended_task, new_task, plan, queue_row, queued, run_row, running, tid

OWNERS = ("ann", "bob")
TYPES = ("ocr", "ocr-fast", "txt2img")
TAGS = (None, '["red"]', '["red","ocr"]', '["blue"]')
LANES = (LaneRow(1, "[]", "", ""), LaneRow(2, '["gpu"]', "", ""), LaneRow(3, '["cpu","gpu"]', "", ""))


def fill(store, count, seed=1):
    """Tasks of all kinds; returns what a list must know of each, by id."""
    chance = random.Random(seed)
    known = {}
    for number in range(1, count + 1):
        status = chance.choice((0, 0, 1, 2, 2, 3, 4, 5))
        owner, kind, tags = chance.choice(OWNERS), chance.choice(TYPES), chance.choice(TAGS)
        lane, server = chance.choice(LANES), chance.choice(("s1", "s2"))
        writes = {
            "lanes": [lane],
            "tasks": [new_task(number, owner=owner, type=kind, lane=lane.id, tags=tags)],
            "tags": [(tag, tid(number)) for tag in json.loads(tags or "[]")],
        }
        if status == 0:
            writes["queued"] = [queue_row(number, owner=owner, lane=lane.id)]
            # An attempt that was given up must not make its task look as if it ran.
            writes["runs"] = [run_row(number, server_id=server, linger_until=T0)] if chance.random() < 0.3 else []
            server = None
        elif status == 1:
            writes["runs"] = [run_row(number, server_id=server)]
        else:
            server = chance.choice((server, None))
            writes["ended"] = [ended_task(number, status=status, server_id=server)]
        store.commit(plan(**writes))
        known[tid(number)] = {
            "owner": owner, "type": kind, "tags": json.loads(tags or "[]"), "status": status, "server": server,
            "capabilities": json.loads(lane.capabilities), "at": T0 + number,
        }  # fmt: skip
    return known


def expected(known, query):
    """The ids that a query means, newest first."""

    def matches(task_id, task):
        q = query.q
        return (
            query.owner in (None, task["owner"])
            and (query.statuses is None or task["status"] in query.statuses)
            and query.type in (None, task["type"])
            and query.server_id in (None, task["server"])
            and (query.capability is None or query.capability in task["capabilities"])
            and (query.tag is None or query.tag in task["tags"])
            and (query.created_from is None or task["at"] >= query.created_from)
            and (query.created_to is None or task["at"] < query.created_to)
            and (query.before is None or task_id < query.before)
            and (q is None or task_id == q or (q not in known and (task["type"].startswith(q) or q in task["tags"])))
        )

    return sorted((task_id for task_id, task in known.items() if matches(task_id, task)), reverse=True)


def walk(store, query):
    """All pages of a query."""
    ids, before = [], query.before
    for _ in range(10_000):
        values = {name: getattr(query, name) for name in TaskQuery.__slots__}
        page = store.tasks(TaskQuery(**{**values, "before": before}))
        assert len(page.records) <= query.limit
        ids += [record.task.id for record in page.records]
        if page.next_before is None:
            return ids
        assert before is None or page.next_before < before
        before = page.next_before
    raise AssertionError("the pages have no end")


CHOICES = {
    "owner": [None, "ann", "carl"],
    "statuses": [None, (0,), (1,), (2,), (0, 1), (3, 4, 5), (0, 2, 2), (0, 1, 2, 3, 4, 5), ()],
    "type": [None, "ocr", "none"],
    "server_id": [None, "s1", "none"],
    "capability": [None, "gpu", "cpu", "none"],
    "tag": [None, "red", "none"],
    "created_from": [None, T0 + 20, -1, 2**53],
    "created_to": [None, T0 + 60, -1, 2**53],
    "q": [None, "ocr", "red", "t", tid(7), tid(999), "none", ""],
    "before": [None, tid(50), "", "task_", "zzz"],
    "limit": [3, 50, 500],
}


def queries():
    """Each pair of filters, and a hundred mixtures."""
    usual = {name: values[0] for name, values in CHOICES.items()}
    for one, other in itertools.combinations(CHOICES, 2):
        for value, second in itertools.product(CHOICES[one], CHOICES[other]):
            yield TaskQuery(**{**usual, one: value, other: second})
    chance = random.Random(2)
    for _ in range(100):
        yield TaskQuery(**{name: chance.choice(values) for name, values in CHOICES.items()})


def test_every_mixture_of_filters_gives_what_a_plain_filter_gives(store):
    known = fill(store, 80)
    asked = list(queries())
    if isinstance(store, PostgresStore):  # each page goes to a server and back
        asked = random.Random(3).sample(asked, 250)
    for query in asked:
        assert walk(store, query) == expected(known, query), query


def test_a_listed_task_is_a_whole_record(store):
    queued(store, 1)
    running(store, 2)
    ended(store, 3)
    assert store.tasks(TaskQuery(None)).records == [store.task(tid(n), None) for n in (3, 2, 1)]


def test_a_page_says_where_the_next_one_starts(store):
    queued(store, 1, 2, 3)
    page = store.tasks(TaskQuery(None, limit=2))
    assert ([record.task.id for record in page.records], page.next_before) == ([tid(3), tid(2)], tid(2))
    page = store.tasks(TaskQuery(None, limit=2, before=page.next_before))
    assert ([record.task.id for record in page.records], page.next_before) == ([tid(1)], None)
    assert store.tasks(TaskQuery(None, limit=3)).next_before is None


def test_pages_are_steady_while_tasks_arrive_and_move(store):
    queued(store, 1, 2, 3, 4)
    first = store.tasks(TaskQuery(None, limit=2))
    queued(store, 5)
    store.commit(plan(unqueued=[(tid(2),)], runs=[run_row(2)]))
    second = store.tasks(TaskQuery(None, limit=2, before=first.next_before))
    assert [record.task.id for record in first.records + second.records] == [tid(4), tid(3), tid(2), tid(1)]


def test_an_exact_id_of_another_owner_is_not_found(store):
    queued(store, 1, owner="bob")
    assert store.tasks(TaskQuery("ann", q=tid(1))).records == []
    assert len(store.tasks(TaskQuery("bob", q=tid(1))).records) == 1


def test_more_types_and_lanes_than_are_merged(store):
    many = 3 * listing._MERGE_MOST
    for number in range(1, many + 1):
        store.commit(plan(lanes=[LaneRow(number, '["gpu"]', "", "")]))
        queued(store, number, type=f"kind-{number}", lane=number)
    for query in (TaskQuery(None, q="kind-"), TaskQuery(None, capability="gpu"), TaskQuery("ann", q="kind-", limit=7)):
        assert walk(store, query) == [tid(number) for number in range(many, 0, -1)]


@pytest.mark.parametrize("query", [TaskQuery("bob", type="ocr", limit=5), TaskQuery("bob", q="oc", limit=5)])
def test_a_call_examines_a_bounded_number_and_says_where_to_go_on(store, monkeypatch, query):
    """Bob's few tasks among Ann's many: no call reads more than its share, and the pages still find them all."""
    monkeypatch.setattr(listing, "EXAMINE_MOST", 100)
    monkeypatch.setattr(listing, "_STEP", 20)
    queued(store, *range(1, 1000))
    queued(store, 1000, 1001, owner="bob", type="txt2img")
    queued(store, *range(2000, 2300), owner="bob", type="txt2img")
    queued(store, 500_000, 1_500_000, owner="bob")
    pages, before, examined = [], None, []
    counting = listing._Source.read
    monkeypatch.setattr(listing._Source, "read", lambda source, most: examined.append(most) or counting(source, most))
    while True:
        examined.clear()
        page = store.tasks(TaskQuery(query.owner, type=query.type, q=query.q, limit=5, before=before))
        assert sum(examined) <= 100 + 3 * listing._FIRST_STEP
        pages.append([record.task.id for record in page.records])
        before = page.next_before
        if before is None:
            break
    assert [task_id for page in pages for task_id in page] == [tid(1_500_000), tid(500_000)]


def test_the_more_selective_index_is_walked(store, monkeypatch):
    """Bob has two tasks, of a type with a thousand: the list of his tasks of this type reads his two."""
    queued(store, *range(1, 1000))
    queued(store, 5000, 5001, owner="bob")
    walked = []
    counting = listing._Source.read

    def read(source, most):
        rows = counting(source, most)
        walked.append((source._parts[0].statement, len(rows)))
        return rows

    monkeypatch.setattr(listing._Source, "read", read)
    assert walk(store, TaskQuery("bob", type="ocr")) == [tid(5001), tid(5000)]
    assert sum(rows for _, rows in walked) <= 2 + listing._FIRST_STEP
