"""A yard moved from a file into a database and back: what is there afterwards, and what a death at any step leaves."""

from contextlib import closing, suppress

import psycopg
import pytest

from taskyard.engine.rows import AuditRow
from taskyard.store.move.move import Different, _batches
from taskyard.store.port import InUse, StoreError, Unusable
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, plan, stat_row
from tests.store.moving import Died, Place, Steps, asked_file, asked_server, fill, starts


def test_all_of_a_file_is_in_the_database_and_comes_back(filled, tmp_path):
    before = asked_file(filled.path)
    assert all(before)
    with closing(filled.open_file()) as store:
        snapshot = store.recover(10)
    moved = filled.move()
    assert moved.live == (4, 2, 1)
    assert not moved.resumed
    assert asked_server(filled.url) == before
    assert (moved.rows["task"], moved.rows["payload"], moved.rows["audit"]) == (13, 12, 5)
    with closing(filled.open_server()) as store:
        there = store.recover(10)
        assert (sorted(there.runs), sorted(there.flows), there.last_place) == (
            sorted(snapshot.runs), sorted(snapshot.flows), snapshot.last_place,
        )  # fmt: skip
        # Numbers that the database gives go on behind those that came, and counters are counted on.
        store.commit(plan(audit=[AuditRow(T0, "ops", "late", "s9", None)], stats=[stat_row(1, created=5)]))
        assert store.audit(1)[0].target == "s9"
        assert store.stats_total("yard", "").created == 20
    after = asked_server(filled.url)
    back = Place(tmp_path / "back", filled.url)
    back.move(out=False)
    assert asked_file(back.path) == after
    with closing(back.open_file()) as store:
        assert store.recover(10).servers == snapshot.servers
        store.commit(plan(audit=[AuditRow(T0, "ops", "later", "s10", None)]))


@pytest.mark.parametrize("out", [True, False], ids=["out", "back"])
def test_it_may_die_at_any_step(filled, tmp_path, out):
    before = asked_file(filled.path)
    if not out:
        filled.move()
    place = Place(filled.path if out else tmp_path / "back", filled.url)
    first, second = ("file", "server") if out else ("server", "file")
    with pytest.raises(Died):
        place.move(out, Steps(1))
    assert place.startable() == [first]
    deaths, moved = 0, None
    while moved is None:  # each time it comes a step further
        try:
            moved = place.move(out, Steps(2))
        except Died:
            deaths += 1
            assert deaths < 100
            # The second only when all is there, and the first then never again.
            assert place.startable() == []
    assert moved.resumed
    assert deaths > 15
    assert place.startable() == [second]
    assert (asked_server(place.url) if out else asked_file(place.path)) == before


@pytest.mark.parametrize("out", [True, False], ids=["out", "back"])
def test_it_is_given_up_from_any_step(filled, tmp_path, out):
    before = asked_file(filled.path)
    if not out:
        filled.move()
    place = Place(filled.path if out else tmp_path / "back", filled.url)
    first = "file" if out else "server"
    for die_at in (2, 3, 9):
        with pytest.raises(Died):
            place.move(out, Steps(die_at))
        assert place.startable() == []
        with suppress(Died):
            place.give_up(out, Steps(2))
        with suppress(Unusable):
            place.give_up(out)
        assert place.startable() == [first]
        assert (asked_file(place.path) if out else asked_server(place.url)) == before
    with pytest.raises(Unusable, match=r"no move .* is under way"):
        place.give_up(out)
    place.move(out)
    with pytest.raises(Unusable, match="was moved to"):
        place.give_up(out)
    with pytest.raises(Unusable, match="was moved to"):
        place.move(out)


def test_what_is_not_the_same_is_not_ended(filled):
    def spoil(statement):
        with psycopg.connect(filled.url) as database:
            database.execute(statement)

    for statement, words in [
        ("UPDATE payload SET body = '{\"n\": 1}' WHERE body = '{\"n\":1}'", "payload has another row"),
        ("DELETE FROM run WHERE accepted = 1", "run has 3 rows in the one and 2"),
        ("UPDATE ended SET progress = 51", "task has another row"),
    ]:
        # It dies before its end, somebody spoils a row, and it goes on.
        with pytest.raises(Died):
            filled.move(ready=died)
        spoil(statement)
        with pytest.raises(Different, match=words):
            filled.move()
        assert filled.startable() == []
        filled.give_up()
        assert filled.startable() == ["file"]


def died():
    raise Died


def test_a_target_that_is_not_empty_is_left_alone(filled, tmp_path):
    with closing(filled.open_server()) as store:
        store.commit(plan(settings=[("algorithm", '"random"')]))
    before = asked_server(filled.url)
    with pytest.raises(Unusable, match=r"not empty .there are rows in setting"):
        filled.move()
    assert asked_server(filled.url) == before
    assert starts(filled.open_file)
    with pytest.raises(Unusable, match="there is a database in it"):
        filled.move(out=False)
    with psycopg.connect(filled.url) as database:
        assert database.execute("SELECT count(*) FROM yard WHERE name = 'move'").fetchone() == (0,)


def test_a_yard_in_use_is_left_alone(filled, tmp_path):
    with closing(filled.open_file()), pytest.raises(InUse, match="another process uses it"):
        filled.move()
    with closing(filled.open_server()) as store:
        store.recover(1)
        with pytest.raises(InUse, match="a node runs on it"):
            filled.move()
        fill(store)
        with pytest.raises(InUse, match="a node runs on it"):
            Place(tmp_path / "other", filled.url).move(out=False)
        # It did no harm to the node.
        store.commit(plan(settings=[("algorithm", '"weighted"')]))
    assert filled.startable() == ["file", "server"]


def test_what_waits_for_a_decider_is_not_left_behind(filled, tmp_path):
    filled.move()
    with psycopg.connect(filled.url) as database:
        database.execute("INSERT INTO inbox VALUES ('n', 1, 'submission', 't', 0, '{}')")
    with pytest.raises(Unusable, match="1 things that nodes took in wait for a decider"):
        Place(tmp_path / "back", filled.url).move(out=False)
    assert filled.startable() == ["server"]


def test_two_moves_do_not_mix(filled, tmp_path, server):
    with pytest.raises(Died):
        filled.move(ready=died)
    other = Place(tmp_path / "other", filled.url)
    with closing(other.open_file()) as store:
        fill(store)
    with pytest.raises(Unusable, match="another move into it was begun, from sqlite://"):
        other.move()
    with psycopg.connect(filled.url) as database:
        database.execute("CREATE SCHEMA beside")
    for url in (server.url(server.database()), filled.url + "?options=-csearch_path%3Dbeside"):
        elsewhere = Place(filled.path, url)
        with pytest.raises(Unusable, match=r"a move of it to postgresql://.* was begun"):
            elsewhere.move()
        with pytest.raises(Unusable, match=r"a move of it to postgresql://.* was begun"):
            elsewhere.give_up()
    filled.move()
    assert filled.startable() == ["server"]


def test_another_key_is_refused(filled):
    with closing(PostgresStore(filled.url, ("another",))):
        pass
    with pytest.raises(StoreError, match="another TASKYARD_SECRET_KEY"):
        filled.move()
    assert starts(filled.open_file)


def test_batches_are_bounded_by_rows_and_by_characters():
    small = list(_batches([(n, "x") for n in range(12_000)]))
    assert [len(batch) for batch in small] == [5000, 5000, 2000]
    large = list(_batches((n, "x" * 1_000_000) for n in range(10)))
    assert [len(batch) for batch in large] == [3, 3, 3, 1]
    assert [row for batch in large for row in batch] == [(n, "x" * 1_000_000) for n in range(10)]
