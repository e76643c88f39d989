"""`taskyard tasks watch` and `taskyard top`, and the client's stream that goes on after a break."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from taskyard.client import Client, Event, Unauthorized
from tests.contract.api.yard import Yard, eventually, token
from tests.contract.events.streams import Listener
from tests.contract.events.test_events_topics import submit

PATIENCE_S = 60


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "JWT_"))}
    return own | {"HOME": str(tmp_path), "TASKYARD_TOKEN": token("admin"), "TERM": "xterm", "COLUMNS": "120"}


@contextmanager
def command(yard: Yard, environ: dict[str, str], *words: str) -> Iterator["subprocess.Popen[str]"]:
    """A command whose output is a pipe; it is ended with the block."""
    taskyard = Path(sys.executable).with_name("taskyard")
    running = subprocess.Popen(
        [taskyard, *words],
        env=environ | {"TASKYARD_URL": yard.url},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield running
    finally:
        running.kill()
        running.communicate()


def test_tasks_are_watched_to_their_end(own_yard: Callable[..., Yard], environ: dict[str, str]) -> None:
    yard = own_yard()
    first, second = submit(yard), submit(yard)
    with command(yard, environ, "tasks", "watch", first, second) as running:
        assert running.stdout is not None
        seen = {running.stdout.readline().split()[0] for _ in range(2)}
        assert seen == {first, second}
        client = yard.client("user")
        client.put(f"/api/task/{first}", json={"status": "COMPLETED", "result": 1})
        assert running.stdout.readline().split()[:2] == [first, "COMPLETED"]
        client.post(f"/api/task/{second}/cancel")
        out, err = running.communicate(timeout=PATIENCE_S)
        assert out.split()[:2] == [second, "CANCELLED"]
        assert (running.returncode, f"task {second} ended CANCELLED" in err) == (1, True)
    with command(yard, environ, "tasks", "watch", "--json", first, "task_none") as running:
        out, err = running.communicate(timeout=PATIENCE_S)
        assert json.loads(out)["status"] == "COMPLETED"
        assert (running.returncode, "task_none not found" in err) == (1, True)


def test_top_tells_of_the_yard_in_lines(own_yard: Callable[..., Yard], environ: dict[str, str]) -> None:
    yard = own_yard()
    submit(yard, capabilities=["8k"])
    with command(yard, environ, "top", "--for", "60s") as running:
        assert running.stdout is not None
        assert "1 waiting" in running.stdout.readline()
        assert running.stdout.readline() == "  1 wait for [8k]: No server is registered.\n"
    with command(yard, environ, "top", "--json", "--for", "200ms") as running:
        out, err = running.communicate(timeout=PATIENCE_S)
        assert (running.returncode, err) == (0, "")
        assert all({"event", "now"} <= set(json.loads(line)) for line in out.splitlines())


def test_top_draws_a_picture_until_q(own_yard: Callable[..., Yard], environ: dict[str, str]) -> None:
    yard = own_yard()
    submit(yard, capabilities=["8k\x1b[31m"])
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        [Path(sys.executable).with_name("taskyard"), "top"],
        env=environ | {"TASKYARD_URL": yard.url},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    try:
        drawn = b""
        end = time.monotonic() + PATIENCE_S
        while b"No server is registered." not in drawn or b"What runs where" not in drawn:
            assert select.select([ours], [], [], end - time.monotonic())[0], drawn
            drawn += os.read(ours, 65_536)
        assert b"8k\x1b[31m" not in drawn
        os.write(ours, b"q")
        # What a terminal does not read stops who writes to it.
        while running.poll() is None:
            assert time.monotonic() < end, "q does not end it"
            if select.select([ours], [], [], 0.05)[0]:
                try:
                    os.read(ours, 65_536)
                except OSError:  # the other end is closed
                    break
        assert running.wait(PATIENCE_S) == 0
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def test_the_clients_stream_goes_on_after_a_break(own_yard: Callable[..., Yard]) -> None:
    yard = own_yard(event_lifetime=300)
    task = submit(yard)
    with Client(yard.url, token("user"), sleep=lambda _: None) as client:
        events = client.events(("lanes",), (task,))
        told = [next(events), next(events)]
        assert [event.name for event in told] == ["snapshot", "task"]
        # The node ends the stream soon; the client comes back and is told what changed, and no second snapshot.
        ends: list[Event] = []
        while len(ends) < 2:
            event = next(events)
            assert event.name in ("end", "lanes", "task")
            if event.name == "end":
                ends.append(event)
                submit(yard, group=f"g{len(ends)}")
        assert next(event for event in events if event.name == "lanes").data["lanes"]
        events.close()
    eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)


def test_the_client_says_what_a_node_refuses(own_yard: Callable[..., Yard], listen: Callable[..., Listener]) -> None:
    yard = own_yard(event_streams=1)
    with Client(yard.url, "none") as client, pytest.raises(Unauthorized):
        next(client.events(("lanes",)))
    held = listen(yard, "topics=lanes")
    held.events()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        held.close()
        eventually(lambda: yard.on_loop(lambda: len(yard.running.live)) == 0)

    with Client(yard.url, token("user"), sleep=sleep) as client:
        assert next(client.events(("lanes",))).name == "snapshot"
    assert slept[0] >= 1, "as long as the node asks for"
