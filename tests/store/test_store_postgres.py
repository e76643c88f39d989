"""What only the store on PostgreSQL has: lease and epoch, connections that break, days, hot tables kept small."""

import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from datetime import timedelta

import psycopg
import pytest

from taskyard.engine.plan import Lookup, Plan, Writes
from taskyard.prove.processes import Trouble
from taskyard.store.port import BadData, NotDeciding, OutcomeUnknown, StoreError, TaskQuery
from taskyard.store.postgres import lease, sizes
from taskyard.store.postgres import store as store_module
from taskyard.store.postgres.days import DAY_MS, day_of
from taskyard.store.postgres.holder import is_dead, new_holder
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, ended, ended_task, new_task, plan, queue_row, queued, running, stat_row, tid
from tests.support.nodes import ROOT, until
from tests.support.postgres import empty

SETTING = plan(settings=[("a", "b")])


@pytest.fixture
def url(database):
    empty(database)
    return database


@pytest.fixture
def store(url):
    with closing(PostgresStore(url)) as opened:
        yield opened


def ask(url, statement, *values):
    """The rows of a statement of the test's own."""
    with psycopg.connect(url, autocommit=True) as connection:
        cursor = connection.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def settings(store):
    return store.recover(1).settings


# --- one decides -----------------------------------------------------------------------------------------------------


@pytest.fixture
def short_lease(monkeypatch):
    monkeypatch.setattr(lease, "LASTS_MS", 1_500)
    monkeypatch.setattr(lease, "_TELL_S", 0.05)


@pytest.fixture
def long_lease(monkeypatch):
    """Nobody waits for the end of such a one by chance, however slow the machine."""
    monkeypatch.setattr(lease, "LASTS_MS", 120_000)


def stop_telling(store):
    """The decider is frozen: it tells nobody that it lives."""
    store._lease.stop()


@pytest.mark.usefixtures("short_lease")
def test_a_second_one_waits_while_the_first_lives(url):
    with closing(PostgresStore(url)) as first, closing(PostgresStore(url)) as second:
        queued(first, 1)
        told = lives(url)
        until(lambda: lives(url) > told + timedelta(milliseconds=1.5 * lease.LASTS_MS))
        for _ in range(3):
            with pytest.raises(NotDeciding):
                second.recover(1)
        with pytest.raises(OutcomeUnknown, match="another node decides"):
            second.commit(SETTING)
        assert second.sweep(2 * T0, 2 * T0, 9) == 0
        # It reads what there is.
        assert second.task(tid(1), None) == first.task(tid(1), None)
        first.commit(SETTING)
        assert settings(first) == {"a": "b"}


@pytest.mark.usefixtures("short_lease")
def test_measuring_the_database_keeps_no_beat_waiting(url, monkeypatch):
    """Its size waits for the lock of a table; the lease is told to live meanwhile."""
    monkeypatch.setattr(sizes, "EVERY_S", 0.01)

    def measuring():
        return ask(
            url,
            "SELECT a.pid, a.query_start FROM pg_stat_activity AS a JOIN pg_locks AS l ON l.pid = a.pid "
            "WHERE NOT l.granted AND a.query ~ 'pg_total_relation_size'",
        )

    with closing(PostgresStore(url)), psycopg.connect(url) as blocking:
        blocking.execute("LOCK TABLE audit IN ACCESS EXCLUSIVE MODE")

        def told_meanwhile():
            waiting, told = measuring(), lives(url)
            if not waiting:
                return False
            with suppress(Trouble):
                until(lambda: lives(url) > told, 3)
            return lives(url) > told and measuring() == waiting

        until(told_meanwhile, what="nobody tells of the lease while the size is measured")


def lives(url):
    ((until_when,),) = ask(url, "SELECT expires_at FROM lease_beat")
    return until_when


@pytest.mark.usefixtures("long_lease")
def test_whoever_stops_hands_over_at_once(url):
    first = PostgresStore(url)
    with closing(PostgresStore(url)) as second:
        first.commit(SETTING)
        first.close()
        began = time.monotonic()
        assert settings(second) == {"a": "b"}
        second.commit(SETTING)
        assert time.monotonic() - began < lease.LASTS_MS / 1000


@pytest.mark.usefixtures("short_lease")
def test_one_that_says_nothing_is_followed_when_its_lease_has_expired(url):
    with closing(PostgresStore(url)) as first, closing(PostgresStore(url)) as second:
        with pytest.raises(NotDeciding):
            second.recover(1)
        stop_telling(first)
        until(lambda: decides(second))
        second.commit(SETTING)


def decides(store):
    try:
        store.recover(1)
    except NotDeciding:
        return False
    return True


@pytest.mark.usefixtures("long_lease")
def test_one_that_died_on_this_machine_is_not_waited_for(url):
    """A real process that was killed; while it lives it is believed to."""
    program = (
        "import sys; from taskyard.store.postgres import lease\n"
        "from taskyard.store.postgres.store import PostgresStore\n"
        f"lease.LASTS_MS = {lease.LASTS_MS}\n"
        "store = PostgresStore(sys.argv[1])\nprint(flush=True)\ninput()"
    )
    child = subprocess.Popen([sys.executable, "-c", program, url], stdin=-1, stdout=-1, cwd=ROOT)
    try:
        child.stdout.readline()
        ((holder,),) = ask(url, "SELECT node FROM lease")
        assert str(child.pid) in holder
        assert not is_dead(holder)
    finally:
        child.kill()
        child.communicate()
    assert is_dead(holder)
    began = time.monotonic()
    PostgresStore(url).close()
    assert time.monotonic() - began < lease.LASTS_MS / 1000 - 1


@pytest.mark.parametrize("holder", ["", "x", "::::", "host:1:space:5:ab", "a:b:c:d:e:f"])
def test_whoever_cannot_be_known_is_not_taken_for_dead(holder):
    assert not is_dead(holder)


def test_a_number_that_another_process_got_is_a_death():
    host, number, space, began, token = new_holder().split(":")
    assert not is_dead(f"{host}:{number}:{space}:{began}:{token}")
    assert is_dead(f"{host}:{number}:{space}:{int(began) + 1}:{token}")
    assert not is_dead(f"{host}:{number}:elsewhere:{int(began) + 1}:{token}")


@pytest.mark.usefixtures("short_lease")
def test_the_turn_of_an_older_epoch_fails_and_leaves_nothing(url):
    with closing(PostgresStore(url)) as first:
        stop_telling(first)
        with closing(PostgresStore(url)) as second:
            until(lambda: decides(second))
            for call in (lambda: first.commit(SETTING), lambda: first.sweep(0, 0, 1)):
                with pytest.raises(OutcomeUnknown, match="another node decides"):
                    call()
            assert not decides(first)
            assert settings(second) == {}
            second.commit(plan(settings=[("who", "second")]))
        # The second one has stopped: the first may decide again.
        assert settings(first) == {"who": "second"}
        first.commit(SETTING)


def test_a_recovery_fences_the_turns_of_before(store):
    before = store._lease.epoch
    store.recover(1)
    present = store._lease.epoch
    assert present > before
    store._lease.epoch = before
    with pytest.raises(OutcomeUnknown, match="another node decides"):
        store.commit(SETTING)
    store._lease.epoch = present
    store.commit(SETTING)


def test_a_turn_that_is_stuck_is_ended_by_the_recovery(store, url):
    store.commit(SETTING)
    with psycopg.connect(url) as stuck:
        stuck.execute("SELECT prove_epoch(%s)", (store._lease.epoch,))
        stuck.execute("UPDATE setting SET value = 'late'")
        assert settings(store) == {"a": "b"}
        with pytest.raises(psycopg.OperationalError):
            stuck.commit()
    assert settings(store) == {"a": "b"}


def test_no_default_of_the_server_makes_a_turn_less_durable(store, url):
    with psycopg.connect(url) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.commit()
        connection.execute("SELECT prove_epoch(%s)", (store._lease.epoch,))
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("on",)
        connection.commit()
        assert connection.execute("SHOW synchronous_commit").fetchone() == ("off",)


# --- connections break -----------------------------------------------------------------------------------------------


def break_connections(url):
    ask(url, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
             "AND pid <> pg_backend_pid()")  # fmt: skip


def test_a_connection_that_was_cut_off_fails_one_turn_and_recovers(store, url):
    queued(store, 1)
    assert store.task(tid(1), None) is not None
    break_connections(url)
    with pytest.raises(OutcomeUnknown):
        queued(store, 2)
    with pytest.raises(OutcomeUnknown, match="lost"):
        queued(store, 2)
    with pytest.raises(StoreError, match="cannot be written"):
        store.check()
    # Reads do not wait for that: each takes a new connection.
    assert store.task(tid(1), None) is not None
    assert store.tasks(TaskQuery(None)).records != []
    assert store.recover(1).lane_queued == {1: 1}
    queued(store, 2)
    store.check()


@pytest.mark.usefixtures("short_lease")
def test_who_could_not_hand_over_is_followed_all_the_same(url):
    with closing(PostgresStore(url)) as first:
        first.commit(SETTING)
        break_connections(url)
        with pytest.raises(OutcomeUnknown):
            first.hand_over()
        with closing(PostgresStore(url)) as second:
            until(lambda: decides(second))
            assert settings(second) == {"a": "b"}


def test_a_connection_that_was_cut_off_fails_a_lookup_as_well(store, url):
    break_connections(url)
    with pytest.raises(StoreError):
        store.sweep(0, 0, 1)
    with pytest.raises(StoreError, match="lost"):
        store.lookup(Lookup(tasks=[tid(1)]))
    store.recover(1)
    assert store.lookup(Lookup(tasks=[tid(1)])).tasks == {}


def test_a_server_that_crashed_has_all_that_was_answered(server, url):
    with closing(PostgresStore(url)) as store:
        committed = []

        def work():
            with suppress(StoreError):
                for number in range(10_000):
                    queued(store, number)
                    committed.append(number)

        thread = threading.Thread(target=work)
        thread.start()
        until(lambda: len(committed) > 50)
        server.crash()
        thread.join()
        with pytest.raises(StoreError, match="cannot be reached"):
            store.recover(1)
        with pytest.raises(StoreError):
            store.task(tid(1), None)
        server.start()
        (count,) = store.recover(1).lane_queued.values()
        assert count in (len(committed), len(committed) + 1)
        assert all(store.task(tid(number), None) is not None for number in committed)


def test_a_server_that_says_nothing_is_given_up_in_time(server, url, monkeypatch):
    monkeypatch.setattr(store_module, "_LIMIT_S", 0.5)
    monkeypatch.setattr("taskyard.store.postgres.readers.LIMIT_S", 0.5)
    with closing(PostgresStore(url)) as store:
        queued(store, 1)
        assert store.task(tid(1), None) is not None
        with frozen(server):
            for call in (lambda: queued(store, 2), lambda: store.task(tid(1), None)):
                with pytest.raises(StoreError):
                    call()
        # The turn that was cut off is stored whole or not at all, but not later.
        waiting = store.recover(1).lane_queued[1]
        assert (store.task(tid(2), None) is not None) == (waiting == 2)
        queued(store, 3)
        assert store.recover(1).lane_queued[1] == waiting + 1


@contextmanager
def frozen(server):
    server.freeze()
    try:
        yield
    finally:
        server.thaw()


def test_text_with_a_nul_is_refused_and_not_cut_off(store):
    queued(store, 1)
    for call in (
        lambda: store.task(tid(1) + "\0x", None),
        lambda: store.tasks(TaskQuery(None, q=tid(1) + "\0x")),
        lambda: store.commit(plan(settings=[("a\0b", "c")])),
        lambda: store.commit(plan(tags=[("a\0b", tid(1)), ("b", tid(1))])),
        lambda: store.commit(plan(tasks=[new_task(2, metadata="x\0"), new_task(3)])),
    ):
        with pytest.raises(BadData):
            call()
    assert store.task(tid(2), None) is None


# --- days ------------------------------------------------------------------------------------------------------------


def days(url):
    return {start for (start,) in ask(url, "SELECT start FROM day")}


def test_the_days_of_a_plan_are_made_with_it(store, url):
    midnight = day_of(T0) + 400 * DAY_MS
    number = midnight - T0
    store.commit(plan(tasks=[new_task(number - 1), new_task(number)]))
    assert {midnight - DAY_MS, midnight} <= days(url)
    assert store.task(tid(number), None).task.created_at == midnight
    # A plan that fails takes its days with it, and they are made again.
    later = number + 10 * DAY_MS
    with pytest.raises(BadData):
        store.commit(plan(tasks=[new_task(later), new_task(later)]))
    assert midnight + 10 * DAY_MS not in days(url)
    store.commit(plan(tasks=[new_task(later)]))
    assert midnight + 10 * DAY_MS in days(url)


@pytest.mark.parametrize("task_id", ["", "task_", "task_zz", "x" * 40, "\ud800"])
def test_an_id_that_holds_no_time_is_refused(store, task_id):
    with pytest.raises(BadData):
        store.commit(plan(tasks=[new_task(1)._replace(id=task_id)]))


def test_the_sweep_makes_the_next_days(store, url):
    store.sweep(0, 0, 1)
    now = time.time_ns() // 1_000_000
    assert {day_of(now), day_of(now) + DAY_MS} <= days(url)


def keep_up(store, before=0, most=9):
    """A sweep with all of the upkeep, which else comes once in a minute."""
    store.recover(1)
    store.sweep(before, 0, most)


def counted(url, day):
    """Wait until the server has counted the rows of a day's tasks."""
    ((name,),) = ask(url, "SELECT partition_of('task', %s)", day)
    until(lambda: ask(url, "SELECT pg_stat_get_live_tuples(%s::regclass)", name) == [(0,)], what="it is not counted")


def test_a_day_is_dropped_when_nothing_of_it_is_left(store, url):
    old = 500 * DAY_MS + DAY_MS // 2
    first, second, day = old - T0, old + 1 - T0, day_of(old)
    store.commit(
        plan(
            tasks=[new_task(first), new_task(second)],
            payloads=[(tid(first), "{}")],
            ended=[ended_task(first, completed_at=old + 5), ended_task(second, completed_at=old + 6)],
        )
    )
    keep_up(store, before=old + 9, most=1)
    keep_up(store)
    assert store.task(tid(second), None) is not None
    keep_up(store, before=old + 9)
    counted(url, day)
    with psycopg.connect(url) as reader:
        reader.execute("SELECT count(*) FROM task")
        keep_up(store)
        assert day in days(url)  # somebody reads from it
    keep_up(store)
    assert day not in days(url)
    assert store.task(tid(second), None) is None
    store.commit(plan(tasks=[new_task(first)]))
    assert store.task(tid(first), None) is not None
    # The server's count is not believed alone.
    counts = "SELECT pg_stat_reset_single_table_counters(partition_of('task', %s)::regclass)"
    ask(url, counts, day)
    counted(url, day)
    keep_up(store)
    assert store.task(tid(first), None) is not None


def test_the_day_before_today_is_kept_for_what_comes_late(store, url):
    ((now,),) = ask(url, "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint")
    yesterday = day_of(now) - DAY_MS
    for day in (yesterday - DAY_MS, yesterday):
        ask(url, "SELECT make_day(%s)", day)
    counted(url, yesterday - DAY_MS)
    counted(url, yesterday)
    for _ in range(3):
        keep_up(store)
    assert {day - yesterday for day in days(url)} >= {0, DAY_MS, 2 * DAY_MS}
    assert yesterday - DAY_MS not in days(url)


# --- hot tables ------------------------------------------------------------------------------------------------------


def size(url, table):
    ((taken,),) = ask(url, "SELECT pg_table_size(%s::regclass)", table)
    return taken


def swell(store, url):
    """Let so many tasks come and go that dead rows fill some MiB, while a snapshot keeps them all."""
    batch = 1000
    for first in range(10, 100_000, batch):
        if size(url, "queue") > 20 << 20:
            return
        numbers = range(first, first + batch)
        store.commit(plan(queued=[queue_row(number, last_server="s" * 1500) for number in numbers]))
        store.commit(plan(unqueued=[(tid(number),) for number in numbers], stats=[stat_row(created=1)]))
    raise AssertionError("it did not swell")


@contextmanager
def snapshot(url, table="server"):
    with psycopg.connect(url) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.execute(f"SELECT count(*) FROM {table}")
        yield


def test_dead_rows_do_not_pile_up_beside_an_old_snapshot(store, url):
    queued(store, 1, 2)
    with snapshot(url):
        swell(store, url)
        until(lambda: live_rows(url) < 100, what="the server did not count its rows")
        with snapshot(url, "queue"):
            store.sweep(0, 0, 1)
            assert size(url, "queue") > 16 << 20  # somebody reads it
        store.recover(1)
        store.sweep(0, 0, 1)
        assert size(url, "queue") < 1 << 20
        assert store.recover(1).lane_queued == {1: 2}
        assert store.task(tid(1), None).queue == queue_row(1)
        queued(store, 3)
        assert store.recover(1).lane_queued == {1: 3}


def live_rows(url):
    ((rows,),) = ask(url, "SELECT pg_stat_get_live_tuples('queue'::regclass)")
    return rows


def test_counters_are_rolled_up_and_counted_once(store, url):
    for number in range(3):
        store.commit(plan(stats=[stat_row(created=1, last_at=T0 + number), stat_row(scope="type", key="x", created=2)]))
    before = store.stats(0, 9, "yard"), store.stats_total("type", "x")
    store.sweep(0, 0, 1)
    assert ask(url, "SELECT count(*) FROM stats_part") == [(0,)]
    assert (store.stats(0, 9, "yard"), store.stats_total("type", "x")) == before
    assert before[0] == [stat_row(created=3, last_at=T0 + 2)]
    store.commit(plan(stats=[stat_row(created=5)]))
    store.recover(1)
    store.sweep(0, 0, 1)
    store.sweep(0, 0, 1)
    assert store.stats_total("yard", "").created == 8


def test_the_sweep_goes_on_where_it_was_and_starts_over_after_a_recovery(store):
    ended(store, 1, 2, completed_at=T0 + 50)
    assert store.sweep(T0 + 100, 0, 1) == 1
    assert store.sweep(T0 + 100, 0, 9) == 1
    ended(store, 3, completed_at=T0 + 10)  # late
    store.recover(1)
    assert store.sweep(T0 + 100, 0, 9) == 1
    assert store.task(tid(3), None) is None


def test_a_large_plan_goes_out_while_answers_come_in(store):
    """Both sides' buffers are full before all is sent: neither may wait for the other."""
    body = '"' + 'x\\\\\\"ü' * 60_000 + '"'
    running(store, *range(20))
    writes = Writes(tasks=[new_task(n) for n in range(20, 40)], payloads=[(tid(n), body) for n in range(20, 40)])
    found = store.commit(Plan(T0, writes, payloads=[tid(n) for n in range(20, 40)] * 2)).payloads
    assert found == {tid(n): body for n in range(20, 40)}
