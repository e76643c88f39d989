"""The demo runs as a newcomer runs it: real processes, a real load, an exit code that means something."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from taskyard.demo.account import account
from taskyard.demo.load import Load
from taskyard.demo.look import look
from taskyard.demo.yard import Yard, running

COMMAND = [sys.executable, "-c", "from taskyard.cli.main import main; main()", "demo"]
URL = re.compile(r"export TASKYARD_URL=(\S+)")


def listens(url: str) -> bool:
    """Whether anything answers there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", urlsplit(url).port or 0)) == 0


def children(pid: int) -> set[int]:
    """The processes that `pid` has started and that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.add(int(stat.parent.name))
    return found


def test_it_ends_by_itself_with_0_and_says_that_none_is_lost(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--tasks", "40", "--seconds", "2", "--data-dir", str(tmp_path / "yard")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    url = URL.search(done.stdout)
    assert url
    # Address and token come first; no picture is drawn where there is no terminal.
    assert done.stdout.index("TASKYARD_TOKEN") < done.stdout.index("submitted")
    assert "\x1b" not in done.stdout
    assert "40 tasks were submitted" in done.stdout
    assert "None is lost" in done.stdout
    assert not listens(url[1])
    assert (tmp_path / "yard" / "jwt_secret").exists()


def until(demo: "subprocess.Popen[str]", word: str) -> str:
    """What the demo says until it says `word`."""
    assert demo.stdout
    told = ""
    while word not in told:
        line = demo.stdout.readline()
        assert line, told
        told += line
    return told


def test_a_node_that_dies_is_no_success() -> None:
    with subprocess.Popen(
        [*COMMAND, "--tasks", "400", "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as demo:
        try:
            until(demo, "completed")
            started = children(demo.pid)
            [node] = [pid for pid in started if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
            os.kill(node, signal.SIGKILL)
            _, complaint = demo.communicate(timeout=60)
        finally:
            demo.kill()
    assert demo.returncode == 1
    assert complaint.startswith("taskyard: demo: no answer from")
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_it_ends_its_processes(signum: signal.Signals) -> None:
    with subprocess.Popen([*COMMAND, "--tasks", "400", "--seconds", "60"], stdout=subprocess.PIPE, text=True) as demo:
        try:
            told = until(demo, "completed")
            started = children(demo.pid)
            assert len(started) == 4
            demo.send_signal(signum)
            assert demo.wait(30) == 130
        finally:
            demo.kill()
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    url = URL.search(told)
    assert url
    assert not listens(url[1])


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Yard, list[str]]]:
    """A yard that has worked off 14 tasks."""
    with running(tmp_path_factory.mktemp("yard")) as yard, yard.client() as client:
        load = Load(client, 14, 0.1)
        load.start()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            counts = look(client).counts
            if load.over and counts["completed"] == 14:
                break
            time.sleep(0.05)
        yield yard, load.ids


def test_a_sound_yard_has_no_faults(loaded: tuple[Yard, list[str]]) -> None:
    yard, ids = loaded
    with yard.client() as client:
        found = account(client, ids, yard.logs)
    assert found.faults == []
    assert found.statuses == {"COMPLETED": 14}


def test_each_way_to_lose_a_task_is_found(loaded: tuple[Yard, list[str]], tmp_path: Path) -> None:
    yard, ids = loaded
    logs = {}
    for name, path in yard.logs.items():
        logs[name] = tmp_path / path.name
        logs[name].write_text(path.read_text())
    swift = logs["swift"].read_text().splitlines()
    line = json.loads(next(line for line in swift if '"completed"' in line))

    def faults(lines: list[str], asked: list[str]) -> list[str]:
        logs["swift"].write_text("".join(line + "\n" for line in lines))
        with yard.client() as client:
            return account(client, asked, logs).faults

    assert faults(swift, [*ids, "task_" + "0" * 32]) == [
        "task_" + "0" * 32 + ": lost, the node does not know it",
    ]
    assert faults([*swift, json.dumps(line | {"run": "swift-again"})], ids) == [
        f"{line['task']}: completed by 2 runs: {line['run']}, swift-again"
    ]
    without = [one for one in swift if json.loads(one)["task"] != line["task"]]
    assert faults(without, ids) == [f"{line['task']}: completed by 0 runs: no server says so"]
    assert faults([*without, json.dumps(line | {"run": "other"})], ids) == [
        f"{line['task']}: its result is not that of other"
    ]
    assert faults(swift, [one for one in ids if one != line["task"]]) == [
        f"{line['task']}: a server worked on it, but nobody submitted it"
    ]
    assert faults([*swift, json.dumps({"task": "", "attempt": 1, "did": "failed", "active": 9})], ids) == [
        "swift had 9 tasks at once and only 4 slots"
    ]


def test_a_look_says_why_tasks_wait_as_the_node_does(loaded: tuple[Yard, list[str]]) -> None:
    yard, _ = loaded
    with yard.client() as client:
        before = client.submit("paint", {}, capabilities=["gold"])
        client.submit("paint", {}, capabilities=["gold"])
        try:
            (waiting,) = look(client).waiting
            assert (waiting.type, waiting.count) == ("paint", 2)
            assert waiting.why == client.why(before["id"])["text"] == "No server has “gold”."
            assert waiting.oldest >= 0
        finally:
            for task in client.tasks(status="PENDING"):
                client.cancel(task["id"])


def test_keep_stays_up_until_ctrl_c() -> None:
    with subprocess.Popen(
        [*COMMAND, "--tasks", "3", "--seconds", "0.1", "--keep"], stdout=subprocess.PIPE, text=True
    ) as demo:
        try:
            told = until(demo, "stay up")
            url = URL.search(told)
            assert url
            assert listens(url[1])
            demo.send_signal(signal.SIGINT)
            assert demo.wait(30) == 0
        finally:
            demo.kill()
    assert not listens(url[1])
