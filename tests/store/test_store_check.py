"""The check finds each fault that it has a rule for, and nothing in a sound database."""

import shutil
import sqlite3

import pytest

from taskyard.engine.rows import LaneRow
from taskyard.store.check import RULES, STRUCTURE, check
from taskyard.store.port import Unusable
from taskyard.store.queries import load_migrations
from taskyard.store.sqlite import SqliteStore
from tests.store.making import (
    T0,
    attempt_row,
    ended,
    ended_task,
    failure_row,
    load_row,
    new_task,
    plan,
    queue_row,
    run_row,
    series_row,
    server_row,
    stat_row,
    tid,
)

HOUR = T0 // 3_600_000
# The first of the hour that is the first of 288 s too.
SPAN = next(at for at in range(HOUR * 3_600_000, T0 + 3_600_000, 12_000) if at % 288_000 == 0)
WAITING, RUNNING, DONE, FAILED, PURGED = range(1, 6)


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    """A folder with a sound database: tasks in every state, and counters that tell of them and of those removed."""
    data = tmp_path_factory.mktemp("check") / "data"
    store = SqliteStore(data, ballast=0)
    ended(store, 20, 21, type="tts", completed_at=T0 - 5)
    assert store.sweep(T0, 0, 100) == 2
    numbers = range(1, 6)
    counted = {"created": 5, "completed": 2, "failed": 1, "attempts_ok": 2, "attempts_failed": 2, "run_ms": 30}
    store.commit(
        plan(
            lanes=[LaneRow(1, "[]", "", "")],
            servers=[server_row()],
            tasks=[new_task(number, tags='["a","b"]' if number == DONE else None) for number in numbers],
            payloads=[(tid(number), "{}") for number in numbers if number != PURGED],
            tags=[("a", tid(DONE)), ("b", tid(DONE))],
            queued=[queue_row(WAITING)],
            runs=[run_row(RUNNING), run_row(FAILED, 2, server_id="gone", linger_until=T0 + 9)],
            attempts=[attempt_row(FAILED, 1), attempt_row(FAILED, 2, server_id="s2")],
            ended=[ended_task(DONE), ended_task(FAILED, status=3, attempts=2), ended_task(PURGED)],
            results=[(tid(DONE), "1")],
            purged=[(tid(PURGED),)],
            stats=[
                stat_row(HOUR, "yard", "", **counted | {"created": 7, "completed": 4}),
                stat_row(HOUR, "type", "ocr", **counted),
                stat_row(HOUR, "type", "tts", created=2, completed=2),
                stat_row(HOUR, "server", "s1", attempts_ok=1, attempts_failed=1, run_ms=10, online_ms=77),
                stat_row(HOUR, "server", "s2", attempts_ok=1, attempts_failed=1, run_ms=20),
                *(stat_row(0, "kept", owner, created=7, completed=4, failed=1) for owner in ("", "ann")),
            ],
            # Two seconds that are over, one that is not; the first 12 s are over too.
            series=[
                span(SPAN - 12_000, 12_000),
                span(SPAN, 1_000, submitted=3),
                span(SPAN + 11_000, 1_000, submitted=1, completed=4),
                span(SPAN + 12_000, 1_000, submitted=3, failed=1),
                span(SPAN, 12_000, submitted=4, completed=4),
                span(SPAN, 288_000, submitted=4, completed=4),
            ],
            failures=[
                failure_row("before", hour=HOUR - 1, tasks=0, attempts=0, minutes="{}", servers="{}"),
                failure_row("g", hour=HOUR, tasks=1, attempts=2, minutes='{"7":[1,2]}', servers='{"s1":1,"s2":1}'),
            ],
            failed=[(tid(FAILED), "g")],
            loads=[load_row(at=SPAN, busy_ms=5, slot_ms=5, completed=1, failed=2, outcomes='{"ocr":[1,1,1,4]}')],
        )
    )
    store.close()
    return data


def span(at, step, **counts):
    return series_row(
        at, step, **dict.fromkeys(("submitted", "completed", "failed", "timed_out", "cancelled"), 0) | counts
    )


def look(path):
    return check(path, lambda rule: None)


def test_a_sound_database_has_no_faults_and_is_counted(yard):
    heard = []
    report = check(yard / "taskyard.db", heard.append)
    assert report.faults == []
    assert heard == [STRUCTURE, *(rule for rule, _ in RULES)]
    assert (report.waiting, report.running, report.ended, report.rules) == (1, 1, 3, len(heard))
    assert (report.version, report.recounted) == (load_migrations()[-1].number, True)


# For each rule what breaks it, as SQL; a number stands for that task's id.
BREAKS = {
    "check_bodies": [
        *(
            f"UPDATE {table} SET body = {body} WHERE task_id = '{{3}}'"
            for table in ("payload", "result")
            for body in ("""CAST(x'7b226e223a22ff227d' AS TEXT)""", "'{'")
        ),
    ],
    "check_json": [
        """UPDATE task SET tags = '["' WHERE id = '{1}'""",
        "UPDATE task SET metadata = 'words' WHERE id = '{3}'",
        "UPDATE server SET averages = '' WHERE id = 's1'",
        "UPDATE lane SET capabilities = '['",
    ],
    "check_text": [
        *(
            f"UPDATE {table} SET {column} = CAST(x'61ff' AS TEXT)"
            for table, column in (
                ("task", "message"),
                ("queue", "last_server"),
                ("run", "node"),
                ("attempt", "error"),
                ("server", "name"),
                ("series", "waits"),
            )
        ),
    ],
    "check_words": ["UPDATE queue SET last_outcome = 'lose'", "UPDATE server SET state = 'onlinf'"],
    "check_adrift": [
        "DELETE FROM queue",
        "INSERT INTO run SELECT '{1}', attempt, server_id, node, 7, avoid, failures, lost, deadline, started_at, "
        "limit_at, accepted, responded_at, beat_at, progress, message, linger_until, updated_at FROM run "
        "WHERE task_id = '{2}'",
    ],
    "check_undead": [
        "UPDATE run SET task_id = '{3}' WHERE task_id = '{2}'",
        "UPDATE queue SET task_id = 'task_0' WHERE task_id = '{1}'",
    ],
    "check_queue": [
        "UPDATE queue SET owner = 'eve'",
        "UPDATE queue SET lane = 2",
        "DELETE FROM lane",
    ],
    "check_places": ["UPDATE queue SET rank = (SELECT rank + (3 << 48) FROM run WHERE task_id = '{2}')"],
    "check_runs": ["DELETE FROM server"],
    "check_payloads": ["DELETE FROM payload WHERE task_id = '{3}'", "UPDATE task SET purged = 1 WHERE id = '{4}'"],
    "check_results": [
        "DELETE FROM result",
        "INSERT INTO result VALUES ('{4}', '1')",
        "INSERT INTO result VALUES ('{5}', '1')",
    ],
    "check_orphans": [
        "INSERT INTO payload VALUES ('task_0', '1')",
        "INSERT INTO result VALUES ('task_0', '1')",
        "UPDATE attempt SET task_id = 'task_0'",
        "INSERT INTO task_tag VALUES ('a', 'task_0')",
    ],
    "check_ends": ["UPDATE task SET completed_at = NULL WHERE id = '{3}'", "UPDATE task SET completed_at = 1"],
    "check_history": ["UPDATE attempt SET count = 2", "UPDATE attempt SET last = 2, count = 2 WHERE attempt = 1"],
    "check_tags": ["DELETE FROM task_tag WHERE tag = 'b'"],
    "check_tags_of": ["INSERT INTO task_tag VALUES ('c', '{3}')", "INSERT INTO task_tag VALUES ('a', '{4}')"],
    "check_yard": [
        *(
            f"UPDATE stats_hour SET {name} = {name} + 1 WHERE scope = 'yard'"
            for name in ("created", "completed", "failed", "cancelled", "timed_out", "retried", "waits", "wait_ms")
        ),
        "DELETE FROM stats_hour WHERE scope = 'yard'",
    ],
    "check_servers": [
        *(
            f"UPDATE stats_hour SET {name} = {name} + 1 WHERE key = 's1'"
            for name in ("attempts_ok", "attempts_failed", "run_ms", "responses", "response_ms")
        ),
        "DELETE FROM stats_hour WHERE key = 's2'",
    ],
    "check_created": [
        "UPDATE stats_hour SET created = created + 1 WHERE key = 'ocr'",
        "UPDATE stats_hour SET created = created + 1 WHERE scope = 'removed'",
        "UPDATE stats_hour SET created = created - 1 WHERE scope IN ('yard', 'type') AND key IN ('', 'ocr')",
    ],
    "check_completed": [
        "UPDATE stats_hour SET completed = completed + 1 WHERE key = 'ocr'",
        "UPDATE stats_hour SET completed = completed - 1 WHERE scope = 'removed'",
    ],
    "check_ended": [
        "UPDATE stats_hour SET failed = 0 WHERE key = 'ocr'",
        "UPDATE task SET status = 4 WHERE id = '{4}'",
        "UPDATE task SET status = 5 WHERE id = '{4}'",
    ],
    "check_kept": [
        *(
            f"UPDATE stats_hour SET {name} = {name} + 1 WHERE scope = 'kept' AND key = '{key}'"
            for name in ("created", "completed", "failed", "timed_out", "cancelled")
            for key in ("", "ann")
        ),
        "UPDATE task SET owner = 'eve' WHERE id = '{3}'",
        "DELETE FROM stats_hour WHERE scope = 'kept'",
    ],
    "check_spans": [
        *(
            f"UPDATE series SET {name} = {name} + 1 WHERE step = 12000 AND submitted = 4"
            for name in ("submitted", "completed", "failed", "timed_out", "cancelled")
        ),
        "UPDATE series SET submitted = submitted + 1 WHERE step = 1000",
        "DELETE FROM series WHERE step = 12000 AND submitted = 4",
    ],
    "check_long_spans": [
        *(
            f"UPDATE series SET {name} = {name} + 1 WHERE step = 288000"
            for name in ("submitted", "completed", "failed", "timed_out", "cancelled")
        ),
        "DELETE FROM series WHERE step = 288000",
    ],
    "check_series": [
        *(
            f"UPDATE stats_hour SET {name} = {name} + 1 WHERE scope IN ('yard', 'type') AND key IN ('', 'ocr')"
            for name in ("created", "completed", "failed", "timed_out", "cancelled")
        ),
        "UPDATE series SET submitted = submitted + 1 WHERE step = 1000 AND failed = 1",
    ],
    "check_failures": [
        "UPDATE failure_group SET tasks = 2 WHERE id = 'g'",
        "DELETE FROM failure_group WHERE id = 'g'",
    ],
    "check_groups": [
        "UPDATE failure_group SET tasks = 2 WHERE id = 'g'",
        "UPDATE failure_group SET attempts = 1 WHERE id = 'g'",
        """UPDATE failure_group SET minutes = '{"7":[1,1]}' WHERE id = 'g'""",
    ],
    "check_failed": [
        "DELETE FROM failed_task",
        "INSERT INTO failed_task VALUES ('{3}', 'g')",
        "INSERT INTO failed_task VALUES ('task_0', 'g')",
    ],
    "check_loads": [
        "UPDATE server_load SET busy_ms = 6",
        "UPDATE server_load SET completed = 2",
        "UPDATE server_load SET failed = 1",
    ],
    "check_hours": ["UPDATE stats_hour SET hour = hour + 1 WHERE scope IN ('yard', 'type')"],
}
CASES = [(name, statement) for name, statements in BREAKS.items() for statement in statements]


@pytest.fixture
def broken(yard, tmp_path):
    """A copy of the sound database, and a way to change it."""
    path = tmp_path / "broken.db"
    shutil.copy(yard / "taskyard.db", path)

    def change(*statements):
        database = sqlite3.connect(path)
        for statement in statements:
            for number in range(1, 6):
                statement = statement.replace("{" + str(number) + "}", tid(number))
            assert database.execute(statement).rowcount != 0, statement
        database.commit()
        database.close()
        return path

    return change


@pytest.mark.parametrize(("name", "statement"), CASES)
def test_each_rule_finds_what_breaks_it(broken, name, statement):
    rules = dict(RULES)
    report = look(broken(statement))
    assert name in {rules[fault.rule] for fault in report.faults}
    assert all(fault.places for fault in report.faults)


def test_each_rule_is_broken_once_at_least():
    assert set(BREAKS) == {name for _, name in RULES}


def test_a_broken_index_is_found_and_rows_are_not_asked_then(broken):
    """The start looks at structure alone, and would not see it."""
    path = broken("UPDATE task SET owner = 'somebody with a long name' WHERE id = '{4}'")
    body = path.read_bytes()
    first = body.index(b"somebody with a long name")
    second = body.index(b"somebody with a long name", first + 1)
    with path.open("r+b") as file:
        file.seek(second)
        file.write(b"S")
    report = look(path)
    assert [fault.rule for fault in report.faults] == [STRUCTURE]
    assert (report.rules, report.recounted) == (1, False)
    assert any("index" in place for place in report.faults[0].places)


def test_what_is_no_database_of_ours_is_refused(broken, tmp_path):
    path = broken("DELETE FROM queue")
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(Unusable, match="damaged"):
        look(path)
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(Unusable, match="another application"):
        look(tmp_path / "other.db")
