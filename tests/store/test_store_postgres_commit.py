"""A transaction whose every statement was carried out, and that ends badly all the same: it was not committed.

Only the answer to the Sync tells how it ended. Triggers that wait for the commit stand for what happens there.
"""

from contextlib import closing, contextmanager

import psycopg
import pytest

from taskyard.engine.plan import Writes
from taskyard.store.nodes import Line
from taskyard.store.port import OutcomeUnknown, StoreError
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import new_task, plan, queued, tid
from tests.support.pooler import pooler

ENDS = {
    "conflict": "RAISE EXCEPTION 'another transaction was first' USING ERRCODE = 'serialization_failure'",
    "full": "RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'",
    "gone": "PERFORM pg_terminate_backend(pg_backend_pid()), pg_sleep(60)",
}
SPOILED = ("queue", "inbox")


@pytest.fixture
def url(server):
    return server.url(server.database())


@contextmanager
def way(server, url, pooled):
    """The URL by which the stores reach the database."""
    if not pooled:
        yield url
        return
    with pooler(server) as port:
        yield url.replace(f":{server.port}/", f":{port}/")


def spoil(url, how):
    """From now on no commit succeeds that has put something into these tables."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {ENDS[how]}; RETURN NULL; END $$"
        )
        for table in SPOILED:
            connection.execute(
                f"CREATE CONSTRAINT TRIGGER spoil AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED "
                "FOR EACH ROW EXECUTE FUNCTION spoil()"
            )


def let_be(url):
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP FUNCTION spoil CASCADE")


@pytest.mark.parametrize(("how", "pooled"), [*((how, False) for how in ENDS), ("gone", True)])
def test_what_could_not_be_committed_is_never_taken_for_stored(server, url, how, pooled):
    with (
        way(server, url, pooled) as found,
        closing(PostgresStore(found)) as decider,
        closing(PostgresStore(found)) as other,
    ):
        decider.recover(1)
        writes = Writes(tasks=[new_task(2)], payloads=[(tid(2), "{}")])
        lines = [Line(other.nodes.id, 1, "Submitted", tid(2), 0, "{}")]
        spoil(url, how)
        with pytest.raises(OutcomeUnknown):
            queued(decider, 1)
        with pytest.raises(StoreError):
            other.nodes.take_in(writes, lines)
        let_be(url)
        snapshot = decider.recover(1)
        assert snapshot.lane_queued == {}
        assert decider.nodes.writers() == []
        assert [decider.task(tid(number), None) for number in (1, 2)] == [None, None]
        # And both go on.
        queued(decider, 1)
        other.nodes.take_in(writes, lines)
        assert decider.recover(1).lane_queued == {1: 1}
        assert decider.nodes.writers() == [other.nodes.id]
        decider.commit(plan(settings=[("a", "b")]))
