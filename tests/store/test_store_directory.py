"""The data directory and the file in it: what is refused, with which words, and that what is refused is untouched."""

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from taskyard.store import schema, sqlite
from taskyard.store.connection import Connection
from taskyard.store.port import Unusable
from taskyard.store.queries import load_migrations
from taskyard.store.schema import APPLICATION
from taskyard.store.sqlite import SqliteStore
from tests.store.making import ended, plan, queued, tid


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def filled(data):
    """A directory whose store was closed in order."""
    store = SqliteStore(data)
    queued(store, *range(1, 200))
    store.close()
    return data


def contents(data):
    return {path.name: path.read_bytes() for path in data.iterdir() if path.name != "lock"}


def refused(data, words, **options):
    """The store is refused in one line; no byte has changed, and nothing came beside it."""
    before = contents(data)
    with pytest.raises(Unusable, match=words) as caught:
        SqliteStore(data, **options)
    assert "\n" not in str(caught.value)
    assert contents(data) == before
    return str(caught.value)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("umask", [0o000, 0o777, 0o022])
def test_directory_and_files_are_for_their_owner_alone(tmp_path, umask):
    if umask == 0o777 and os.geteuid() != 0:
        umask = 0o077
    old = os.umask(umask)
    try:
        store = SqliteStore(tmp_path / "a" if umask == 0o777 else tmp_path / "a" / "b")
        queued(store, 1)
    finally:
        os.umask(old)
    folder = store._directory.path
    assert mode(folder) & 0o077 == 0
    assert {"taskyard.db", "taskyard.db-wal", "lock"} <= {path.name for path in folder.iterdir()}
    assert {mode(path) & 0o177 for path in folder.iterdir()} == {0}
    store.close()


@pytest.mark.parametrize("what", ["", "taskyard.db"])
@pytest.mark.parametrize("bits", [0o040, 0o004, 0o002])
def test_what_others_could_read_is_refused(filled, what, bits):
    path = filled / what
    path.chmod(mode(path) | bits)
    assert "chmod " + ("600" if what else "700") in refused(filled, "other users")
    path.chmod(mode(path) & ~bits)
    SqliteStore(filled).close()


def test_a_second_handle_is_refused_and_the_first_goes_on(data):
    store = SqliteStore(data)
    refused(data, "another process")
    queued(store, 1)
    store.close()
    store = SqliteStore(data)
    assert store.task(tid(1), None) is not None
    store.close()


def test_another_process_is_refused(data):
    store = SqliteStore(data)
    code = "import sys; from taskyard.store.sqlite import SqliteStore; SqliteStore(sys.argv[1])"
    other = subprocess.run([sys.executable, "-c", code, data], capture_output=True, text=True, check=False)
    store.close()
    assert other.returncode == 1
    assert "another process uses it" in other.stderr.splitlines()[-1]


def test_a_refused_start_lets_go_of_the_lock(filled):
    database = filled / "taskyard.db"
    good = database.read_bytes()
    database.write_bytes(b"x" * 5000)
    refused(filled, "no database")
    database.write_bytes(good)
    SqliteStore(filled).close()


def test_without_create_nothing_is_made(data):
    with pytest.raises(Unusable, match="no such directory"):
        SqliteStore(data, create=False)
    assert not data.exists()
    data.mkdir(mode=0o700)
    with pytest.raises(Unusable, match="no such database"):
        SqliteStore(data, create=False)
    assert list(data.iterdir()) == []
    SqliteStore(data).close()
    SqliteStore(data, create=False).close()


def test_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(Unusable, match="it is a file"):
        SqliteStore(tmp_path / "file")
    with pytest.raises(Unusable, match="Not a directory"):
        SqliteStore(tmp_path / "file" / "data")


UNPRIVILEGED = """
import os, sys
from taskyard.store.sqlite import SqliteStore
from taskyard.store.port import Unusable
if os.geteuid() == 0:
    os.setgid(65534); os.setuid(65534)
try:
    SqliteStore(sys.argv[1])
except Unusable as error:
    print(error)
"""


def test_an_unwritable_directory_is_refused_in_one_line():
    """As a user who is not root: root may write everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = Path(folder, "data")
        data.mkdir(mode=0o500)
        if os.geteuid() == 0:
            os.chown(data, 65534, 65534)
        before = list(data.iterdir())
        other = subprocess.run([sys.executable, "-c", UNPRIVILEGED, data], capture_output=True, text=True, check=False)
        assert "this user cannot write to it" in other.stdout, other.stderr
        assert len(other.stdout.splitlines()) == 1
        assert list(data.iterdir()) == before
        data.chmod(0o700)


# --- damage ----------------------------------------------------------------------------------------------------------


def overwrite(path, at, body):
    with path.open("r+b") as file:
        file.seek(at)
        file.write(body)


def test_random_bytes(filled):
    (filled / "taskyard.db").write_bytes(os.urandom(100_000))
    refused(filled, "no database, or a damaged one")


def test_a_file_that_is_no_database(filled):
    (filled / "taskyard.db").write_text("hello, world\n" * 100)
    refused(filled, "no database")
    (filled / "taskyard.db").write_text("short")
    refused(filled, "no database")


@pytest.mark.parametrize("size", [4096, 100, 20_000, 5000])
def test_a_file_that_was_cut_short(filled, size):
    os.truncate(filled / "taskyard.db", size)
    refused(filled, "damaged")


@pytest.mark.parametrize("page", range(1, 30, 4))
def test_a_page_of_random_bytes(filled, page):
    overwrite(filled / "taskyard.db", page * 4096, os.urandom(4096))
    refused(filled, "damaged")


def test_a_damaged_schema(filled):
    overwrite(filled / "taskyard.db", 100, os.urandom(3000))
    refused(filled, "damaged")


def test_a_missing_table(filled):
    with sqlite3.connect(filled / "taskyard.db") as database:
        database.execute("DROP TABLE queue")
    database.close()
    refused(filled, "damaged.*queue")


def test_a_newer_database(filled):
    with sqlite3.connect(filled / "taskyard.db") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    refused(filled, "newer taskyard")


def test_a_newer_database_whose_number_stands_only_in_the_wal(filled, tmp_path):
    """As after a crash: the file itself still says that it is ours."""
    live = sqlite3.connect(filled / "taskyard.db")
    live.execute("PRAGMA user_version = 99")
    copy = tmp_path / "copy"
    shutil.copytree(filled, copy)
    live.close()
    assert (copy / "taskyard.db-wal").stat().st_size > 0
    header = (copy / "taskyard.db").read_bytes()[:100]
    assert int.from_bytes(header[60:64], "big") != 99
    before = {name: body for name, body in contents(copy).items() if not name.endswith("-shm")}
    with pytest.raises(Unusable, match="newer taskyard"):
        SqliteStore(copy)
    after = {name: body for name, body in contents(copy).items() if not name.endswith("-shm")}
    assert after == before


def test_the_database_of_another_application(data):
    data.mkdir(mode=0o700)
    with sqlite3.connect(data / "taskyard.db") as database:
        database.execute("CREATE TABLE t (x)")
    database.close()
    (data / "taskyard.db").chmod(0o600)
    refused(data, "another application")


def test_a_first_start_that_was_cut_short_goes_on(data):
    data.mkdir(mode=0o700)
    database = sqlite3.connect(data / "taskyard.db")
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.close()
    (data / "taskyard.db").chmod(0o600)
    store = SqliteStore(data)
    queued(store, 1)
    store.close()


def cut_off(data, tmp_path, *, foreign):
    """A database with the journal of a change that was cut off: the first page is new, the journal has the old one."""
    data.mkdir(mode=0o700)
    live = sqlite3.connect(tmp_path / "live.db", isolation_level=None)
    live.execute("PRAGMA auto_vacuum = INCREMENTAL")
    live.execute("CREATE TABLE t (x)")
    if not foreign:
        live.execute("DROP TABLE t")
    live.execute("PRAGMA cache_size = 1")
    live.execute("BEGIN")
    live.execute("CREATE TABLE u (x)")
    for number in range(20):
        live.execute("INSERT INTO u VALUES (?)", ("x" * 4000 + str(number),))
    for suffix in ("", "-journal"):
        shutil.copy(tmp_path / ("live.db" + suffix), data / ("taskyard.db" + suffix))
        (data / ("taskyard.db" + suffix)).chmod(0o600)
    live.close()
    assert (data / "taskyard.db-journal").stat().st_size > 0
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        sqlite3.connect(f"file:{data / 'taskyard.db'}?mode=ro", uri=True).execute("SELECT * FROM sqlite_schema")


def test_a_first_start_that_was_cut_off_within_a_change_goes_on(data, tmp_path):
    cut_off(data, tmp_path, foreign=False)
    store = SqliteStore(data)
    queued(store, 1)
    store.close()
    assert {path.name for path in data.iterdir()} == {"taskyard.db", "lock"}


def test_the_cut_off_database_of_another_application(data, tmp_path):
    cut_off(data, tmp_path, foreign=True)
    refused(data, "another application")


def test_a_cut_off_database_that_cannot_be_ours_is_not_even_copied(data, tmp_path, monkeypatch):
    cut_off(data, tmp_path, foreign=False)
    monkeypatch.setattr(schema, "_FULL_CHECK_BYTES", 10_000)
    refused(data, "a journal that is not ours")


def test_the_file_says_whose_it_is_and_how_it_is_kept(filled):
    database = sqlite3.connect(filled / "taskyard.db")
    values = [
        database.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("application_id", "user_version", "journal_mode", "auto_vacuum")
    ]
    database.close()
    assert values == [APPLICATION, load_migrations()[-1].number, "wal", 2]


@pytest.mark.parametrize("steps", range(1, len(load_migrations())))
def test_a_database_of_an_older_version_is_brought_up_to_date(data, steps, monkeypatch):
    whole = load_migrations()
    with monkeypatch.context() as older:
        older.setattr(schema, "load_migrations", lambda: whole[:steps])
        store = SqliteStore(data)
        store._writer._db.execute(
            "INSERT INTO task (id, owner, type, priority, lane, capabilities, group_name, pin, run_async, timeout, "
            "max_retries, backoff_base, backoff_cap, hops, created_at) "
            "VALUES (?, 'ann', 't', 0, 1, '[]', '', '', 1, 1, 0, 0, 0, 0, 5)",
            (tid(1),),
        )
        store.close()
    store = SqliteStore(data)
    assert (store.task(tid(1), "ann").task.created_at, store.task(tid(1), "ann").task.retried) == (5, 0)
    ended(store, 2)
    store.close()


def test_free_pages_go_back_to_the_disk(data):
    store = SqliteStore(data)
    ended(store, *range(1, 300), result="x" * 20_000)
    store._writer.trim_wal()
    before = store.sizes()["database"]
    while store.sweep(2**52, 0, 50):
        pass
    for _ in range(20):
        store.sweep(2**52, 0, 50)
    store._writer.trim_wal()
    assert store.sizes()["database"] < before / 4
    store.close()


def test_the_wal_is_cut_once_no_reader_holds_it(data, monkeypatch):
    monkeypatch.setattr(sqlite, "WAL_MOST_BYTES", 1 << 20)
    store = SqliteStore(data)
    with store._reading() as reader:
        reader.rows("SELECT count(*) FROM task")
        for number in range(1, 64):
            store.commit(plan(settings=[("a", str(number) * 30_000)]))
        assert store.sizes()["wal"] > 1 << 20
        waited = store._trim_at
        assert waited > 0
    store._trim_at = 0
    store.commit(plan(settings=[("a", "last")]))
    assert store.sizes()["wal"] < 1 << 20
    store.close()


def test_a_wal_that_cannot_be_cut_refuses_no_commit(data, monkeypatch):
    """The disk fails while the WAL is cut: what was committed before stays so, and is not done again."""
    pragma = Connection._pragma
    struck = []

    def failing(connection, statement):
        if "TRUNCATE" in statement:
            struck.append(statement)
            raise sqlite3.OperationalError("database or disk is full")
        return pragma(connection, statement)

    monkeypatch.setattr(sqlite, "WAL_MOST_BYTES", 0)
    monkeypatch.setattr(Connection, "_pragma", failing)
    store = SqliteStore(data)
    store.commit(plan(settings=[("a", "1")]))
    assert struck
    assert store.recover(1).settings["a"] == "1"
    store.check()
    store.close()
