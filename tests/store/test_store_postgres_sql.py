"""PostgreSQL's SQL itself: columns stand in the order of the rows, and each statement finds its rows by an index."""

import itertools
import re
from pathlib import Path

import psycopg
import pytest

import taskyard.store.postgres
from taskyard.engine.plan import Writes
from taskyard.engine.rows import (
    AttemptRow,
    AuditRow,
    EndedTask,
    FacetRow,
    FailureRow,
    HealthRow,
    KeyRow,
    LaneRow,
    LoadRow,
    NewTask,
    QueueRow,
    RunRow,
    SeriesRow,
    ServerRow,
    StatRow,
)
from taskyard.store.postgres.arrays import numbers, texts
from taskyard.store.postgres.days import DAY_MS
from taskyard.store.postgres.queries import QUERIES, load_migrations
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, new_task, plan, tid

FOLDER = Path(taskyard.store.postgres.__file__).parent
SOURCE = "".join(
    path.read_text("utf-8")
    for path in [*FOLDER.glob("*.py"), FOLDER.parent / "listing.py", FOLDER.parent / "figures.py"]
)
TABLES = {
    "lane": LaneRow,
    "task": NewTask,
    "ended": EndedTask,
    "queue": QueueRow,
    "run": RunRow,
    "attempt": AttemptRow,
    "server": ServerRow,
    "idempotency": KeyRow,
    "stats_hour": StatRow,
    "stats_part": StatRow,
    "series": SeriesRow,
    "failure_group": FailureRow,
    "server_health": HealthRow,
    "server_load": LoadRow,
    "facet": FacetRow,
    "audit": AuditRow,
}
# Beside the row's own: what marks a purged and a retried task, and numbers that give an order.
MORE = {"task": ["purged", "retried"], "stats_part": ["id"], "audit": ["id"]}
# The statement of each kind of row, which takes its columns.
INSERTS = {
    "lane_insert": LaneRow,
    "task_insert": NewTask,
    "key_upsert": KeyRow,
    "queue_upsert": QueueRow,
    "run_upsert": RunRow,
    "attempt_insert": AttemptRow,
    "attempt_add": AttemptRow,
    "task_end": EndedTask,
    "server_upsert": ServerRow,
    "stats_add": StatRow,
    "series_upsert": SeriesRow,
    "failure_upsert": FailureRow,
    "health_upsert": HealthRow,
    "load_upsert": LoadRow,
    "facet_upsert": FacetRow,
    "audit_insert": AuditRow,
}


@pytest.fixture(scope="module")
def connection(database):
    """A connection to a database with a few days in it."""
    store = PostgresStore(database)
    store.commit(plan(tasks=[new_task(n, at=T0 + n * DAY_MS) for n in range(5)]))
    store.close()
    with psycopg.connect(database, autocommit=True, cursor_factory=psycopg.RawCursor) as opened:
        yield opened


def kinds(row):
    hints = [hint if isinstance(hint, str) else hint.__forward_arg__ for hint in row.__annotations__.values()]
    return [("bigint" if hint.startswith("int") else "text", "None" not in hint) for hint in hints]


@pytest.mark.parametrize("table", TABLES)
def test_columns_stand_in_the_order_of_the_rows_with_their_types(connection, table):
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, NULL), attnotnull FROM pg_attribute "
        "WHERE attrelid = $1::regclass AND attnum > 0 ORDER BY attnum",
        (table,),
    ).fetchall()
    row = TABLES[table]
    names = [*row._fields, *MORE.get(table, [])]
    assert [name for name, _, _ in columns] == names
    if table == "task":  # a row from which everything but the end is read
        columns = columns[:-1]
    assert [(kind, required) for _, kind, required in columns][: len(row._fields)] == kinds(row)


@pytest.mark.parametrize("name", INSERTS)
def test_statements_take_the_columns_of_the_rows(name):
    row = INSERTS[name]
    statement = QUERIES[name]
    assert list(statement.kinds) == [kind for kind, _ in kinds(row)]
    listed = re.search(r"INSERT INTO \w+ \(([^)]*)\)", statement.sql.decode()).group(1)
    assert [column.strip() for column in listed.split(",")] == list(row._fields)


def test_every_kind_of_row_is_stored():
    assert [name for name in Writes.__slots__ if f'"{name}"' not in SOURCE and f"writes.{name}" not in SOURCE] == []


def test_every_statement_is_used():
    assert [name for name in QUERIES if f'"{name}"' not in SOURCE] == []


def test_parameters_are_numbered_without_a_gap():
    for name, statement in QUERIES.items():
        used = {int(number) for number in re.findall(rb"\$(\d+)", statement.sql)}
        assert used == set(range(1, len(used) + 1)), name


def test_every_index_says_what_it_serves():
    for _, migration in load_migrations():
        for above, line in itertools.pairwise(migration.decode().splitlines()):
            assert not line.startswith("CREATE INDEX") or above.startswith("--"), line


def test_migrations_are_numbered_without_a_gap():
    assert [number for number, _ in load_migrations()] == list(range(1, len(load_migrations()) + 1))


# --- plans -----------------------------------------------------------------------------------------------------------

ID = tid(0).encode()
IDS = texts([tid(0), tid(1)])
PAIR = (IDS, numbers([1, 2]))
RANGE = (tid(9).encode(), tid(0).encode(), b"9")
HOURS = (b"0", b"9")
# Parameters by statement, for those that meet tables that can be large.
PLANNED = {
    "record": (ID,),
    "history": (ID,),
    "attempt_server": (ID, b"1"),
    "payload": (ID,),
    "result": (ID,),
    **dict.fromkeys(
        [
            "records",
            "payloads",
            "task_reopen",
            "result_delete",
            "payload_delete",
            "task_purge",
            "ended_purge",
            "attempt_purge",
            "task_delete",
            "tags_delete",
            "attempts_delete",
            "queue_delete",
        ],
        (IDS,),
    ),
    "run_delete": PAIR,
    "attempt_add": tuple(numbers([1, 2]) if kind == "bigint" else IDS for kind in QUERIES["attempt_add"].kinds),
    "keys": (IDS, IDS),
    "key_delete": (IDS, IDS),
    "refill": (b"1", b"", b"", b"5", b"9"),
    "ready_between": (b"1", b"", b"", b"5", b"8", b"9"),
    "wakes": (b"1", b"", b"9"),
    "ended_between": (b"1", b"9", b"5"),
    "keys_before": (b"1", b"9", b"5"),
    "last_created": (),
    "last_ended": (),
    "last_audited": (),
    "resubmitted_as": (ID,),
    "resubmitted_by": (ID, b"ann"),
    "stats_of_scope": (b"yard", *HOURS),
    "stats_of_key": (b"yard", b"", *HOURS),
    "stats_total": (b"yard", b""),
    "list_all": RANGE,
    "list_by_id": (ID, *RANGE),
    "list_by_owner": (b"ann", *RANGE),
    "list_by_type": (b"ocr", *RANGE),
    "list_by_lane": (b"1", *RANGE),
    "list_by_status": (b"2", *RANGE),
    "list_by_server": (b"s1", *RANGE),
    "list_by_tag": (b"red", *RANGE),
    "list_queued": RANGE,
    "list_running": RANGE,
    "list_running_on": (b"s1", *RANGE),
    "list_by_failure": (b"g", *RANGE),
    "failed_delete": (IDS,),
    "series_of": (b"1000", b"1", b"9"),
    "failures_of_all": (b"1",),
    "failures_of_owner": (b"ann", b"1"),
    "last_failure_of_all": (),
    "last_failure_of_owner": (b"ann",),
    "facets": (b"type", b"", b"o", b"p", b"9"),
    "health_of_all": (b"1", b"9"),
    "health_of": (b"s1", b"1", b"9"),
    "health_before_of": (b"s1", b"1"),
    "health_before": (b"1",),
    "loads_of": (b"s1", b"1"),
    "load_sums": (b"1", b"9"),
    "series_before": (b"1000", b"9"),
    "audit_of_all": (b"9", b"5"),
    "audit_of_who": (b"ann", b"9", b"5"),
    "audit_of_target": (b"s1", b"9", b"5"),
    "series_tail": (b"1000", b"9"),
    "failures_latest": (),
    "loads_latest": (),
    "healths_latest": (),
    "last_health": (),
    "series_forget": (b"1000", b"1", b"9"),
    "failures_forget": (b"1", b"9"),
    "health_forget": (b"1", b"9"),
    "loads_forget": (b"1", b"9"),
    "facets_forget": (b"1", b"9"),
    "audit_forget": (b"1", b"9"),
    "type_from": (b"o",),
    "type_after": (b"o",),
}
# These reach the history by ids that are known when they are planned: in the partitions of one day, of however many.
PRUNED = [
    "record",
    "records",
    "history",
    "attempt_server",
    "payload",
    "result",
    "payloads",
    "task_reopen",
    "result_delete",
    "payload_delete",
    "task_purge",
    "ended_purge",
    "attempt_purge",
    "task_delete",
    "attempts_delete",
]
# One row, read whole.
SMALL = ("stats_rolled",)


def explain(connection, name):
    statement = b"EXPLAIN " + QUERIES[name].sql
    values = [value.decode() for value in PLANNED[name]]
    with connection.transaction():
        connection.execute("SELECT go_by_index()")
        return [line for (line,) in connection.execute(statement, values).fetchall()]


@pytest.mark.parametrize("name", PLANNED)
def test_statements_find_their_rows_by_an_index(connection, name):
    lines = explain(connection, name)
    scans = [line for line in lines if "Seq Scan" in line and not any(f" on {table} " in line for table in SMALL)]
    assert scans == [], "\n".join(lines)


@pytest.mark.parametrize("name", PRUNED)
def test_statements_meet_one_day(connection, name):
    lines = explain(connection, name)
    days = {day for line in lines for day in re.findall(r" on \w+?_(\d{8})\b", line)}
    assert len(days) == 1, "\n".join(lines)
    assert len(connection.execute("SELECT start FROM day").fetchall()) > 3
