"""Backups over HTTP and by the command line, of a node that works and of one that is stopped; restored, checked."""

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from taskyard.store.check import check
from tests.contract.api.yard import SECRET, Backend, Yard, eventually, fresh, refused, token

Make = Callable[..., Yard]


@contextmanager
def held_turn(yard: Yard) -> Iterator[None]:
    """No turn is taken within, nor a step of a backup."""
    lock = yard.running.node._storage.turn

    def call(coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, yard.loop).result(30)

    async def release() -> None:
        lock.release()

    call(lock.acquire())
    try:
        yield
    finally:
        call(release())


def ended(admin: httpx.Client) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found: dict[str, Any] = admin.get("/api/backup").json()
        return found if found["state"] != "running" else None

    return eventually(look, 60)


def tasks_in(file: Path) -> dict[str, int]:
    """Ids and stored status, read from the file alone."""
    database = sqlite3.connect(file.as_uri() + "?mode=ro&immutable=1", uri=True)
    try:
        return dict(database.execute("SELECT id, status FROM task"))
    finally:
        database.close()


# --- over HTTP -------------------------------------------------------------------------------------------------------


def test_a_backup_is_made_shown_and_whole(own_yard: Make, tmp_path: Path) -> None:
    yard = own_yard(backup_dir=str(tmp_path / "elsewhere" / "deep"))
    admin = yard.client("admin")
    refused(admin.get("/api/backup"), 404, "Backup not found")
    refused(admin.delete("/api/backup"), 404, "Backup not found")
    task = admin.post("/api/task", json={"type": "t", "payload": {}, "capabilities": ["none"]}).json()["id"]
    asked = admin.post("/api/backup")
    assert asked.status_code == 200
    done = ended(admin)
    assert done == asked.json() | {"state": "done", "copied": done["size"], "size": done["size"]} | {
        "endedAt": done["endedAt"]
    }
    assert asked.json()["startedAt"] <= done["endedAt"]
    file = Path(done["file"])
    assert file.parent == tmp_path / "elsewhere" / "deep"
    assert (file.parent.stat().st_mode | file.stat().st_mode) & 0o077 == 0
    assert file.stat().st_size == done["size"] > 0
    assert tasks_in(file) == {task: 0}
    assert check(file, lambda rule: None).faults == []
    second = admin.post("/api/backup").json()["file"]
    ended(admin)
    assert sorted(file.parent.iterdir()) == sorted([file, Path(second)])


def test_one_at_a_time_and_it_can_be_stopped(own_yard: Make) -> None:
    yard = own_yard()
    admin = yard.client("admin")
    asked = []
    with held_turn(yard):
        waiting = threading.Thread(target=lambda: asked.append(admin.post("/api/backup")))
        waiting.start()
        other = yard.client("admin")
        eventually(lambda: other.get("/api/backup").status_code == 200)
        assert other.get("/api/backup").json()["state"] == "running"
        refused(other.post("/api/backup"), 503, "under way")
        stopping = threading.Thread(target=lambda: asked.append(other.delete("/api/backup")))
        stopping.start()
        third = yard.client("admin")
        eventually(lambda: yard.running.node.backups._stopping)
        assert third.get("/api/backup").json()["state"] == "running"
    waiting.join()
    stopping.join()
    assert {answer.status_code for answer in asked} == {200}
    stopped = ended(admin)
    assert stopped["state"] == "stopped"
    assert list(Path(stopped["file"]).parent.iterdir()) == []
    # One that has ended stays as it is.
    assert admin.delete("/api/backup").json() == stopped
    admin.post("/api/backup")
    assert ended(admin)["state"] == "done"


def test_a_node_that_stops_takes_its_backup_along(own_yard: Make) -> None:
    yard = own_yard()
    admin = yard.client("admin")
    folder = yard.settings.backup_path
    admin.post("/api/backup")
    yard.stop()
    files = list(folder.iterdir())
    assert all(check(file, lambda rule: None).faults == [] for file in files)
    assert [file for file in files if file.suffix != ".db"] == []


def test_what_a_node_that_died_left_is_removed_and_what_another_writes_is_not(own_yard: Make, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    for name, hours in (("taskyard-old.db.partial", 25), ("taskyard-new.db.partial", 1), ("mine.partial", 25)):
        (folder / name).write_text("half")
        at = time.time() - hours * 3600
        os.utime(folder / name, (at, at))
    admin = own_yard(backup_dir=str(folder)).client("admin")
    made = admin.post("/api/backup").json()["file"]
    assert ended(admin)["state"] == "done"
    assert {path.name for path in folder.iterdir()} == {"taskyard-new.db.partial", "mine.partial", Path(made).name}


def test_a_folder_that_cannot_be_used_is_named(own_yard: Make, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    yard = own_yard(backup_dir=str(tmp_path / "file" / "folder"))
    admin = yard.client("admin")
    refused(admin.post("/api/backup"), 409, "Conflict", "Not a directory", "BACKUP_DIR")
    assert admin.get("/api/backup").json()["state"] == "failed"


def test_a_disk_without_room_is_not_filled(own_yard: Make) -> None:
    small = Path("/dev/shm")
    if not small.is_dir() or os.statvfs(small).f_bavail * os.statvfs(small).f_frsize >= 1 << 40:
        pytest.skip("there is no small disk here")
    yard = own_yard(backup_dir=str(small / fresh("taskyard-room")))
    node = yard.running.node
    # As if the database were as large as that disk.
    size = os.statvfs(small).f_blocks * os.statvfs(small).f_frsize
    real = node._storage.store.sizes
    node._storage.store.sizes = lambda: real() | {"database": size}  # type: ignore[method-assign]
    try:
        refused(yard.client("admin").post("/api/backup"), 409, "MiB are needed", "make room")
    finally:
        yard.settings.backup_path.rmdir()


# --- by the command line ---------------------------------------------------------------------------------------------

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs `taskyard <words>` as on the node's machine: exit code, stdout, stderr."""
    (tmp_path / "taskyard.toml").write_text(f'jwt_secret = ["{SECRET}"]')
    (tmp_path / "bare.toml").write_text("")
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "JWT_"))}
    environ = own | {"HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[3])}

    def run(*words: str, **more: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [sys.executable, "-m", "taskyard", *words],
            cwd=tmp_path,
            env=environ | more,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return run


def test_under_load_nothing_acknowledged_before_is_missing_and_all_lives_on(
    own_yard: Make, backend: Callable[..., Backend], run: Run, tmp_path: Path
) -> None:
    """Clients submit and a backend works while the copy is made; what the file holds is one moment of all that."""
    yard = own_yard()
    server = backend()
    admin = yard.client("admin")
    admin.post("/api/servers", json={"id": "s", "name": "s", "endpoints": server.endpoints, "apiKey": "s3cret"})
    acknowledged: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        client = yard.client("user", sub=fresh("user"))
        tasks = [{"type": "echo", "payload": {"text": "x" * 20_000}}] * 20
        while not stop.is_set():
            results = client.post("/api/tasks", json={"tasks": tasks}).json()["results"]
            acknowledged.extend(result["id"] for result in results)
            client.get(f"/api/task/{results[-1]['id']}?wait=1000")

    clients = [threading.Thread(target=submit) for _ in range(2)]
    for client in clients:
        client.start()
    try:
        eventually(lambda: len(acknowledged) >= 200, 60)
        before = list(acknowledged)
        words = ("backup", "night.db", "--data-dir", str(yard.settings.data_path), "--url", yard.url, "--json")
        code, out, err = run(*words)
        told = set(acknowledged)
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert (code, err) == (0, "")
    made = json.loads(out)
    file = tmp_path / "night.db"
    assert made == {"file": str(file), "bytes": file.stat().st_size, "key": f"{file}.secret_key", "running": True}
    kept = tasks_in(file)
    assert set(before) <= set(kept)
    assert check(file, lambda rule: None).faults == []
    assert not list(yard.settings.backup_path.iterdir())
    yard.stop()
    # The same tasks in another place, with the key that opens the stored apiKey.
    code, out, err = run("restore", "night.db", "--data-dir", "data1")
    assert (code, out, err) == (0, f"data1: restored, {made['bytes'] / 2**20:.1f} MiB\n", "")
    again = own_yard()
    assert again.settings.data_path == tmp_path / "data1"
    client = again.client("admin")

    def all_ended() -> bool:
        answer = client.get("/api/stats").json()
        return answer["pendingTasks"] + answer["processingTasks"] == 0

    eventually(all_ended, 60)
    for task in [before[0], before[-1], *sorted(set(kept) & told)[-2:]]:
        assert client.get(f"/api/task/{task}", params={"wait": 10_000}).json()["status"] == "COMPLETED"
    assert {head.get("authorization") for head in server.heads} == {"Bearer s3cret"}


def test_what_a_backup_of_a_running_node_needs(own_yard: Make, run: Run, tmp_path: Path) -> None:
    yard = own_yard()
    data, bare = ("--data-dir", str(yard.settings.data_path)), ("--config", "bare.toml")
    # Its own secret makes a token for this machine alone; a token and an address may be given.
    assert run("backup", "a.db", *data, "--url", yard.url, *bare, TASKYARD_TOKEN=token("admin"))[0] == 0
    code, _, err = run("backup", "b.db", *data, "--url", yard.url, *bare)
    assert (code, "there is no token for" in err) == (2, True)
    code, _, err = run("backup", "b.db", *data, "--url", yard.url, "--token", token("user"))
    assert (code, "admin" in err) == (1, True)
    code, _, err = run("backup", "b.db", *data, "--url", "http://127.0.0.1:9")
    assert (code, "is the node running" in err) == (1, True)
    # Nothing that is there is written over.
    code, _, err = run("backup", "a.db", *data, "--url", yard.url)
    assert (code, "is there already" in err) == (2, True)
    assert run("backup", "a.db", *data, "--url", yard.url, "--force")[0] == 0
    code, _, err = run("backup", "b.db", "--data-dir", "nothing")
    assert (code, "no such directory" in err) == (2, True)
    # What runs is neither checked nor replaced.
    for words in (("check",), ("restore", "a.db", "--force")):
        code, _, err = run(*words, *data)
        assert (code, "a node runs on" in err) == (2, True)
    assert sorted(path.name for path in tmp_path.glob("*.db*")) == ["a.db", "a.db.secret_key"]
    # Once it has stopped its data can be copied, but nobody is there to be asked.
    yard.stop()
    code, _, err = run("backup", "c.db", *data, "--url", yard.url)
    assert (code, "leave --url out" in err) == (2, True)
    assert run("backup", "c.db", *data)[0] == 0


def test_another_nodes_backup_is_not_taken_for_this_ones(own_yard: Make, run: Run, tmp_path: Path) -> None:
    """A file with the key of another yard would be of no use."""
    yard, other = own_yard(), own_yard()
    code, _, err = run("backup", "a.db", "--data-dir", str(yard.settings.data_path), "--url", other.url)
    assert (code, str(other.settings.data_path) in err) == (2, True)
    latest = other.client("admin").get("/api/backup").json()
    assert latest["state"] in ("stopped", "done")
    assert not (tmp_path / "a.db").exists()


def test_a_stopped_node_is_backed_up_checked_and_restored(run: Run, own_yard: Make, tmp_path: Path) -> None:
    yard = own_yard()
    task = yard.client("admin").post("/api/task", json={"type": "t", "payload": {}}).json()["id"]
    yard.stop()
    data = ("--data-dir", str(yard.settings.data_path))
    code, out, _ = run("check", *data)
    assert (code, "sound" in out, "1 tasks wait, 0 run, 0 have ended" in out) == (0, True, True)
    code, out, _ = run("backup", "a.db", *data)
    assert (code, "of a node that is stopped" in out, "a.db.secret_key" in out) == (0, True, True)
    assert tasks_in(tmp_path / "a.db") == {task: 0}
    # Data is not replaced unasked; then it is kept.
    code, _, err = run("restore", "a.db", *data)
    assert (code, "holds data" in err, "--force" in err) == (2, True, True)
    code, out, _ = run("restore", "a.db", *data, "--force", "--json")
    told = json.loads(out)
    assert (code, Path(told["aside"]).parent) == (0, yard.settings.data_path)
    assert tasks_in(Path(told["aside"]) / "taskyard.db") == {task: 0}
    # A key that is set is not in a file, and none is missed.
    configured = {"TASKYARD_SECRET_KEY": "k" * 40}
    code, out, err = run("backup", "b.db", *data, **configured)
    assert (code, "secret_key" in out, (tmp_path / "b.db.secret_key").exists()) == (0, False, False)
    code, _, err = run("restore", "b.db", "--data-dir", "without")
    assert (code, "put the node's secret_key into" in err) == (0, True)


def test_another_key_is_not_replaced_unasked(run: Run, own_yard: Make, tmp_path: Path) -> None:
    yard = own_yard()
    yard.stop()
    run("backup", "a.db", "--data-dir", str(yard.settings.data_path))
    key = (tmp_path / "a.db.secret_key").read_text()
    other = tmp_path / "other"
    other.mkdir(mode=0o700)
    (other / "secret_key").write_text("another key, as long as keys must be here\n")
    code, _, err = run("restore", "a.db", "--data-dir", "other")
    assert (code, "holds another secret_key" in err) == (2, True)
    code, out, _ = run("restore", "a.db", "--data-dir", "other", "--force", "--json")
    aside = Path(json.loads(out)["aside"])
    assert (other / "secret_key").read_text() == key
    assert (tmp_path / aside / "secret_key").read_text().startswith("another key")


def test_a_check_tells_what_is_wrong_by_words_and_exit_code(run: Run, own_yard: Make, tmp_path: Path) -> None:
    yard = own_yard()
    task = yard.client("admin").post("/api/task", json={"type": "t", "payload": {}}).json()["id"]
    yard.stop()
    data = ("--data-dir", str(yard.settings.data_path))
    database = sqlite3.connect(yard.settings.data_path / "taskyard.db")
    with database:
        database.execute("DELETE FROM queue")
    database.close()
    code, out, err = run("check", *data)
    assert (code, "1 of " in err) == (1, True)
    assert out == f"not so: a task that has not ended waits or runs, and not both\n  {task}\n"
    code, out, _ = run("check", *data, "--json")
    (fault,) = json.loads(out)["faults"]
    assert (code, fault["places"]) == (1, [task])
    # A backup is as good as what it is of; damage is told apart from it.
    assert run("backup", "a.db", *data)[0] == 0
    body = bytearray((tmp_path / "a.db").read_bytes())
    body[3 * 4096 : 4 * 4096] = b"\xff" * 4096
    (tmp_path / "a.db").write_bytes(body)
    for words in (("check", "a.db"), ("restore", "a.db", "--data-dir", "new")):
        code, _, err = run(*words)
        assert (code, "damaged" in err) == (1, True)
        assert ("restore it" in err, "take another backup" in err) == (False, True)
    assert not (tmp_path / "new").exists()
    code, _, err = run("check", "nothing.db")
    assert (code, "no backup in it" in err) == (2, True)
