"""A task of 48 hours, longer than every other timer in the system, runs once, whatever comes and goes meanwhile."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from taskyard.domain.outcomes import Status
from taskyard.prove.oracle.oracle import Oracle
from taskyard.prove.simulation import run as playing
from taskyard.prove.simulation.crashes import Stage
from taskyard.prove.simulation.run import Report, Run
from taskyard.prove.simulation.scenario import Machine, Scenario, draw
from taskyard.prove.simulation.script import Crash, Deed, Script, Wish
from taskyard.settings import Settings

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
TIMEOUT_MS = 48 * HOUR_MS
WORK_MS = 46 * HOUR_MS
SHORT_TASKS = 150
CRASHES = 24
LONG, QUICK = "long", "quick"


def machine(index: int, behaviour: str, work_ms: int) -> Machine:
    """One that always does the same."""
    return Machine(
        index=index,
        capabilities=(),
        learns=False,
        groups=(),
        slots=1,
        weight=1,
        is_async=False,
        can_cancel=False,
        fast_ms=work_ms,
        slow_ms=work_ms,
        behaviours=((behaviour, 1),),
        outages=False,
        flaps=0.0,
        has_proof=True,
        refuses_key=False,
    )


def wish(index: int, at: int, kind: str, timeout: int, server: Machine, max_retries: int = 3) -> Wish:
    """A task for one machine alone."""
    return Wish(
        index=index,
        at=at,
        owner="ann",
        type=kind,
        lane=((), "", server.name),
        priority=0,
        timeout=timeout,
        max_retries=max_retries,
        backoff_base=1_000,
    )


def world(machines: tuple[Machine, ...], tasks: int) -> Scenario:
    """Two days in which nothing but time and the script do anything."""
    drawn = draw(1)
    return replace(
        drawn,
        tasks=tasks,
        limits=replace(drawn.limits, max_lost=1, idempotency_ms=24 * HOUR_MS),
        machines=machines,
        span_ms=TIMEOUT_MS,
        submissions_most=20_000,
        calls_most=20_000,
        retention_ms=HOUR_MS,
        downtime_ms=20_000,
        turn_delay_ms=5,
        commit_ms=5,
        batch=1000,
    )


def script(long: Wish, slow: Machine, short_tasks: int, crashes: int) -> Script:
    """A long task from the first minute on, and short ones beside it every now and then, for as long as it takes."""
    quick = machine(1, "succeeds", 500)
    wishes = [long]
    for n in range(short_tasks):
        wishes.append(wish(n + 1, 2 * MINUTE_MS + n * WORK_MS // short_tasks, QUICK, MINUTE_MS, quick))
    stages = (Stage.BEFORE_COMMIT, Stage.AFTER_COMMIT, Stage.BEFORE_EFFECTS, Stage.IN_RECOVERY, Stage.IN_COMMIT)
    # While something else is going on, where there is something else.
    ends = [short.at for short in wishes[2 : 2 + crashes * 6 : 6]] or [
        HOUR_MS + n * (WORK_MS - 2 * HOUR_MS) // crashes for n in range(crashes)
    ]
    deeds = (
        # Its server is taken out of service and put back, the clock is wrong for a while.
        Deed(0, 5 * HOUR_MS, "maintenance", 0, 30 * MINUTE_MS),
        Deed(1, 9 * HOUR_MS, "draining", 0, 30 * MINUTE_MS),
        Deed(2, 13 * HOUR_MS, "reregistration", 0),
        Deed(3, 17 * HOUR_MS, "algorithm", -1, value="random"),
        Deed(4, 21 * HOUR_MS, "clock_step", -1, value=-30 * MINUTE_MS),
        Deed(5, 25 * HOUR_MS, "clock_step", -1, value=30 * MINUTE_MS),
    )
    return Script(
        scenario=world((slow, quick) if short_tasks else (slow,), len(wishes)),
        wishes=tuple(wishes),
        meddlings=(),
        deeds=deeds,
        crashes=tuple(Crash(n, at, stages[n % len(stages)]) for n, at in enumerate(ends)),
        faults=frozenset(),
    )


@dataclass
class Story:
    """What came of it: how often each machine began each task, what the host wrote down, and the long task's row."""

    report: Report
    begun: Counter[tuple[str, str]]
    host: Counter[str]
    status: Status
    attempts: int
    took_ms: int
    entries: int  # in its history
    rows: int  # of tasks that are still there


@pytest.fixture
def play(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], Story]:
    """Plays a script of two days. The oracle judges every turn; what costs most is done less often."""
    begun: Counter[tuple[str, str]] = Counter()
    host: Counter[str] = Counter()
    read = Oracle.read

    def reading(oracle: Oracle, entry: tuple[Any, ...]) -> None:
        _, author, what, *more = entry
        if author == "backend" and what == "begins":
            begun[more[0], more[1]] += 1
        elif author == "host":
            host[what] += 1
        read(oracle, entry)

    def played(script: Script) -> Story:
        report = Run(script, tmp_path).go(60)
        assert report.violation is None, report.told()
        with closing(sqlite3.connect(tmp_path / "taskyard.db")) as database:
            (row,) = database.execute(
                "SELECT id, status, attempts, completed_at - created_at FROM task WHERE type = ?", (LONG,)
            )
            entries = database.execute("SELECT count(*) FROM attempt WHERE task_id = ?", row[:1]).fetchone()[0]
            rows = database.execute("SELECT count(*) FROM task").fetchone()[0]
        return Story(report, begun, host, Status(row[1]), row[2], row[3], entries, rows)

    monkeypatch.setattr(Oracle, "read", reading)
    monkeypatch.setattr(playing, "LATEST_MS", 2 * TIMEOUT_MS)
    monkeypatch.setattr(playing, "AUDIT_EVERY_MS", HOUR_MS)
    monkeypatch.setattr(playing, "SWEEP_EVERY_MS", MINUTE_MS)
    return played


def test_48_hours_are_longer_than_every_other_timer() -> None:
    scenario = world((), 1)
    limits = {name: value for name, value in asdict(scenario.limits).items() if name.endswith("_ms")}
    assert limits
    assert max(limits.values()) < WORK_MS
    assert scenario.retention_ms < WORK_MS
    given = Settings()
    durations = {
        name for name, kind in get_type_hints(Settings, include_extras=True).items() if "duration" in str(kind)
    }
    longer = {name for name in durations if getattr(given, name) >= WORK_MS}
    # What is kept of the past ends no task.
    assert longer == {"retention", "history_retention", "audit_retention"}, "here it is an hour"


def test_an_accepted_task_of_48_hours_runs_once_over_restarts(play: Callable[[Script], Story]) -> None:
    slow = machine(0, "calls_back", WORK_MS)
    story = play(script(wish(0, MINUTE_MS, LONG, TIMEOUT_MS, slow), slow, SHORT_TASKS, CRASHES))
    assert (story.status, story.attempts, story.entries) == (Status.COMPLETED, 1, 0)
    assert [times for (where, _), times in story.begun.items() if where == slow.name] == [1]
    assert WORK_MS <= story.took_ms < TIMEOUT_MS
    # What came and went meanwhile: checks, nodes, sweeps that took the short tasks away.
    assert story.report.turns > 2 * WORK_MS // MINUTE_MS
    assert story.report.crashes.total() >= CRASHES
    assert story.host["starts"] > CRASHES // 2
    assert story.report.lifecycles >= SHORT_TASKS + 1
    assert story.rows < SHORT_TASKS // 10


def test_a_call_that_is_kept_open_for_48_hours_runs_once(play: Callable[[Script], Story]) -> None:
    slow = machine(0, "succeeds", WORK_MS)
    story = play(script(wish(0, MINUTE_MS, LONG, TIMEOUT_MS, slow), slow, 0, 0))
    assert (story.status, story.attempts, story.entries) == (Status.COMPLETED, 1, 0)
    assert list(story.begun.values()) == [1]
    assert WORK_MS <= story.took_ms < TIMEOUT_MS


def test_a_silent_one_times_out_after_48_hours_and_not_before(play: Callable[[Script], Story]) -> None:
    slow = machine(0, "accepts_in_silence", WORK_MS)
    story = play(script(wish(0, MINUTE_MS, LONG, TIMEOUT_MS, slow, max_retries=0), slow, 0, CRASHES))
    assert (story.status, story.attempts, story.entries) == (Status.TIMEOUT, 1, 1)
    assert list(story.begun.values()) == [1]
    assert TIMEOUT_MS <= story.took_ms < TIMEOUT_MS + MINUTE_MS
    assert story.host["starts"] > CRASHES // 2
