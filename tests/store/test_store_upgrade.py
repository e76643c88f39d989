"""Databases of all earlier versions, with live tasks, brought up to date; and the steps themselves, all or nothing.

`versions/<number>.sql` are dumps as those versions wrote them (see `versions/make.py`).
"""

import json
import sqlite3
from pathlib import Path

import pytest

from taskyard.domain.outcomes import Word
from taskyard.settings import Secret
from taskyard.store import schema
from taskyard.store.backup import back_up_stopped
from taskyard.store.check import check
from taskyard.store.directory import DataDirectory
from taskyard.store.port import TaskQuery, Unusable
from taskyard.store.queries import Migration, load_migrations
from taskyard.store.sqlite import SqliteStore
from tests.store.versions.make import FOLDER, SECRET_KEY
from tests.support.backend import Backend
from tests.support.house import House, name_of, play

NEWEST = load_migrations()[-1].number
VERSIONS = sorted(int(path.stem) for path in FOLDER.glob("*.sql"))
ENDS = {"completed": "COMPLETED", "failed": "FAILED", "purged": "COMPLETED", "cancelled": "CANCELLED"}


def built(data: Path, version: int) -> Path:
    """A data directory with the database of a dump."""
    data.mkdir(mode=0o700)
    file = data / "taskyard.db"
    file.touch(mode=0o600)
    database = sqlite3.connect(file)
    database.execute("PRAGMA journal_mode = WAL")
    database.executescript((FOLDER / f"{version}.sql").read_text("utf-8"))
    database.close()
    return data


def version_of(data: Path) -> int:
    database = sqlite3.connect(data / "taskyard.db")
    (found,) = database.execute("PRAGMA user_version").fetchone()
    database.close()
    return int(found)


def test_each_version_has_its_dump() -> None:
    wanted = [migration.number for migration in load_migrations()]
    assert wanted == VERSIONS, "a new version's is made by python -m tests.store.versions.make, and committed with it"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_yard_of_a_version_lives_on(tmp_path: Path, version: int) -> None:
    """All that its clients were told holds: what ended stays, what waits runs in order, what runs is called back."""
    callback = (FOLDER / f"{version}.sql").read_text("utf-8").splitlines()[0].removeprefix("-- ")

    async def scene(house: House, backend: Backend) -> None:
        node = house.node
        records = (await node.read(lambda store: store.tasks(TaskQuery(None)))).records
        tasks = {json.loads(record.task.tags or "[]")[-1]: record for record in records}
        assert (len(records), node.memory.queued, node.memory.processing) == (10, 4, 2)
        assert node.algorithm == "least-connections"
        for tag, status in ENDS.items():
            assert name_of(tasks["größe" if tag == "completed" else tag]) == status
        assert await house.result(tasks["größe"].task.id) == '"done"'
        assert tasks["größe"].task.metadata == '{"m":1}'
        failed = tasks["failed"].task
        assert (await house.outcomes(failed.id), failed.failures) == ([("failed", 1), ("failed", 1)], 2)
        beaten = tasks["beaten"].run
        assert beaten is not None
        assert (beaten.progress, beaten.message) == (40, "half")
        # What runs: its server's word is believed, since the proof that it was given then holds.
        running = tasks["running"].task.id
        await house.call_back(callback, Word.COMPLETED, result='"late"')
        assert name_of(await house.ended(running)) == "COMPLETED"
        assert await house.result(running) == '"late"'
        # What waits: by priority, then by age; with the payloads of old.
        await house.register(backend, "new", capabilities=("later",), max_concurrent=1)
        for tag in ("w7", "w8", "w9"):
            assert name_of(await house.ended(tasks[tag].task.id)) == "COMPLETED"
        assert [request.json["request"]["payload"]["n"] for request in backend.got()] == [8, 7, 9]
        assert (node.memory.queued, node.memory.processing) == (1, 1)

    data = built(tmp_path / "data", version)
    play(data, scene, secret_key=(Secret(SECRET_KEY),), retention=3_600_000 * 24 * 3650)
    assert version_of(data) == NEWEST
    report = check(data / "taskyard.db", lambda rule: None)
    assert (report.faults, report.recounted) == ([], True)
    assert (report.waiting, report.running, report.ended) == (1, 1, 8)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_upgraded_database_has_the_columns_of_a_new_one_in_their_order(tmp_path: Path, version: int) -> None:
    """Rows are read by the places of their columns."""
    upgraded = built(tmp_path / "upgraded", version)
    for data in (upgraded, tmp_path / "new"):
        SqliteStore(data, ballast=0).close()
    entries = (
        'SELECT s.type, s.name, c.cid, c.name, c.type, c."notnull", c.pk FROM sqlite_schema AS s '
        "LEFT JOIN pragma_table_info(s.name) AS c ORDER BY 1, 2, 3"
    )
    assert rows(upgraded, entries) == rows(tmp_path / "new", entries)


# --- steps that only these tests know --------------------------------------------------------------------------------

GOOD = Migration(
    NEWEST + 1,
    [
        "CREATE TABLE note (task_id TEXT NOT NULL PRIMARY KEY, tag TEXT NOT NULL) STRICT",
        "INSERT INTO note SELECT task_id, min(tag) FROM task_tag GROUP BY task_id",
        "UPDATE task SET metadata = '{}' WHERE metadata IS NULL",
    ],
)
BAD = Migration(NEWEST + 2, ["DELETE FROM queue", "INSERT INTO note VALUES (NULL, '')"])
MENDED = Migration(NEWEST + 2, ["DROP TABLE note"])


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch):
    """Adds steps to those that there are."""
    real = load_migrations()

    def add(*migrations: Migration) -> None:
        monkeypatch.setattr(schema, "load_migrations", lambda: [*real, *migrations])

    return add


def rows(data: Path, statement: str) -> list[tuple]:
    database = sqlite3.connect(data / "taskyard.db")
    try:
        return database.execute(statement).fetchall()
    finally:
        database.close()


def test_a_step_is_carried_out_once_and_tasks_live_on(tmp_path, steps) -> None:
    data = built(tmp_path / "data", NEWEST)
    before = rows(data, "SELECT * FROM queue")
    steps(GOOD)
    for _ in range(2):
        store = SqliteStore(data, ballast=0)
        snapshot = store.recover(100)
        assert (sum(snapshot.lane_queued.values()), len(snapshot.runs)) == (4, 2)
        store.close()
        assert version_of(data) == GOOD.number
    assert rows(data, "SELECT count(*) FROM note") == [(10,)]
    assert rows(data, "SELECT * FROM queue") == before


def test_a_step_that_fails_changes_nothing_and_the_version_before_goes_on(tmp_path, steps) -> None:
    data = built(tmp_path / "data", NEWEST)
    steps(GOOD._replace(statements=[*GOOD.statements, "INSERT INTO note SELECT task_id, tag FROM note"]))
    with pytest.raises(Unusable, match="cannot be opened"):
        SqliteStore(data, ballast=0)
    assert version_of(data) == NEWEST
    assert rows(data, "SELECT name FROM sqlite_schema WHERE name = 'note'") == []
    steps()
    store = SqliteStore(data, ballast=0)
    assert sum(store.recover(100).lane_queued.values()) == 4
    store.close()


def test_steps_that_were_cut_short_go_on_where_they_ended(tmp_path, steps) -> None:
    data = built(tmp_path / "data", NEWEST)
    steps(GOOD, BAD)
    with pytest.raises(Unusable, match="cannot be opened"):
        SqliteStore(data, ballast=0)
    assert version_of(data) == GOOD.number
    assert len(rows(data, "SELECT * FROM queue")) == 4
    steps(GOOD, MENDED)
    SqliteStore(data, ballast=0).close()
    assert version_of(data) == MENDED.number
    assert len(rows(data, "SELECT * FROM queue")) == 4
    steps()
    with pytest.raises(Unusable, match="newer taskyard"):
        SqliteStore(data, ballast=0)


def test_a_backup_before_the_upgrade_is_of_the_version_before(tmp_path, steps, monkeypatch) -> None:
    data = built(tmp_path / "data", NEWEST)
    steps(GOOD)
    directory = DataDirectory(data, create=False)
    back_up_stopped(directory, tmp_path / "backup.db", lambda left, pages: None)
    directory.release()
    database = sqlite3.connect(tmp_path / "backup.db")
    assert database.execute("PRAGMA user_version").fetchone() == (NEWEST,)
    database.close()
    monkeypatch.setattr("taskyard.store.check.load_migrations", schema.load_migrations)
    report = check(tmp_path / "backup.db", lambda rule: None)
    assert (report.faults, report.version, report.recounted) == ([], NEWEST, False)
