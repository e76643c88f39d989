"""kill -9 of a backup or a restore in mid-flight: under the name stands what stood there, or the new one, whole."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from taskyard.store.port import Unusable
from taskyard.store.sqlite import SqliteStore
from tests.store.making import ended, tid
from tests.support.nodes import NodeProcess, environment, until

# Some 15 MB: a copy takes a moment in which it can be met.
OLD, NEW = range(100, 300), range(300, 800)
RESULT = '"' + "x" * 30_000 + '"'
PATIENCE_S = 60.0


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A data folder with one half of the tasks."""
    return _folder(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    """And one with the other."""
    return _folder(tmp_path / "new", NEW)


def _folder(path: Path, numbers: range) -> Path:
    store = SqliteStore(path, ballast=0)
    ended(store, *numbers, result=RESULT)
    store.close()
    return path


def _holds(database: Path, numbers: range) -> bool:
    """Whether a database that nobody has open has these tasks with their results and no others. It must be sound."""
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro&immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        there = connection.execute("SELECT task.id, body FROM task JOIN result ON task_id = task.id").fetchall()
    finally:
        connection.close()
    assert all(body == RESULT for _, body in there)
    return {task for task, _ in there} == {tid(number) for number in numbers}


def _killed(moment: Callable[[], bool], *words: object) -> bool:
    """Run a command and kill it at a moment, or let it end; whether it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "taskyard", *map(str, words)],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        until(lambda: moment() or process.poll() is not None, PATIENCE_S, every_s=0.0002)
    finally:
        process.kill()
        _, said = process.communicate()
    assert process.returncode in (0, -9), said
    return process.returncode == -9


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return -1


def test_a_backup_that_is_killed_leaves_the_old_file_or_the_new_one(old: Path, new: Path, tmp_path: Path) -> None:
    file, partial = tmp_path / "backup.db", tmp_path / "backup.db.partial"
    whole = _size(new / "taskyard.db")
    killed = 0
    shutil.copy(old / "taskyard.db", file)
    for least in (whole // 2, whole):
        killed += _killed(lambda least=least: _size(partial) >= least, "backup", file, "--force", "--data-dir", new)
        if _holds(file, NEW):  # it was whole before the signal came
            shutil.copy(old / "taskyard.db", file)
        else:
            assert _holds(file, OLD)
    assert killed
    assert not _killed(lambda: False, "backup", file, "--force", "--data-dir", new)
    assert _holds(file, NEW)
    assert not partial.exists()


def test_a_restore_that_is_killed_leaves_the_old_data_or_is_carried_to_its_end(
    old: Path, new: Path, tmp_path: Path
) -> None:
    backup, data = tmp_path / "backup.db", tmp_path / "data"
    shutil.copy(new / "taskyard.db", backup)
    restored, partial = data / "taskyard.db.restored", data / "taskyard.db.restored.partial"
    restore = ("restore", backup, "--force", "--data-dir", data)
    whole = _size(backup)
    moments = [lambda: _size(partial) >= whole // 2, lambda: _size(restored) >= whole, lambda: not _database(data)]
    killed = 0
    for moment in moments:
        shutil.rmtree(data, ignore_errors=True)
        shutil.copytree(old, data)
        data.chmod(0o700)
        killed += _killed(moment, *restore)
        if restored.exists():  # what was there may be half moved aside: no start until the restore is at its end
            with pytest.raises(Unusable, match="a restore was cut short: run `taskyard restore` again"):
                SqliteStore(data, ballast=0)
            assert not _killed(lambda: False, *restore)
            assert _holds(data / "taskyard.db", NEW)
        else:
            SqliteStore(data, create=False, ballast=0).close()
            assert any(_holds(data / "taskyard.db", numbers) for numbers in (OLD, NEW))
    assert killed


def _database(data: Path) -> bool:
    return (data / "taskyard.db").exists()


def test_a_node_that_is_killed_in_a_backup_leaves_none_and_makes_the_next(new: Path, tmp_path: Path) -> None:
    node = NodeProcess(new, settings={"RETENTION": "3650d"})
    try:
        node.start()
        with node.client("admin") as client:
            assert client.post("/api/backup").status_code == 200
        until(lambda: _size(next(new.glob("backups/*.partial"), new / "none")) > 0, PATIENCE_S, every_s=0.0002)
        node.kill()
        made = list(new.glob("backups/*.db"))
        assert all(_holds(file, NEW) for file in made)
        node.start()
        with node.client("admin") as client:
            assert client.get(f"/api/task/{tid(NEW[0])}").status_code == 200
            assert client.post("/api/backup").status_code == 200
            until(lambda: client.get("/api/backup").json()["state"] != "running", PATIENCE_S)
            told = client.get("/api/backup").json()
        assert told["state"] == "done"
        assert _holds(Path(told["file"]), NEW)
    finally:
        node.kill()
