"""The opening of a database: what is refused, untouched, and why; who may come first; a pooler in between."""

import threading
from contextlib import closing, suppress

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from taskyard.store.port import NotDeciding, StoreError, TaskQuery, Unusable
from taskyard.store.postgres import schema
from taskyard.store.postgres.days import day_of
from taskyard.store.postgres.queries import load_migrations
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import fresh as fresh_row
from tests.store.making import new_task, queue_row, queued, tid
from tests.store.test_store_model import PLANS, run
from tests.support.nodes import free_port, until
from tests.support.pooler import pooler
from tests.support.postgres import empty


@pytest.fixture
def fresh(server):
    """The URL of a new database."""
    return server.url(server.database())


def tables(url):
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')")}


def refused(url, match, *fingerprints):
    before = tables(url)
    with pytest.raises(Unusable, match=match):
        PostgresStore(url, fingerprints)
    assert tables(url) == before


def test_a_database_of_another_application_is_left_alone(fresh):
    with psycopg.connect(fresh) as connection:
        connection.execute("CREATE TABLE task (mine text)")
    refused(fresh, "schema public has tables of another application")


def test_a_schema_beside_another_application_will_do(fresh):
    with psycopg.connect(fresh) as connection:
        connection.execute("CREATE TABLE task (mine text)")
        connection.execute("CREATE SCHEMA own")
    url = fresh + "?options=-csearch_path%3Down"
    with closing(PostgresStore(url)) as store:
        queued(store, 1)
    # Two yards in one database are strangers to each other.
    with psycopg.connect(fresh) as connection:
        connection.execute("CREATE SCHEMA other")
    with closing(PostgresStore(url)) as store, closing(PostgresStore(url.replace("own", "other"))) as other:
        assert (store.recover(1).lane_queued, other.recover(1).lane_queued) == ({1: 1}, {})
        queued(store, 2)
        queued(other, 2)


def test_a_newer_schema_is_left_alone(fresh):
    PostgresStore(fresh).close()
    with psycopg.connect(fresh) as connection:
        connection.execute("UPDATE yard SET value = '1000' WHERE name = 'schema'")
    refused(fresh, "newer taskyard")


def version(url):
    with psycopg.connect(url) as connection:
        return connection.execute("SELECT value FROM yard WHERE name = 'schema'").fetchone()


@pytest.fixture
def first_version(fresh):
    """A database as the first version left it, with a task that waits."""
    (number, statements), *_ = load_migrations()
    task, row = new_task(1), queue_row(1)
    with psycopg.connect(fresh) as connection:
        connection.execute(statements)
        connection.execute("INSERT INTO yard VALUES ('schema', %s)", (str(number),))
        connection.execute("SELECT make_day(%s)", (day_of(task.created_at),))
        for table, values in (("task", task), ("queue", row)):
            names, places = ", ".join(values._fields), ", ".join(["%s"] * len(values))
            connection.execute(f"INSERT INTO {table} ({names}) VALUES ({places})", values)
    return fresh


def test_a_database_of_an_earlier_version_is_brought_up_to_date_with_its_tasks(first_version):
    with closing(PostgresStore(first_version)) as store:
        assert store.recover(1).lane_queued == {1: 1}
        record = store.task(tid(1), None)
        assert (record.queue, record.task) == (queue_row(1), fresh_row(new_task(1)))
        queued(store, 2)
    assert version(first_version) == (str(load_migrations()[-1][0]),)


def test_a_step_that_fails_leaves_the_database_as_it_was(first_version, monkeypatch):
    steps = [*load_migrations(), (1000, b"CREATE TABLE later (a text); SELECT 1 / 0;")]
    monkeypatch.setattr(schema, "load_migrations", lambda: steps)
    refused(first_version, "division by zero")
    assert version(first_version) == ("1",)
    monkeypatch.undo()
    PostgresStore(first_version).close()


def test_another_secret_key_is_refused_and_a_rotated_one_is_not(fresh):
    PostgresStore(fresh, ("first",)).close()
    refused(fresh, "another TASKYARD_SECRET_KEY", "second")
    PostgresStore(fresh, ("second", "first")).close()
    PostgresStore(fresh, ("second",)).close()
    refused(fresh, "another TASKYARD_SECRET_KEY", "first")


@pytest.mark.parametrize(
    ("options", "match"),
    [("ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0", "encoding SQL_ASCII")],
)
def test_a_database_that_would_spoil_text_is_refused(server, options, match):
    server.execute(f"CREATE DATABASE odd {options}")
    refused(server.url("odd"), match)


def test_a_user_without_a_schema_is_told_so(fresh):
    refused(fresh + "?options=-csearch_path%3Dnowhere", "leads to no schema")


def test_a_server_that_loses_what_it_wrote_is_refused(server, fresh):
    server.execute("ALTER SYSTEM SET fsync = off")
    try:
        server.execute("SELECT pg_reload_conf()")
        until(lambda: server.execute("SHOW fsync") == [("off",)])
        refused(fresh, "fsync = off")
    finally:
        server.execute("ALTER SYSTEM RESET fsync")
        server.execute("SELECT pg_reload_conf()")
    until(lambda: server.execute("SHOW fsync") == [("on",)])


def test_a_default_under_which_no_turn_sees_the_latest_is_refused(fresh):
    name = fresh.rpartition("/")[2]
    with psycopg.connect(fresh, autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'")
        refused(fresh, "isolated by repeatable read")
        connection.execute(f"ALTER DATABASE {name} RESET default_transaction_isolation")
    PostgresStore(fresh).close()


def test_nobody_there_is_said_in_one_line_without_the_password():
    with pytest.raises(StoreError, match="cannot be reached") as refusal:
        PostgresStore(f"postgresql://ann:hunter2@127.0.0.1:{free_port()}/yard")
    assert "hunter2" not in str(refusal.value)
    assert "127.0.0.1" not in str(refusal.value)  # clients of the API read this too
    assert "\n" not in str(refusal.value)


def test_an_url_that_is_none_is_a_store_error():
    with pytest.raises(StoreError):
        PostgresStore("postgresql://[")


def test_many_that_start_at_once_make_the_schema_once(fresh):
    wrong = []

    def start():
        try:
            schema.prepare(fresh, ("key",))
        except StoreError as error:
            wrong.append(error)

    threads = [threading.Thread(target=start) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    PostgresStore(fresh, ("key",)).close()


def test_one_of_many_decides(fresh):
    schema.prepare(fresh, ())
    opened, deciding = [], []

    def start():
        store = PostgresStore(fresh)
        opened.append(store)
        with suppress(NotDeciding):
            store.recover(1)
            deciding.append(store)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in opened:
        store.close()
    assert (len(opened), len(deciding)) == (4, 1)


# --- a pooler that gives each transaction another connection ---------------------------------------------------------


@pytest.fixture(scope="module")
def pooled(server, database):
    with pooler(server) as port:
        yield database.replace(f":{server.port}/", f":{port}/")


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plans=st.lists(PLANS, min_size=3, max_size=6))
def test_random_plans_through_a_pooler(database, pooled, plans):
    empty(database)
    run(lambda: PostgresStore(pooled), plans)


def test_many_readers_through_a_pooler(database, pooled):
    """More connections than the pooler has: each transaction waits its turn, and finds nothing of another's."""
    empty(database)
    wrong = []
    with closing(PostgresStore(pooled)) as store:
        queued(store, 1)

        def read():
            for _ in range(20):
                if store.task(tid(1), None) is None or not store.tasks(TaskQuery(None, q="o")).records:
                    wrong.append("a read found nothing")

        readers = [threading.Thread(target=read) for _ in range(6)]
        for reader in readers:
            reader.start()
        for number in range(2, 60):
            queued(store, number)
            store.sweep(0, 0, 1)
        for reader in readers:
            reader.join()
        assert store.recover(100).lane_queued == {1: 59}
    assert wrong == []
