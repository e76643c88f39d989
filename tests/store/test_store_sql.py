"""The SQL itself: none outside `sql/`, none glued together, and for each statement the index that it was made for."""

import ast
import itertools
import re
from pathlib import Path

import pytest

import taskyard.store
from taskyard.engine import rows
from taskyard.store.postgres.queries import QUERIES as SERVER_QUERIES
from taskyard.store.queries import QUERIES, load_migrations, load_queries, parse, widened
from taskyard.store.sqlite import SqliteStore

FOLDER = Path(taskyard.store.__file__).parent
MODULES = sorted(FOLDER.glob("**/*.py"))
FILES = sorted(FOLDER.glob("sql/*.sql"))
KEYWORDS = ("SELECT ", "INSERT ", "UPDATE ", "DELETE ", "CREATE ", "DROP ", "ALTER ", "PRAGMA ")
# These take a statement as their first argument.
CALLS = ("rows", "row", "change", "change_each", "execute", "executemany", "executescript", "_pragma")


def faults(source, port=False):
    """What a module does that none in `store/` may. The port to SQLite has its own PRAGMAs, with numbers in them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.JoinedStr):
            found.append(f"{node.lineno}: an f-string")
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) and holds_text(node.left):
            found.append(f"{node.lineno}: text put together by %")
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "format":
            found.append(f"{node.lineno}: text put together by format")
        name = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if name in CALLS and node.args and not (port or from_file(node.args[0])):
            found.append(f"{node.lineno}: a statement that does not stand in sql/")
        if port and name in CALLS and node.args and isinstance(node.args[0], ast.BinOp):
            first = node.args[0]
            while isinstance(first, ast.BinOp):
                first = first.left
            if not holds_text(first) or not first.value.startswith("PRAGMA "):
                found.append(f"{node.lineno}: a statement put together by +")
    if not port:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(KEYWORDS):
                found.append(f"{node.lineno}: SQL outside sql/")
    return found


def holds_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def from_file(node):
    """Whether a statement is one of the named ones: `QUERIES[...]`, its name, or a name that stands for one.

    Those of a move stand in files of its own, and names of the schema are put into them by one function.
    """
    if holds_text(node):
        return node.value in QUERIES or node.value in SERVER_QUERIES
    if isinstance(node, ast.Subscript):
        return isinstance(node.value, ast.Name) and node.value.id in ("QUERIES", "FILE", "SERVER")
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("encode", "decode"):
        return from_file(node.func.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id == "filled" and from_file(node.args[0])
    if isinstance(node, ast.Attribute) and node.attr == "sql":
        return from_file(node.value)
    return isinstance(node, ast.Name)


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.name)
def test_no_module_puts_sql_together(module):
    assert faults(module.read_text("utf-8"), port=module.name == "connection.py") == []


@pytest.mark.parametrize(
    "source",
    [
        "x = f'{y}'",
        "x = '%s' % y",
        "x = '{}'.format(y)",
        "c.rows('SELECT 1')",
        "c.rows('a' + b)",
        "c.execute(QUERIES['a'] + b)",
        "c.rows(OTHER['a'])",
        "c.rows(filled('SELECT ' + a))",
        "c.execute((QUERIES['a'] + b).encode())",
        "x = 'DELETE FROM task'",
    ],
)
def test_the_lint_finds(source):
    assert len(faults(source)) >= 1


def test_the_lint_finds_statements_put_together_in_the_port():
    assert faults("self._db.execute('SELECT * FROM ' + name)", port=True) != []
    assert faults("self._pragma('PRAGMA cache_size = ' + str(n))", port=True) == []


def test_every_statement_is_used():
    source = "".join(module.read_text("utf-8") for module in MODULES)
    assert [name for name in QUERIES if f'"{name}"' not in source] == []


@pytest.mark.parametrize(
    "text",
    [
        "-- a --\nSELECT 1;",  # not described
        "-- a --\n-- What.\nSELECT 1",  # not ended
        "-- a --\n-- What.\nSELECT 1;\n-- a --\n-- What.\nSELECT 2;",  # twice
    ],
)
def test_a_file_that_breaks_the_form_is_refused(text):
    with pytest.raises(ValueError, match="the statement a"):
        parse(text)


def test_statements_are_for_every_database():
    for name, statement in load_queries().items():
        assert statement.count("?") <= 100, name
        assert statement.count("json_each(?)") <= 1, name
        for word in ("PRAGMA", "BEGIN", "REPLACE", "GLOB", "rowid", "INDEXED"):
            assert word not in statement, name


def test_migrations_are_numbered_without_a_gap():
    assert [migration.number for migration in load_migrations()] == list(range(1, len(load_migrations()) + 1))


# --- the schema ------------------------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path):
    store = SqliteStore(tmp_path / "data")
    store._writer._db.create_function("is_text", 1, lambda _: True)  # a check's connection has it
    yield store._writer._db
    store.close()


TABLES = {
    "lane": rows.LaneRow,
    "task": rows.TaskRow,
    "queue": rows.QueueRow,
    "run": rows.RunRow,
    "attempt": rows.AttemptRow,
    "server": rows.ServerRow,
    "idempotency": rows.KeyRow,
    "stats_hour": rows.StatRow,
}


@pytest.mark.parametrize("table", TABLES)
def test_columns_stand_in_the_order_of_the_rows_with_their_types(database, table):
    row = TABLES[table]
    columns = [
        (name, kind, bool(required)) for _, name, kind, required, *_ in database.execute(f"PRAGMA table_info({table})")
    ]
    expected = [
        (name, "INTEGER" if hint.startswith("int") else "TEXT", "None" not in hint)
        for name, hint in row.__annotations__.items()
        for hint in [hint if isinstance(hint, str) else hint.__forward_arg__]
    ]
    assert columns == expected


def test_every_table_is_strict_and_holds_numbers_and_text_alone(database):
    tables = database.execute("SELECT name, strict FROM pragma_table_list WHERE schema = 'main' AND type = 'table'")
    strict = {name: bool(flag) for name, flag in tables if not name.startswith("sqlite_")}
    assert all(strict.values()), strict
    names = set(strict)
    assert names >= {*TABLES, "payload", "result", "task_tag", "setting", "audit", "node", "lease", "inbox"}
    for name in names:
        assert {kind for _, _, kind, *_ in database.execute(f"PRAGMA table_info({name})")} <= {"INTEGER", "TEXT"}


def test_every_index_says_what_it_serves():
    text = (FOLDER / "sql" / "migrations" / "0001_first.sql").read_text("utf-8").splitlines()
    for above, line in itertools.pairwise(text):
        assert not line.startswith("CREATE INDEX") or above.startswith("--"), line


# How the statements that could be slow find their rows.
PLANS = {
    "load_sums": "l USING COVERING INDEX server_load_sums (server_id=? AND at>? AND at<?)",
    "refill": "q USING INDEX queue_order (lane=? AND limit_key=? AND avoid=? AND due_at=? AND rank>?)",
    "ready_between": "q USING COVERING INDEX queue_order (lane=? AND limit_key=? AND avoid=? AND due_at=? AND rank>?",
    "wakes": "q USING INDEX queue_wake ((wake_at,task_id)>(?,?))",
    "flows": "q USING COVERING INDEX queue_order",
    "owners": "q USING COVERING INDEX queue_order",
    "last_ended": "t USING COVERING INDEX task_by_end",
    "ended_before": "t USING INDEX task_by_end (completed_at<?)",
    "keys": "i USING PRIMARY KEY (owner=? AND key=?)",
    "keys_before": "i USING COVERING INDEX idempotency_by_expiry (expires_at<?)",
    "resubmitted_as": "t USING COVERING INDEX task_by_original (resubmit_of=?)",
    "stats_of_scope": "s USING INDEX stats_by_hour (scope=? AND hour>? AND hour<?)",
    "list_all": "t USING PRIMARY KEY (id>? AND id<?)",
    "list_by_owner": "t USING INDEX task_by_owner (owner=? AND id>? AND id<?)",
    "list_by_type": "t USING INDEX task_by_type (type=? AND id>? AND id<?)",
    "list_by_lane": "t USING INDEX task_by_lane (lane=? AND id>? AND id<?)",
    "list_by_status": "t USING INDEX task_by_status (status=? AND id>? AND id<?)",
    "list_by_server": "t USING INDEX task_by_server (server_id=? AND id>? AND id<?)",
    "list_by_tag": "g USING PRIMARY KEY (tag=? AND task_id>? AND task_id<?)",
    "list_queued": "q USING PRIMARY KEY (task_id>? AND task_id<?)",
    "type_after": "t USING COVERING INDEX task_by_type (type>?)",
}
# Read whole: few rows, or at a start alone. (`j` and `c` are the items of a JSON array.)
SCANS = {"servers", "settings", "flows", "owners", "runs", "last_created", "last_audited", "readable", "audit", "alive"}
SCANS |= {"lanes_with", "attempt_server"}
# They look up something of each server.
SCANS |= {"health_before", "healths_latest", "load_sums"}
# It scans what its bounded subquery found by index.
SCANS |= {"ready_between"}
# What reads the whole of a database that nobody else has open.
CHECKS = {name for name in QUERIES if name.startswith("check_")}
# What was bound: the items of a JSON array, the rows of a `VALUES`.
BOUND = re.compile(r"SCAN (j VIRTUAL|e$|CONSTANT ROW|[0-9]+ CONSTANT ROWS)")


@pytest.mark.parametrize("name", [name for name, statement in QUERIES.items() if widened(statement, 2)])
def test_a_change_for_many_rows_finds_them_as_for_one(database, name):
    def steps(statement):
        rows = database.execute("EXPLAIN QUERY PLAN " + statement, [None] * statement.count("?"))
        return [row[3] for row in rows if row[3].startswith("SEARCH") or not BOUND.match(row[3])]

    found = [step for step in steps(widened(QUERIES[name], 64)) if step.startswith("SEARCH")]
    assert found == [step for step in steps(QUERIES[name]) if step.startswith("SEARCH")]


def test_what_takes_many_rows_at_once():
    assert widened("INSERT INTO a (b, c) VALUES (?, ?) ON CONFLICT DO NOTHING", 3) == (
        "INSERT INTO a (b, c) VALUES (?, ?), (?, ?), (?, ?) ON CONFLICT DO NOTHING"
    )
    assert widened("DELETE FROM a WHERE b = ?", 3) is None
    # All that a turn writes once a task or more.
    wide = {name for name, statement in QUERIES.items() if widened(statement, 2)}
    assert wide >= {"task_insert", "payload_insert", "queue_upsert", "queue_delete", "run_upsert", "run_delete"}
    assert wide >= {"task_end", "result_insert", "stats_add", "attempt_insert"}


@pytest.mark.parametrize("name", QUERIES)
def test_statements_use_their_indexes(database, name):
    statement = QUERIES[name]
    steps = [row[3] for row in database.execute("EXPLAIN QUERY PLAN " + statement, [None] * statement.count("?"))]
    if name in PLANS:
        assert any(PLANS[name] in step for step in steps), steps
    if name not in SCANS | CHECKS:
        assert not [step for step in steps if step.startswith("SCAN") and not BOUND.match(step)], steps
    if name not in {"owners"} | CHECKS:
        assert not [step for step in steps if "TEMP B-TREE" in step], steps
