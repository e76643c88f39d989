"""The oracle's look into the database, by its own SQL: does it hold what the log of committed turns says?

Shares no code with Taskyard and imports nothing of it.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any

from taskyard.prove.oracle.figures import check_figures
from taskyard.prove.oracle.oracle import Oracle
from taskyard.prove.oracle.tasks import ENDS, Known
from taskyard.prove.oracle.violation import Violation

STATUS = {0: "PENDING", 2: "COMPLETED", 3: "FAILED", 4: "TIMEOUT", 5: "CANCELLED"}
COUNTED = ("created", "completed", "failed", "cancelled", "timed_out", "retried", "attempts_ok", "attempts_failed")
SUMS = (*COUNTED, "run_ms", "responses", "response_ms", "waits", "wait_ms")


class Audit:
    """Compares a database with the oracle's ledgers."""

    def __init__(self, oracle: Oracle, database: Path) -> None:
        self._oracle = oracle
        self._db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)

    def close(self) -> None:
        """Let the database go."""
        self._db.close()

    def whole(self) -> None:
        """Check every row that matters. Raises `Violation`."""
        self._db.execute("BEGIN")
        try:
            self._tasks()
            self._slots()
            self._results()
            self._keys()
            self._counters()
            self._servers()
        finally:
            self._db.execute("ROLLBACK")

    # --- tasks -------------------------------------------------------------------------------------------------------

    def _tasks(self) -> None:
        queue = {row[0]: row[1:] for row in self._db.execute(_QUEUE)}
        runs = {row[0]: row[1:] for row in self._db.execute(_RUNS)}
        history: dict[str, dict[str, int]] = {}
        for task_id, outcome, count, first, last in self._db.execute(_HISTORY):
            if count != last - first + 1:
                raise Violation("history", f"{task_id}: attempts {first} to {last} are counted as {count}")
            outcomes = history.setdefault(task_id, {})
            outcomes[outcome] = outcomes.get(outcome, 0) + count
        known = self._oracle.tasks.by_id
        stored = list(self._db.execute(_TASKS))
        self._oracle.tasks.forget(known.keys() - {row[0] for row in stored})
        taken = self._oracle.submissions.taken
        for task_id, number, *ended in stored:
            task = known.get(task_id)
            if task is None and task_id in taken and not (number or task_id in queue or task_id in runs):
                continue
            if task is None:
                raise Violation("rows", f"{task_id} is stored and no committed turn admitted it")
            status = "PROCESSING" if task_id in runs else STATUS[number]
            if status != task.status:
                raise Violation("rows", f"{task_id} is {task.status} by the log and {status} in the store")
            if (task_id in queue) != (status == "PENDING") or (task_id in runs and number):
                raise Violation("rows", f"{task_id} is {status}; queue {queue.get(task_id)}, run {runs.get(task_id)}")
            self._live(task, queue.get(task_id), runs.get(task_id), ended)
            if history.get(task_id, {}) != task.history:
                raise Violation("history", f"{task} has {history.get(task_id)} in its history, not {task.history}")
        if strays := history.keys() - known.keys():
            raise Violation("rows", f"a history of nobody: {strays}")
        if strays := {row[0] for row in self._db.execute("SELECT task_id FROM payload")} - known.keys() - taken.keys():
            raise Violation("rows", f"payloads of nobody: {strays}")

    def _live(self, task: Known, queue: Any, run: Any, ended: list[Any]) -> None:
        if queue is not None:
            stored: Any = queue
            wanted: Any = (task.avoid, task.due_at, task.attempts, task.failures, task.lost, task.deadline)
            wanted += (task.queue_deadline,)
        elif run is not None:
            assert task.trial is not None
            stored = run
            wanted = (task.trial.number, task.trial.server, task.failures, task.lost, task.deadline)
        else:
            stored = tuple(ended)
            wanted = (task.attempts, task.failures, task.lost, task.ended_by, int(task.purged))
        if stored != wanted:
            raise Violation("rows", f"{task} is stored as {stored}, by the log it is {wanted}")

    def _slots(self) -> None:
        stored = set(self._db.execute("SELECT task_id, attempt, server_id, linger_until IS NOT NULL FROM run"))
        wanted = {
            (task_id, number, box.id, int(box.slots[task_id, number] is not None))
            for (task_id, number), box in self._oracle.boxes.attempts.items()
        }
        if self._oracle.more:  # lingers that are over may be freed by the next turn
            stored -= {row for row in stored - wanted if row[3]}
        if stored != wanted:
            raise Violation("slots", f"stored but not in the log {stored - wanted}, the reverse {wanted - stored}")

    # --- results and keys --------------------------------------------------------------------------------------------

    def _results(self) -> None:
        bodies = dict(self._db.execute("SELECT task_id, body FROM result"))
        for task in self._oracle.tasks.by_id.values():
            body = bodies.pop(task.id, None)
            if (body is not None) != (task.status == "COMPLETED" and not task.purged):
                raise Violation("one result", f"{task} has the result {body!r}")
            if body is not None:
                by = "null" if task.ended_by is None else task.ended_by
                nobody = task.hearsay and body == f'{{"task": "{task.id}", "attempt": null}}'
                if body != f'{{"task": "{task.id}", "attempt": {by}}}' and not nobody:
                    raise Violation("fence", f"{task} has the result {body}, it should be that of attempt {by}")
        if bodies:
            raise Violation("one result", f"results of nobody: {sorted(bodies)}")

    def _keys(self) -> None:
        rows = self._db.execute("SELECT owner, key, hash, task_id, expires_at FROM idempotency")
        stored = {(owner, key): (body, task_id, expiry) for owner, key, body, task_id, expiry in rows}
        known = self._oracle.submissions.keys
        for name in known.keys() - stored.keys():
            if known[name][2] < self._oracle.submissions.keys_swept:
                del known[name]
        if stored != known:
            wrong = sorted(name for name in {*stored, *known} if stored.get(name) != known.get(name))
            told = [(name, stored.get(name), known.get(name)) for name in wrong[:3]]
            raise Violation("idempotency", f"keys as stored and as they should be: {told}")

    # --- counters ----------------------------------------------------------------------------------------------------

    def _counters(self) -> None:
        counters = self._oracle.tasks.counters
        sums = ", ".join(f"sum({name})" for name in SUMS)
        seen: Counter[tuple[str, str, str]] = Counter()
        for scope, key, *values in self._db.execute(f"SELECT scope, key, {sums} FROM stats_hour GROUP BY scope, key"):  # noqa: S608
            for name, value in zip(SUMS, values, strict=True):
                if value:
                    seen[scope, key, name] = value
        wanted = Counter({name: value for name, value in counters.sums.items() if value})
        if seen != wanted:
            wrong = {name for name in {*seen, *wanted} if seen[name] != wanted[name]}
            details = ", ".join(f"{name}: {seen[name]} should be {wanted[name]}" for name in sorted(wrong))
            raise Violation("counters", details)
        by_hour = "SELECT hour, created, completed, failed, timed_out, cancelled FROM stats_hour WHERE scope = 'yard'"
        for hour, *values in self._db.execute(by_hour):
            for name, value in zip(("created", *ENDS.values()), values, strict=True):
                if value != counters.by_hour[hour, name]:
                    raise Violation("counters", f"{name} of hour {hour}: {value}, not {counters.by_hour[hour, name]}")
        check_figures(self._db, self._oracle.tasks)

    def memory(self, queued: int, processing: int, owners: dict[str, int], flows: dict[tuple[int, str], int]) -> None:
        """Compare the engine's counts in memory with the store. Raises `Violation`."""
        rows = list(self._db.execute("SELECT owner, lane, avoid, due_at IS NULL FROM queue"))
        runs = self._db.execute("SELECT count(*) FROM run WHERE linger_until IS NULL").fetchone()[0]
        ready = Counter((lane, avoid) for _, lane, avoid, is_ready in rows if is_ready)
        stored = (len(rows), runs, Counter(row[0] for row in rows), ready)
        counted = (queued, processing, Counter(owners), Counter(flows))
        if stored != counted:
            raise Violation("counts in memory", f"{counted}, in the store {stored}")

    # --- servers -----------------------------------------------------------------------------------------------------

    def _servers(self) -> None:
        rows = list(self._db.execute("SELECT id, maintenance, draining, state, misconfigured FROM server"))
        boxes = self._oracle.boxes.by_id
        if {row[0] for row in rows} != set(boxes):
            raise Violation("servers", f"stored are {[row[0] for row in rows]}, registered {list(boxes)}")
        for server, maintenance, draining, _, misconfigured in rows:
            box = boxes[server]
            if (maintenance, draining, misconfigured) != (box.maintenance, box.draining, box.misconfigured):
                raise Violation("servers", f"{server} is stored with {maintenance, draining, misconfigured}: {box}")

    def states(self) -> None:
        """A node starts from the stored states: they must be the true ones, unless the shown status hid them."""
        for server, stored in self._db.execute("SELECT id, state FROM server"):
            box = self._oracle.boxes.by_id[server]
            state = "up" if stored in ("online", "degraded") else stored
            if state != box.state:
                if not (box.maintenance or box.draining or box.removing or box.unsure):
                    raise Violation("servers", f"{server} is stored as {stored}: {box}")
                box.state = state
            box.unsure = False


_TASKS = "SELECT id, status, attempts, failures, lost, ended_by, purged FROM task"
_QUEUE = "SELECT task_id, avoid, due_at, attempts, failures, lost, deadline, queue_deadline FROM queue"
_RUNS = "SELECT task_id, attempt, server_id, failures, lost, deadline FROM run WHERE linger_until IS NULL"
_HISTORY = "SELECT task_id, outcome, count, attempt, last FROM attempt"
