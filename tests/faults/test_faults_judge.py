"""The judge itself is judged: on what a small crash test has left it finds nothing, on each tampered copy it does."""

import json
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from taskyard.prove.torture.evidence import Evidence
from taskyard.prove.torture.field import Field
from tests.support.seeds import seed_of_this_run

KILLS = 2
RATE = 400


def _sql(*statements: str) -> Callable[[Evidence], None]:
    def tamper(evidence: Evidence) -> None:
        database = sqlite3.connect(evidence.database)
        for statement in statements:
            database.execute(statement)
        database.commit()
        assert database.total_changes, f"{statements} changed nothing"
        database.close()

    return tamper


def _drop(log: str, *events: str) -> Callable[[Evidence], None]:
    """Without what it says in these events of one key or attempt: the first that is named once in each of them."""

    def tamper(evidence: Evidence) -> None:
        path = evidence.folder / log
        lines = path.read_text().splitlines(keepends=True)
        names = [(e["event"], e.get("key"), e.get("task"), e.get("attempt")) for e in map(json.loads, lines)]
        once = {name for name, count in Counter(names).items() if count == 1}
        whose = next(name[1:] for name in names if all((event, *name[1:]) in once for event in events))
        path.write_text(
            "".join(line for line, name in zip(lines, names, strict=True) if name[1:] != whose or name[0] not in events)
        )

    return tamper


def _drop_all(log: str, event: str) -> Callable[[Evidence], None]:
    def tamper(evidence: Evidence) -> None:
        path = evidence.folder / log
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if json.loads(line)["event"] != event))

    return tamper


def _add(log: str, event: str, /, **changes: object) -> Callable[[Evidence], None]:
    """The first line that says `event` once more, changed."""

    def tamper(evidence: Evidence) -> None:
        path = evidence.folder / log
        first = next(e for e in map(json.loads, path.read_text().splitlines()) if e["event"] == event)
        with path.open("a") as file:
            file.write(json.dumps(first | changes) + "\n")

    return tamper


_ONE = "(SELECT max(id) FROM task WHERE status = 2)"
_RESULT = "(SELECT max(task_id) FROM result)"
_RETRIED = "(SELECT max(a.task_id) FROM attempt a JOIN task t ON t.id = a.task_id WHERE a.attempt < t.attempts)"
TAMPERINGS: dict[str, tuple[Callable[[Evidence], None], str]] = {
    "a task is gone": (_sql(f"DELETE FROM task WHERE id = {_ONE}"), "acknowledged but missing"),
    "a result is another": (
        _sql(f"""UPDATE result SET body = replace(body, '"mark": "', '"mark": "f') WHERE task_id = {_RESULT}"""),
        "a result that no backend gave",
    ),
    "a result is gone": (_sql(f"DELETE FROM result WHERE task_id = {_RESULT}"), "completed without its result"),
    "two tasks have swapped their results": (
        _sql(f"UPDATE result SET body = (SELECT body FROM result LIMIT 1) WHERE task_id = {_RESULT}"),
        "a result that no backend gave",
    ),
    "a second result": (
        _sql(
            "ALTER TABLE result RENAME TO once",
            "CREATE TABLE result AS SELECT * FROM once",
            "INSERT INTO result SELECT * FROM once LIMIT 1",
        ),
        "two results",
    ),
    "an acknowledgement is gone": (_drop("client.log", "ack"), "never acknowledged"),
    "a submission and its acknowledgement are gone": (
        _drop("client.log", "sent", "ack"),
        "stored but not acknowledged",
    ),
    "another id was acknowledged too": (_add("client.log", "ack", id="task_0"), "one key, two tasks"),
    "a key is gone": (_sql("DELETE FROM idempotency WHERE key = (SELECT max(key) FROM idempotency)"), "key not kept"),
    "a payload is another": (
        _sql("UPDATE payload SET body = '{}' WHERE task_id = (SELECT max(task_id) FROM payload)"),
        "payload not kept",
    ),
    "a task never ended": (_sql(f"UPDATE task SET status = 0 WHERE id = {_ONE}"), "never ended"),
    "a task runs on": (
        _sql(
            "INSERT INTO run (task_id, attempt, server_id, node, rank, avoid, failures, lost, started_at, limit_at,"
            f" accepted, beat_at, updated_at) VALUES ({_ONE}, 1, 'direct', 'n', 1, '', 0, 0, 0, 0, 0, 0, 0)"
        ),
        "ended, and waits or runs",
    ),
    "an end was counted twice": (
        _sql("UPDATE stats_hour SET completed = completed + 1 WHERE scope = 'yard'"),
        "counted otherwise",
    ),
    "an end is missing from the tasks that are kept": (
        _sql("UPDATE stats_hour SET completed = completed - 1 WHERE scope = 'kept' AND key = ''"),
        "shown otherwise",
    ),
    "a second is missing": (
        _sql("DELETE FROM series WHERE step = 1000 AND at = (SELECT max(at) FROM series WHERE step = 1000)"),
        "shown otherwise",
    ),
    "a failure was grouped twice": (_sql("UPDATE failure_group SET tasks = tasks + 1"), "shown otherwise"),
    "the client was told of another end": (
        _add("client.log", "end", status="CANCELLED"),
        "the client was told otherwise",
    ),
    "the client was told that there is none": (_add("client.log", "end", event="missed"), "acknowledged but missing"),
    "a backend saw one attempt more": (
        _add("direct.log", "got", attempt=99),
        "an attempt that the store does not cover",
    ),
    "a backend saw an attempt twice": (_add("direct.log", "got"), "one attempt sent 2 times"),
    "another server saw an attempt": (
        _sql(f"UPDATE task SET server_id = 'nobody' WHERE id = {_ONE}"),
        "an attempt under another server",
    ),
    "an attempt that came is called unreached": (
        _sql(f"UPDATE attempt SET outcome = 'unreached' WHERE task_id = {_RETRIED}"),
        "an attempt came that the store calls unreached",
    ),
    "history is gone": (
        _sql(f"DELETE FROM attempt WHERE task_id = {_RETRIED}"),
        "an attempt that the store has forgotten",
    ),
    "a failure that was not": (_drop_all("failing.log", "failed"), "a failure that no backend gave"),
    "a result was refused": (
        _add("callback.log", "told", word="COMPLETED", http=409, attempt=77),
        "a result was refused that nothing had overtaken",
    ),
    "a callback's answer was no promise": (
        _add("callback.log", "told", word="FAILED", http=200, attempt=77),
        "a callback was told 200, its failure is not kept",
    ),
}


def test_the_judge_notices_every_tampering(tmp_path: Path) -> None:
    with Field(tmp_path, rate=RATE, seed=seed_of_this_run()) as field:
        for number in range(KILLS):
            if number:
                field.node.start()
            field.crash(1.2)
        field.node.start()
        field.settle()
        field.node.kill()
        evidence = field.evidence()
    verdict = evidence.judged()
    assert verdict.returncode == 0, verdict.stdout + verdict.stderr
    unnoticed = {}
    for number, (name, (tamper, finding)) in enumerate(TAMPERINGS.items()):
        copy = evidence.copy(tmp_path / f"copy{number}")
        tamper(copy)
        verdict = copy.judged()
        if verdict.returncode != 1 or finding not in verdict.stdout:
            unnoticed[name] = verdict.stdout + verdict.stderr
    assert not unnoticed
