"""The figures that people look at, recounted: series by second and by what they are folded into, failures by group."""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict

from taskyard.prove.oracle.tasks import Tasks
from taskyard.prove.oracle.violation import Violation

NAMES = ("created", "completed", "failed", "timed_out", "cancelled")
FAILING = ("failed", "timeout", "lost", "misconfigured")
_SERIES = "SELECT step, at, submitted, completed, failed, timed_out, cancelled, waits, runs FROM series"


def _told(spread: str) -> int:
    """How many values a spread's text tells of."""
    return sum(int(part.rpartition(":")[2]) for part in spread.split(",") if part)


def check_figures(db: sqlite3.Connection, tasks: Tasks) -> None:
    """Compare the store's figures with what the oracle counted. Raises `Violation`."""
    _series(db, tasks)
    _failures(db, tasks)


def _series(db: sqlite3.Connection, tasks: Tasks) -> None:
    by_step: defaultdict[int, dict[int, tuple[int, ...]]] = defaultdict(dict)
    for step, at, *counts, waits, runs in db.execute(_SERIES):
        by_step[step][at] = (*counts, _told(waits), _told(runs))
    fine = by_step[1_000]
    seen = Counter({(at, name): row[n] for at, row in fine.items() for n, name in enumerate(NAMES) if row[n]})
    wanted = Counter({key: count for key, count in tasks.counters.by_second.items() if count})
    if seen != wanted:
        wrong = sorted({*seen, *wanted}, key=str)
        told = [(key, seen[key], wanted[key]) for key in wrong if seen[key] != wanted[key]][:3]
        raise Violation("series", f"seconds as stored and as they should be: {told}")
    sums = tasks.counters.sums
    measured = [sum(row[place] for row in fine.values()) for place in (5, 6)]
    counted = [sums["yard", "", "waits"], sums["yard", "", "attempts_ok"]]
    if measured != counted:
        raise Violation("series", f"waits and runs measured {measured}, counted {counted}")
    last = max(fine, default=0)
    for step, finer in ((12_000, fine), (288_000, by_step[12_000])):
        folded: defaultdict[int, Counter[int]] = defaultdict(Counter)
        for at, row in finer.items():
            folded[at - at % step].update(dict(enumerate(row)))
        for at, counts in folded.items():
            row = by_step[step].get(at, ())
            if at + step <= last - last % step and row != tuple(counts[place] for place in range(7)):
                raise Violation("series", f"{step} ms from {at}: {row}, its parts have {dict(counts)}")


def _failures(db: sqlite3.Connection, tasks: Tasks) -> None:
    ((ends, attempts),) = db.execute("SELECT coalesce(sum(tasks), 0), coalesce(sum(attempts), 0) FROM failure_group")
    sums = tasks.counters.sums
    wanted = (sums["yard", "", "failed"] + sums["yard", "", "timed_out"], sum(tasks.outcomes[name] for name in FAILING))
    if (ends, attempts) != wanted:
        raise Violation("failures", f"groups tell of {ends} tasks and {attempts} attempts, there were {wanted}")
    stored = {task_id for (task_id,) in db.execute("SELECT task_id FROM failed_task")}
    failed = {task.id for task in tasks.by_id.values() if task.status in ("FAILED", "TIMEOUT")}
    if stored != failed:
        raise Violation("failures", f"in a group but not failed {stored - failed}, the reverse {failed - stored}")
