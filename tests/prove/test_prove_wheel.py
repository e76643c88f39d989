"""`taskyard prove` as a user has it: the wheel in an environment of its own, with no folder of tests in reach."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from taskyard.prove.proof import Unable, workplace
from tests.prove.test_prove_report import Page
from tests.support.nodes import ROOT, until

# By this seed the torture begins with two kills, soon.
SEED = 899
PATIENCE_S = 300.0
ENDED_LEAST = 20
SHORT = ("--minutes", "0.1", "--seed", str(SEED), "--report", "report")


@pytest.fixture(scope="module")
def taskyard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed from a wheel, once for all processes of a test run."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "wheel"
    with FileLock(f"{folder}.lock"):
        return _installed(folder)


def _installed(folder: Path) -> Path:
    python = folder / "venv" / "bin" / "python"
    if (folder / "whole").exists():
        return python.with_name("taskyard")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input"]
    alone = ["--no-deps", "--no-index"]
    _done([*pip, "wheel", *alone, "--no-build-isolation", "-w", str(folder), str(ROOT)])
    _done([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")])
    _done([*pip, "--python", str(python), "install", *alone, *map(str, folder.glob("*.whl"))])
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    # What it depends on, from here; the checkout is not found that way.
    packages = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (site / "depends.pth").write_text("\n".join(packages) + "\n")
    told = _done([str(python), "-P", "-c", "import taskyard; print(taskyard.__file__)"], cwd=folder)
    assert Path(told.strip()).is_relative_to(site)
    (folder / "whole").touch()
    return python.with_name("taskyard")


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}


def _done(command: list[str], cwd: Path = ROOT) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _started(taskyard: Path, folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(taskyard), "prove", *words],
        cwd=folder,
        env=_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _told(process: subprocess.Popen[str]) -> tuple[int, dict[str, Any]]:
    out, err = process.communicate(timeout=PATIENCE_S)
    assert out, err
    return process.returncode, json.loads(out)


def _running(folder: Path) -> list[str]:
    """Processes that have a folder in their command."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has ended
            continue
        if str(folder) in command:
            found.append(command)
    return found


def test_all_holds_and_the_page_shows_the_figures(taskyard: Path, tmp_path: Path) -> None:
    code, told = _told(_started(taskyard, tmp_path, "--json", "--data-dir", "data", *SHORT))
    disk, simulation, torture = told["parts"]
    assert (simulation["broken"], torture["broken"]) == ([], [])
    assert simulation["zeros"] == {"promises broken": 0}
    assert torture["zeros"] == {"lost": 0, "recorded twice": 0, "other findings": 0, "excess over maxConcurrent": 0}
    assert simulation["figures"]["seeds played to their end"] >= 1
    assert simulation["figures"]["crashes of the node"] >= 1
    assert torture["figures"]["kills"] >= 2
    assert torture["figures"]["acknowledged"] > 0
    assert disk["figures"]["submissions acknowledged"] > 0
    assert told["seed"] == SEED
    # The disk of whoever runs this may be in memory; then that is what must be said.
    assert told["holds"] == disk["holds"]
    assert code == (0 if told["holds"] else 1)
    html = Page((tmp_path / "report" / "report.html").read_text("utf-8"))
    text = (tmp_path / "report" / "report.txt").read_text("utf-8")
    assert html.fetched == []
    for part in told["parts"]:
        for name, value in part["figures"].items():
            shown = f"{value:,}" if isinstance(value, int) else value
            assert name in html.words
            assert shown in html.words
            assert shown in text
    assert f"--seed {SEED}" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report"]
    assert _running(tmp_path) == []


def _delete_a_task(work: Path) -> bool:
    """Delete a task that has ended a while ago, and its result, from the torture's database; whether there was one."""
    file = next(work.glob("taskyard-prove-*/torture/data/taskyard.db"), None)
    if file is None:
        return False
    try:
        database = sqlite3.connect(f"{file.as_uri()}?mode=rw", uri=True, timeout=1, isolation_level=None)
        try:
            ended = database.execute("SELECT id FROM task WHERE status = 2 ORDER BY id").fetchall()
            if len(ended) < ENDED_LEAST:
                return False
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM result WHERE task_id = ?", ended[0])
            database.execute("DELETE FROM task WHERE id = ?", ended[0])
            database.execute("COMMIT")
            return True
        finally:
            database.close()
    except sqlite3.Error:  # not made yet, or busy
        return False


def test_a_lost_task_turns_the_report_red(taskyard: Path, tmp_path: Path) -> None:
    process = _started(taskyard, tmp_path, "--data-dir", str(tmp_path), *SHORT)
    try:
        until(lambda: process.poll() is not None or _delete_a_task(tmp_path), PATIENCE_S, every_s=0.1)
        assert process.poll() is None, "it ended before enough tasks had"
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 1, err
    assert "Not all that was promised held" in out
    assert "acknowledged but missing" in out
    assert "The simulation: holds" in out
    assert "kill -9" in err  # plain lines where there is no terminal
    html = Page((tmp_path / "report" / "report.html").read_text("utf-8"))
    assert "broken" in html.classes
    assert any("acknowledged but missing" in word for word in html.words)
    assert len(list((tmp_path / "report").glob("evidence-*/torture/evidence/taskyard.db"))) == 1
    assert _running(tmp_path) == []


def test_too_little_room_is_said_and_nothing_is_made(tmp_path: Path) -> None:
    with (
        pytest.raises(Unable, match=r"MiB of room, and \d+ MiB are needed .* make room, or name"),
        workplace(tmp_path / "not" / "there", minutes=1e9),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_ends_it_and_leaves_nothing(taskyard: Path, tmp_path: Path) -> None:
    process = _started(taskyard, tmp_path, "--data-dir", str(tmp_path), *SHORT)
    try:
        until(lambda: any("serve" in line for line in _running(tmp_path)), PATIENCE_S, "no node was started")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
        process.communicate()
    assert (process.returncode, "interrupted" in err) == (130, True)
    assert "Traceback" not in err
    assert _running(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--data-dir", "a file"), "a file is a file: name a folder as --data-dir"),
        (("--data-dir", "/proc"), "/proc cannot be written to"),
        (("--report", "a file"), "a file cannot be made: File exists; name another --report"),
        (("--minutes", "0"), "--minutes"),
    ],
)
def test_what_cannot_be_tried_is_said_at_once(
    taskyard: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    (tmp_path / "a file").write_text("")
    process = _started(taskyard, tmp_path, *words)
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 2
    assert said in " ".join(err.split())
