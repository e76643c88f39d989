"""A process that dies in the middle of its work: each plan is there whole or not at all; whole if it was answered."""

import signal
import subprocess
import sys

import pytest

from taskyard.store.sqlite import SqliteStore
from tests.store.crashing import TASKS, numbers
from tests.store.making import tid

STATEMENTS = 10  # of `crashing.work`'s second turn: nine kinds of rows, and the read that stands before the COMMIT


def command(data, *more):
    return [sys.executable, "-m", "tests.store.crashing", str(data), *map(str, more)]


def turns_stored(store):
    """How many turns are stored; fails when one of them is not whole."""
    turns = int(store.recover(1).settings.get("turn", -1)) + 1
    assert len(store.audit(10**6)) == turns
    assert store.stats_total("yard", "").created == turns * TASKS
    assert store.recover(1).lane_queued == ({1: TASKS} if turns else {})
    for turn in range(turns):
        for number in numbers(turn):
            record = store.task(tid(number), None)
            last = turn == turns - 1
            assert (record.task.status, record.queue is not None) == ((0, True) if last else (2, False))
            assert store.payload(tid(number), None) == "x" * 2000
            assert store.result(tid(number), None) == (None if last else "{}")
    assert store.task(tid(turns * TASKS), None) is None
    return turns


@pytest.mark.parametrize("statement", range(1, STATEMENTS + 1))
def test_a_death_at_any_statement_leaves_whole_turns(tmp_path, statement):
    child = subprocess.run(command(tmp_path / "data", statement), capture_output=True, text=True, check=False)
    assert (child.returncode, child.stdout) == (9, "0\n"), child.stderr
    store = SqliteStore(tmp_path / "data")
    assert turns_stored(store) == 1
    store.close()


def test_the_statements_are_all_of_them(tmp_path):
    child = subprocess.run(command(tmp_path / "data", STATEMENTS + 1), capture_output=True, text=True, check=False)
    assert child.stderr == "the statement was never reached\n"
    store = SqliteStore(tmp_path / "data")
    assert turns_stored(store) == 2
    store.close()


def test_kill_9_again_and_again_loses_nothing_that_was_answered(tmp_path):
    """Each child begins in a directory of its own and is killed after some turns, at no special point."""
    for attempt in range(4):
        data = tmp_path / str(attempt)
        child = subprocess.Popen(command(data), stdout=subprocess.PIPE, text=True)
        for _ in range(15 + 7 * attempt):
            child.stdout.readline()
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read().split()
        child.wait()
        answered = 15 + 7 * attempt + len(rest)
        store = SqliteStore(data)
        assert turns_stored(store) in (answered, answered + 1)
        store.close()
