"""What a node cannot start with: one line that says what to do, exit code 2, and nothing touched."""

import hashlib
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.contract.badinput.conftest import Attacked
from tests.support.nodes import ROOT, SECRET, NodeProcess, environment, free_port, serve

MIB = 1 << 20


def refuses(result: "subprocess.CompletedProcess[str]", *words: str) -> None:
    """It ended with 2, and with one line that says these words."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert result.stdout == ""
    assert result.stderr.startswith("taskyard: ")
    assert result.stderr.count("\n") == 1, result.stderr
    assert result.stderr.endswith("\n")
    for word in words:
        assert word in result.stderr
    assert SECRET not in result.stderr


def fingerprint(folder: Path) -> dict[str, tuple[str, int]]:
    """Every file with its content and mode."""
    return {
        path.name: (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode)
        for path in folder.iterdir()
        if path.is_file()
    }


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with tasks in it, of a node that was stopped in order."""
    node = NodeProcess(tmp_path_factory.mktemp("used") / "data")
    try:
        node.start()
        with node.client("user") as client:
            for number in range(300):
                answer = client.post("/api/task", json={"type": "t", "payload": {"n": number, "text": "x" * 500}})
                assert answer.status_code == 200
        assert node.stop() == 0
    finally:
        node.kill()
    return node.data_dir


@pytest.fixture
def copy(used: Path, data_dir: Path) -> Path:
    """The same data directory, for this test alone."""
    shutil.copytree(used, data_dir)
    return data_dir


def test_two_processes_on_one_directory(node: Attacked) -> None:
    before = (node.data_dir / "secret_key").read_bytes()
    for _ in range(2):
        refuses(serve(node.data_dir, "--port", "0"), "another process", str(node.data_dir), "--data-dir")
    assert (node.data_dir / "secret_key").read_bytes() == before


def test_a_link_to_the_directory_does_not_open_it_twice(node: Attacked, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(node.data_dir)
    refuses(serve(link, "--port", "0"), "another process")


def test_the_lock_of_a_dead_node_holds_nobody_up(copy: Path) -> None:
    node = NodeProcess(copy)
    try:
        node.start()
        node.kill()
        node.start()
    finally:
        node.kill()


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2 // 4096 * 4096)


def _cut_within_a_page(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


def _overwrite(offset: int, size: int) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            file.write(os.urandom(size))

    return damage


def _overwrite_pages(path: Path) -> None:
    """Every tenth page, but the first."""
    with path.open("r+b") as file:
        for page in range(2, path.stat().st_size // 4096, 10):
            file.seek(page * 4096)
            file.write(os.urandom(64))


def _with_sql(statement: str) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with closing(sqlite3.connect(path)) as database:
            database.executescript(statement)

    return change


def _become_text(path: Path) -> None:
    path.write_text("no database\n" * 1000)


def _become_another(path: Path) -> None:
    path.unlink()
    _with_sql("CREATE TABLE mine (x)")(path)
    path.chmod(0o600)


DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "noise": (_overwrite(0, 50_000), "restore it from a backup"),
    "a damaged head": (_overwrite(16, 80), "restore it from a backup"),
    "a damaged schema": (_overwrite(100, 3000), "restore it from a backup"),
    "damaged pages": (_overwrite_pages, "restore it from a backup"),
    "cut": (_cut, "restore it from a backup"),
    "cut within a page": (_cut_within_a_page, "restore it from a backup"),
    "a text": (_become_text, "restore it from a backup"),
    "a table is missing": (_with_sql("DROP TABLE run"), "restore it from a backup"),
    "newer": (_with_sql("PRAGMA user_version = 999"), "newer"),
    "somebody else's": (_with_sql("PRAGMA application_id = 17"), "another application"),
    "somebody else's, without a name": (
        _become_another,
        "another application",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_database_that_is_not_in_order_is_left_as_it_is(copy: Path, name: str) -> None:
    damage, words = DAMAGES[name]
    damage(copy / "taskyard.db")
    before = fingerprint(copy)
    refuses(serve(copy, "--port", "0"), "taskyard.db", words)
    assert fingerprint(copy) == before


def test_a_newer_database_that_was_not_closed_is_left_as_it_is(copy: Path) -> None:
    """Beside it lies a WAL: not even a checkpoint may happen."""
    path = copy / "taskyard.db"
    database = sqlite3.connect(path)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA wal_autocheckpoint = 0")
    database.execute("PRAGMA user_version = 999")
    database.commit()
    for file in ("taskyard.db", "taskyard.db-wal"):
        shutil.copy(copy / file, copy / f"{file}.kept")
    database.close()
    for file in ("taskyard.db", "taskyard.db-wal"):
        (copy / f"{file}.kept").rename(copy / file)
        (copy / file).chmod(0o600)
    assert (copy / "taskyard.db-wal").stat().st_size > 0
    names = ("taskyard.db", "taskyard.db-wal", "secret_key")
    before = {name: digest for name, digest in fingerprint(copy).items() if name in names}
    refuses(serve(copy, "--port", "0"), "newer")
    assert {name: digest for name, digest in fingerprint(copy).items() if name in names} == before


def test_a_wal_with_a_torn_end_costs_nothing(copy: Path) -> None:
    """As a power loss leaves it: what was committed before the torn frame is there."""
    node = NodeProcess(copy)
    try:
        node.start()
        with node.client("user") as client:
            ids = [client.post("/api/task", json={"type": "w", "payload": {}}).json()["id"] for _ in range(20)]
        node.kill()
        with (copy / "taskyard.db-wal").open("ab") as wal:
            wal.write(os.urandom(3000))
        node.start()
        with node.client("user") as client:
            assert all(client.get(f"/api/task/{task_id}").status_code == 200 for task_id in ids)
            assert len(client.get("/api/tasks?limit=500").json()["tasks"]) == 320
    finally:
        node.kill()


def test_an_empty_database_is_a_first_start(data_dir: Path) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / "taskyard.db").touch(mode=0o600)
    node = NodeProcess(data_dir)
    try:
        node.start()
        assert node.stop() == 0
    finally:
        node.kill()


@pytest.mark.parametrize("content", ["", "short\n", "\0" * 100], ids=["empty", "short", "NULs"])
def test_a_damaged_key_file(copy: Path, content: str) -> None:
    (copy / "secret_key").write_text(content)
    refuses(serve(copy, "--port", "0"), "secret_key")
    assert (copy / "secret_key").read_text() == content


@pytest.mark.parametrize("file", ["", "taskyard.db", "secret_key"])
def test_what_others_could_read_is_refused(copy: Path, file: str) -> None:
    path = copy / file if file else copy
    path.chmod(0o755 if not file else 0o644)
    refuses(serve(copy, "--port", "0"), str(path), "chmod")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_in_use(data_dir: Path, host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refuses(serve(data_dir, "--host", host, "--port", str(port)), str(port), "in use", "--port")
    assert not data_dir.exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--port", "99999"), "65535"),
        (("--host", "203.0.113.7"), "--host"),
        (("--host", "no.such.host.invalid"), "--host"),
        (("--log-level", "loud"), "info"),
        (("--config", "/no/such/file.toml"), "/no/such/file.toml"),
        (("--public-url", "ftp://x"), "public_url"),
        (("--database", "mysql://x"), "database"),
    ],
)
def test_wrong_flags(data_dir: Path, flags: tuple[str, str], words: str) -> None:
    port = () if "--port" in flags else ("--port", "0")
    refuses(serve(data_dir, *flags, *port), words)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"JWT_SECRET": "short"}, "32"),
        ({"JWT_SECRET": SECRET + "," + "x" * 31}, "32"),
        ({"JWT_SECRET": ""}, "JWT_SECRET"),
        ({"TASKYARD_SECRET_KEY": "short"}, "32"),
        ({"TASKYARD_HEAD_TIMOUT": "1s"}, "TASKYARD_HEAD_TIMEOUT"),
        ({"TASK_TIMEOUT": "soon"}, "TASK_TIMEOUT"),
    ],
)
def test_wrong_settings(data_dir: Path, settings: dict[str, str], words: str) -> None:
    result = serve(data_dir, "--port", "0", settings=settings)
    refuses(result, words)
    assert not data_dir.exists()
    assert "short" not in result.stderr.replace("shorter", "")


@pytest.mark.parametrize("text", ["port = ", "prot = 1", "[types.x]\nprioritee = 1", "\0"])
def test_a_wrong_file(data_dir: Path, text: str) -> None:
    (data_dir.parent / "taskyard.toml").write_text(text)
    refuses(serve(data_dir, "--port", "0"), "taskyard.toml")


def test_a_file_in_the_place_of_the_directory(data_dir: Path) -> None:
    data_dir.write_text("mine")
    refuses(serve(data_dir, "--port", "0"), str(data_dir), "--data-dir")
    refuses(serve(data_dir / "below", "--port", "0"), str(data_dir), "--data-dir")
    assert data_dir.read_text() == "mine"


@pytest.mark.parametrize("file", ["lock", "taskyard.db", "secret_key"])
def test_a_directory_in_the_place_of_a_file(data_dir: Path, file: str) -> None:
    data_dir.mkdir(mode=0o700)
    (data_dir / file).mkdir()
    refuses(serve(data_dir, "--port", "0"), file)


@pytest.fixture(params=["new", "used"])
def unwritable(request: pytest.FixtureRequest, used: Path, data_dir: Path) -> Iterator[tuple[list[str], Path]]:
    """A directory that this user cannot write to, and what a command must begin with to find it so."""
    if request.param == "new":
        data_dir.mkdir(mode=0o700)
    else:
        shutil.copytree(used, data_dir)
    if os.getuid() != 0:
        data_dir.chmod(0o500)
        yield [], data_dir
        data_dir.chmod(0o700)
        return
    # The superuser may write anywhere but to what is mounted read-only.
    mount = 'mount --bind "$0" "$0" && mount -o remount,ro,bind "$0" && exec "$@"'
    inside = ["unshare", "--mount", "sh", "-c", mount, str(data_dir)]
    if subprocess.run([*inside, "true"], check=False, capture_output=True).returncode:
        pytest.skip("the superuser needs mount namespaces for this one; run it as another user")
    yield inside, data_dir


def test_an_unwritable_directory(unwritable: tuple[list[str], Path]) -> None:
    inside, data_dir = unwritable
    before = fingerprint(data_dir)
    command = [sys.executable, "-m", "taskyard", "serve", "--port", str(free_port()), "--data-dir", str(data_dir)]
    result = subprocess.run(
        [*inside, *command], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=20, check=False
    )
    refuses(result, str(data_dir), "--data-dir")
    assert fingerprint(data_dir) == before


def test_importing_the_node_and_leaving_is_clean() -> None:
    """msgspec 0.22 frees memory twice at exit for a union of a text with a pattern and a bounded list."""
    for module in ("taskyard.api.node", "taskyard.cli.main", "taskyard.client", "taskyard.wire.tasks"):
        result = subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, capture_output=True, check=False)
        assert (result.returncode, result.stderr) == (0, b""), module
