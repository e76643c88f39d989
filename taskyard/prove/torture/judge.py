"""Judges what a crash test has left: `python judge.py DATABASE CLIENT_LOG BACKEND_LOG...`.

It joins the client's own log, the backends' own logs and the database, and shares nothing with Taskyard: the logs are
lines of JSON, the database is read by the SQL below. It prints findings, its figures as lines of `name: value`, and
ends with 1 if there was any finding.

| log | event | says |
|---|---|---|
| client | `sent` key · `ack` key, id | a submission is about to go out · it was acknowledged, perhaps more than once |
| client | `end` id, status, result | what the client was told of a task that had ended |
| client | `missed` id | the client was told that there is no such task |
| backend | `got` task, attempt, server | an attempt came |
| backend | `gave` task, attempt, result · `failed` task, attempt | a result is about to be given · so is a failure |
| backend | `told` task, attempt, word, http | what a callback was answered |
| proxy | `cut` task, attempt | the connection that carried an attempt is about to be broken |
"""

import json
import sqlite3
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

COMPLETED, FAILED, TIMEOUT, CANCELLED = 2, 3, 4, 5
NAMES = {COMPLETED: "COMPLETED", FAILED: "FAILED", TIMEOUT: "TIMEOUT", CANCELLED: "CANCELLED"}
SHOWN_OF_A_KIND = 5
# What the findings come to: something promised is not there, or something happened once too often.
LOST = {
    "acknowledged but missing",
    "never acknowledged",
    "key not kept",
    "payload not kept",
    "never ended",
    "completed without its result",
    "waits or runs without a task",
    "a callback was told 200, its result is not kept",
    "a callback was told 200, its failure is not kept",
}
TWICE = {"one key, two tasks", "two results", "the client was told otherwise", "counted otherwise", "shown otherwise"}


class Task(NamedTuple):
    """A task as the store has it."""

    id: str
    status: int
    attempts: int
    failures: int
    lost: int
    server: str | None


class Logs:
    """What the client and the backends wrote."""

    def __init__(self, client: str, backends: list[str]) -> None:
        self.sent: set[str] = set()
        self.acks: list[tuple[str, str]] = []
        self.ends: list[dict[str, Any]] = []
        self.missed: list[str] = []
        self.came: list[tuple[str, int, str]] = []
        self.gave: dict[tuple[str, int], list[str]] = defaultdict(list)
        self.failed: set[tuple[str, int]] = set()
        self.told: list[dict[str, Any]] = []
        for event in _lines(client):
            if event["event"] == "sent":
                self.sent.add(event["key"])
            elif event["event"] == "ack":
                self.acks.append((event["key"], event["id"]))
            elif event["event"] == "end":
                self.ends.append(event)
            elif event["event"] == "missed":
                self.missed.append(event["id"])
        for event in (event for backend in backends for event in _lines(backend)):
            if event["event"] == "told":
                self.told.append(event)
                continue
            attempt = (event["task"], event["attempt"])
            if event["event"] == "got":
                self.came.append((*attempt, event["server"]))
            elif event["event"] == "gave":
                self.gave[attempt].append(_same(event["result"]))
            elif event["event"] in ("failed", "cut"):
                self.failed.add(attempt)


COUNTED = ("created", "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT")
_KEPT = """SELECT sum(created), sum(completed), sum(failed), sum(cancelled), sum(timed_out)
    FROM stats_hour WHERE scope = 'kept' AND key = ''"""
_SERIES = """WITH l AS (
        SELECT max(at) / 12000 * 12000 AS middle, max(at) / 288000 * 288000 AS coarse FROM series WHERE step = 1000
    )
    SELECT sum(submitted), sum(completed), sum(failed), sum(cancelled), sum(timed_out) FROM series, l
    WHERE step = 1000 AND at >= middle
        OR step = 12000 AND at >= coarse AND at < middle
        OR step = 288000 AND at < coarse"""


class Store:
    """What the database holds."""

    def __init__(self, path: str) -> None:
        database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        ask = database.execute
        self.tasks = {
            row[0]: Task(*row) for row in ask("SELECT id, status, attempts, failures, lost, server_id FROM task")
        }
        self.keys = dict(ask("SELECT key, task_id FROM idempotency"))
        self.payloads = {task: json.loads(body) for task, body in ask("SELECT task_id, body FROM payload")}
        self.results: list[tuple[str, str]] = ask("SELECT task_id, body FROM result").fetchall()
        self.queued = {task for (task,) in ask("SELECT task_id FROM queue")}
        self.running = {task for (task,) in ask("SELECT task_id FROM run WHERE linger_until IS NULL")}
        self.attempts: list[tuple[str, int, int, str, str]] = ask(
            "SELECT task_id, attempt, last, server_id, outcome FROM attempt"
        ).fetchall()
        self.counted: dict[str, int] = dict(
            zip(
                COUNTED,
                ask(
                    "SELECT sum(created), sum(completed), sum(failed), sum(cancelled), sum(timed_out)"
                    " FROM stats_hour WHERE scope = 'yard'"
                ).fetchone(),
                strict=True,
            )
        )
        # The same twice more: as the tasks that are kept, and folded from the last second into 12 s, 288 s and all.
        self.shown: dict[str, dict[str, int]] = {
            "kept": dict(zip(COUNTED, ask(_KEPT).fetchone(), strict=True)),
            "series": dict(zip(COUNTED, ask(_SERIES).fetchone(), strict=True)),
        }
        self.failed = {task for (task,) in ask("SELECT task_id FROM failed_task")}
        (self.grouped,) = ask("SELECT coalesce(sum(tasks), 0) FROM failure_group").fetchone()
        database.close()


def _lines(path: str) -> Iterator[dict[str, Any]]:
    with open(path, encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def _same(value: Any) -> str:
    """JSON by its value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def judge(logs: Logs, store: Store) -> Iterator[str]:
    """All findings, each as `kind: words`."""
    yield from _acknowledged(logs, store)
    yield from _ended(logs, store)
    yield from _results(logs, store)
    yield from _promised(logs, store)
    yield from _attempts(logs, store)
    yield from _counted(store)


def _acknowledged(logs: Logs, store: Store) -> Iterator[str]:
    by_key: dict[str, set[str]] = defaultdict(set)
    for key, task in logs.acks:
        by_key[key].add(task)
    for key in logs.sent - by_key.keys():
        yield f"never acknowledged: key {key}"
    acknowledged = set()
    for key, tasks in by_key.items():
        if len(tasks) > 1:
            yield f"one key, two tasks: key {key}: {', '.join(sorted(tasks))}"
        for task in tasks:
            acknowledged.add(task)
            if task not in store.tasks:
                yield f"acknowledged but missing: {task}"
            if store.keys.get(key) != task:
                yield f"key not kept: key {key} of {task}"
            if store.payloads.get(task, {}).get("key") != key:
                yield f"payload not kept: {task} of key {key}"
    for task in logs.missed:
        yield f"acknowledged but missing: {task}, when the client asked"
    for task in store.tasks.keys() - acknowledged:
        yield f"stored but not acknowledged: {task}"


def _ended(logs: Logs, store: Store) -> Iterator[str]:
    for task in store.tasks.values():
        if task.status not in NAMES:
            yield f"never ended: {task.id}"
    for task_id in store.queued | store.running:
        if task_id not in store.tasks:
            yield f"waits or runs without a task: {task_id}"
        elif store.tasks[task_id].status in NAMES:
            yield f"ended, and waits or runs: {task_id}"
    results = dict(store.results)
    for end in logs.ends:
        found = store.tasks.get(end["id"])
        if found is None or NAMES.get(found.status) != end["status"]:
            yield f"the client was told otherwise: {end['id']} had ended as {end['status']}"
        elif end["status"] == "COMPLETED" and _same(end["result"]) != _same(json.loads(results.get(end["id"], "0"))):
            yield f"the client was told otherwise: {end['id']} had another result"


def _results(logs: Logs, store: Store) -> Iterator[str]:
    seen: set[str] = set()
    for task_id, body in store.results:
        task = store.tasks.get(task_id)
        result = json.loads(body)
        if task_id in seen:
            yield f"two results: {task_id}"
        seen.add(task_id)
        if task is None or task.status != COMPLETED:
            yield f"a result without a completed task: {task_id}"
        elif not isinstance(result, dict) or _same(result) not in logs.gave[task_id, result.get("attempt", 0)]:
            yield f"a result that no backend gave: {task_id}: {body[:200]}"
        elif result["key"] != store.payloads.get(task_id, {}).get("key"):
            yield f"another task's result: {task_id}"
    for task in store.tasks.values():
        if task.status == COMPLETED and task.id not in seen:
            yield f"completed without its result: {task.id}"


def _promised(logs: Logs, store: Store) -> Iterator[str]:
    """What a callback was told is a promise too."""
    results = dict(store.results)
    failed = {(task, attempt) for task, attempt, _, _, outcome in store.attempts if outcome == "failed"}
    for told in logs.told:
        attempt = (told["task"], told["attempt"])
        if told["http"] not in (200, 202, 409):
            yield f"a callback was answered {told['http']}: {attempt}"
        elif told["http"] == 409 and told["word"] == "COMPLETED":
            task = store.tasks.get(told["task"])
            if task is not None and task.attempts <= told["attempt"] and task.status == COMPLETED:
                yield f"a result was refused that nothing had overtaken: {attempt}"
        elif told["http"] != 200:
            continue
        elif (
            told["word"] == "COMPLETED" and _same(json.loads(results.get(told["task"], "0"))) not in logs.gave[attempt]
        ):
            yield f"a callback was told 200, its result is not kept: {attempt}"
        elif told["word"] == "FAILED" and attempt not in failed:
            yield f"a callback was told 200, its failure is not kept: {attempt}"


def _attempts(logs: Logs, store: Store) -> Iterator[str]:
    """Each attempt that a backend saw stands in the store, under its server; and no number was given twice."""
    server_of = {(task.id, task.attempts): task.server for task in store.tasks.values() if task.attempts}
    outcomes: dict[str, Counter[str]] = defaultdict(Counter)
    unreached: set[tuple[str, int]] = set()
    for task_id, first, last, server, outcome in store.attempts:
        outcomes[task_id][outcome] += 1
        for number in range(first, last + 1):
            server_of[task_id, number] = server
            if outcome == "unreached":
                unreached.add((task_id, number))
            if task_id in store.tasks and number > store.tasks[task_id].attempts:
                yield f"an attempt beyond the task's number: {task_id}, attempt {number}"
        if outcome == "failed" and (task_id, first) not in logs.failed:
            yield f"a failure that no backend gave: {task_id}, attempt {first}"
    for task in store.tasks.values():
        for number in range(1, task.attempts + 1):
            if (task.id, number) not in server_of:
                yield f"an attempt that the store has forgotten: {task.id}, attempt {number}"
        counted = outcomes[task.id]
        if task.failures != counted["failed"] + counted["timeout"] or task.lost != counted["lost"]:
            yield f"failures are not counted right: {task.id}: {task.failures}, {task.lost}, not {dict(counted)}"
    for (task_id, attempt), times in Counter((task, attempt) for task, attempt, _ in logs.came).items():
        if times > 1:
            yield f"one attempt sent {times} times: {task_id}, attempt {attempt}"
    for task_id, attempt, server in logs.came:
        found = store.tasks.get(task_id)
        if found is None or attempt > found.attempts or attempt < 1:
            yield f"an attempt that the store does not cover: {task_id}, attempt {attempt} at {server}"
        elif (task_id, attempt) in unreached:
            yield f"an attempt came that the store calls unreached: {task_id}, attempt {attempt} at {server}"
        elif server_of.get((task_id, attempt)) != server:
            yield f"an attempt under another server: {task_id}, attempt {attempt} was at {server}"


def _counted(store: Store) -> Iterator[str]:
    """The counters were written with the facts: a task that ended twice was counted twice."""
    recount = Counter(NAMES.get(task.status, "live") for task in store.tasks.values())
    recount["created"] = len(store.tasks)
    for name, count in store.counted.items():
        if count != recount[name]:
            yield f"counted otherwise: {count} {name}, found {recount[name]}"
    for what, counts in store.shown.items():
        for name, count in counts.items():
            if count != recount[name]:
                yield f"shown otherwise: {what}: {count} {name}, found {recount[name]}"
    failed = {task.id for task in store.tasks.values() if NAMES.get(task.status) in ("FAILED", "TIMEOUT")}
    if store.failed != failed or store.grouped != len(failed):
        told = f"{len(store.failed)} in groups that tell of {store.grouped}"
        yield f"shown otherwise: failures: {told}, found {len(failed)}"


def main(database: str, client: str, *backends: str) -> int:
    logs, store = Logs(client, list(backends)), Store(database)
    kinds: Counter[str] = Counter()
    for finding in judge(logs, store):
        kind = finding.partition(":")[0]
        kinds[kind] += 1
        if kinds[kind] <= SHOWN_OF_A_KIND:
            print(finding)
    for kind, count in kinds.items():
        if count > SHOWN_OF_A_KIND:
            print(f"{kind}: {count} in all")
    ended = sum(task.status in NAMES for task in store.tasks.values())
    states = Counter(NAMES.get(task.status, "live") for task in store.tasks.values())
    lost = sum(count for kind, count in kinds.items() if kind in LOST)
    twice = sum(count for kind, count in kinds.items() if kind in TWICE)
    print(f"acknowledged: {len({task for _, task in logs.acks})}")
    print(f"ended: {ended} ({', '.join(f'{count} {name}' for name, count in sorted(states.items()))})")
    print(f"attempts: {len(logs.came)} came, {len(store.attempts)} entries in history")
    print(f"lost: {lost}")
    print(f"recorded twice: {twice}")
    print(f"other findings: {sum(kinds.values()) - lost - twice}")
    return 1 if kinds else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
