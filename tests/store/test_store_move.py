"""A yard moved from a file into a database and back: what is there afterwards, and what a death at any step leaves."""

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from taskyard.engine.rows import AuditRow, LaneRow
from taskyard.store.move.file import FileSource, FileTarget
from taskyard.store.move.move import Different, Move, _batches
from taskyard.store.move.server import ServerSource, ServerTarget
from taskyard.store.port import InUse, StoreError, Unusable
from taskyard.store.postgres.days import DAY_MS
from taskyard.store.postgres.store import PostgresStore
from taskyard.store.sqlite import SqliteStore
from tests.store.making import (
    T0,
    attempt_row,
    ended_task,
    key_row,
    new_task,
    plan,
    queue_row,
    run_row,
    server_row,
    stat_row,
    tid,
)

FINGERPRINT = ("a fingerprint",)
LATER = T0 + 3 * DAY_MS
# What COPY, JSON and SQL have signs of their own for.
ODD = 'tab\t line\n back\\slash \\N "quoted" it\'s ünïcödé 任务 \x01'
# The same questions for both kinds of database; none of them is the product's.
QUESTIONS = (
    "SELECT id, owner, type, lane, tags, status, server_id FROM listed ORDER BY id",
    "SELECT id, priority, capabilities, metadata, created_at, purged, retried, traceparent FROM task ORDER BY id",
    "SELECT task_id, body, length(body) FROM payload ORDER BY task_id",
    "SELECT task_id, body FROM result ORDER BY task_id",
    "SELECT tag, task_id FROM task_tag ORDER BY tag, task_id",
    "SELECT task_id, attempt, last, outcome, count, http_status, error, metadata FROM attempt ORDER BY 1, 2",
    "SELECT task_id, rank, due_at, wake_at, attempts, last_server, last_outcome FROM queue ORDER BY task_id",
    "SELECT task_id, attempt, server_id, accepted, limit_at, linger_until, progress FROM run ORDER BY task_id, attempt",
    "SELECT id, name, api_key, capabilities, max_concurrent, state, averages FROM server ORDER BY id",
    "SELECT owner, key, hash, task_id, expires_at FROM idempotency ORDER BY owner, key",
    "SELECT name, value FROM setting ORDER BY name",
    "SELECT id, at, who, action, target, details FROM audit ORDER BY id",
    "SELECT id, capabilities, group_name, pin FROM lane ORDER BY id",
)
COUNTERS = (
    "SELECT hour, scope, key, sum(created), sum(completed), sum(wait_ms), max(last_at) FROM {} "
    "GROUP BY 1, 2, 3 ORDER BY 2, 3, 1"
)
ENDS = "SELECT id, status, attempts, completed_at, error, result_metadata, ended_by, progress FROM {} ORDER BY id"


def asked_file(path):
    with closing(sqlite3.connect(path / "taskyard.db")) as database:
        questions = [
            *QUESTIONS,
            ENDS.format("task WHERE status > 0"),
            COUNTERS.format("stats_hour"),
        ]
        return [database.execute(question).fetchall() for question in questions]


def asked_server(url):
    with psycopg.connect(url) as database:
        questions = [*QUESTIONS, ENDS.format("ended"), COUNTERS.format("stats_all")]
        return [database.execute(question.encode()).fetchall() for question in questions]


def fill(store):
    """Tasks in each state, on two days, and a row of each other kind."""
    later = new_task(50, at=LATER, tags='["red","blue"]', metadata=json.dumps({"a": ODD}), traceparent="00-a-b-01")
    numbers = range(1, 13)
    store.commit(
        plan(
            lanes=[LaneRow(1, "[]", "", ""), LaneRow(2, '["gpu"]', "g", "s1")],
            tasks=[later, *(new_task(n, tags='["red"]' if n % 2 else None, priority=n % 3) for n in numbers)],
            payloads=[(later.id, json.dumps({"text": ODD})), *((tid(n), f'{{"n":{n}}}') for n in numbers)],
            tags=[("red", later.id), ("blue", later.id), *(("red", tid(n)) for n in numbers if n % 2)],
            queued=[queue_row(n) for n in (1, 2)]
            + [
                queue_row(3, due_at=T0 + 900, wake_at=T0 + 900, attempts=1, last_server="s1", last_outcome="failed"),
                queue_row(50, place=50)._replace(task_id=later.id),
            ],
            runs=[
                run_row(4),
                run_row(5, accepted=1, responded_at=T0 + 12, progress=40, message=ODD),
                run_row(6, attempt=2, linger_until=T0 + 5000),
            ],
            attempts=[attempt_row(3, error=ODD), attempt_row(6, metadata='{"x":1}'), attempt_row(7, attempt=2)],
            ended=[ended_task(n, status=2 + n % 4, error=ODD if n % 2 else None) for n in range(6, 13)],
            results=[(tid(n), json.dumps(ODD)) for n in range(6, 13) if 2 + n % 4 == 2],
            servers=[server_row("s1", api_key="sealed"), server_row("s2", name=ODD, paused_until=T0 + 7)],
            keys=[key_row("k", 1), key_row("", 2), key_row(ODD, 3)],
            stats=[
                stat_row(1, created=12, completed=2),
                stat_row(1, "type", "ocr", wait_ms=5),
                stat_row(2, "server", "s1"),
            ],
            settings=[("algorithm", '"random"'), ("empty", "")],
            audit=[AuditRow(T0, "ops", "server.created", f"s{n}", None if n % 2 else "{}") for n in range(5)],
        )
    )
    store.commit(plan(retried=[(tid(3),)], purged=[(tid(8),)], stats=[stat_row(1, created=3, wait_ms=2)]))


class Died(Exception):
    """The process is gone."""


@dataclass
class Steps:
    """Dies before a step, counted over both sides from 1 on; a step is a call that changes one of them."""

    dies: int = 0
    taken: int = 0
    within: bool = False

    @contextmanager
    def step(self):
        if self.within:  # a part of another
            yield
            return
        self.taken += 1
        if self.taken == self.dies:
            raise Died
        self.within = True
        yield
        self.within = False


def dying(side, steps):
    """A side whose every change is a step. Its methods are the real ones."""

    def counted(name):
        def call(self, *given):
            with steps.step():
                getattr(side, name)(self, *given)

        return call

    changes = ("begin", "put", "finish", "clear", "release")
    return type(side.__name__, (side,), {name: counted(name) for name in changes if hasattr(side, name)})


@dataclass
class Place:
    """A data directory and a database."""

    path: Path
    url: str

    def move(self, out=True, steps=None, ready=lambda: None):
        """From the file to the server, or back."""
        return self._with(out, steps or Steps(), ready, lambda move: move.run("m1", T0))

    def give_up(self, out=True, steps=None):
        self._with(out, steps or Steps(), lambda: None, Move.give_up)

    def _with(self, out, steps, ready, call):
        told = []
        ours, theirs = (self.path,), (self.url, FINGERPRINT)
        opens = dying(FileSource if out else ServerSource, steps), dying(ServerTarget if out else FileTarget, steps)
        with (
            closing(opens[0](*(ours if out else theirs))) as source,
            closing(opens[1](*(theirs if out else ours))) as target,
        ):
            done = call(Move(source, target, lambda *words: told.append(words), ready))
        assert all(rows <= count for _, _, rows, count in told)
        return done

    def open_file(self):
        return SqliteStore(self.path)

    def open_server(self):
        return PostgresStore(self.url, FINGERPRINT)

    def startable(self):
        """Which of the two a node would start on and find something in."""
        database = self.path / "taskyard.db"
        arriving = database.with_name("taskyard.db.arriving").exists()
        # An empty file would be made a database.
        there = arriving or (database.exists() and database.stat().st_size)
        return [
            *(["file"] if there and starts(self.open_file) else []),
            *(["server"] if starts(self.open_server) else []),
        ]


def starts(opens):
    try:
        with closing(opens()) as store:
            return bool(store.recover(10).servers)
    except Unusable as error:
        if "move" not in str(error):
            raise
        return False


@pytest.fixture
def place(tmp_path, server):
    return Place(tmp_path / "data", server.url(server.database()))


@pytest.fixture
def filled(place):
    """A file with something of everything."""
    with closing(place.open_file()) as store:
        fill(store)
    return place


def test_all_of_a_file_is_in_the_database_and_comes_back(filled, tmp_path):
    before = asked_file(filled.path)
    assert all(before)
    with closing(filled.open_file()) as store:
        snapshot = store.recover(10)
    moved = filled.move()
    assert moved.live == (4, 2, 1)
    assert not moved.resumed
    assert asked_server(filled.url) == before
    assert (moved.rows["task"], moved.rows["payload"], moved.rows["audit"]) == (13, 12, 5)
    with closing(filled.open_server()) as store:
        there = store.recover(10)
        assert (sorted(there.runs), sorted(there.flows), there.last_place) == (
            sorted(snapshot.runs), sorted(snapshot.flows), snapshot.last_place,
        )  # fmt: skip
        # Numbers that the database gives go on behind those that came, and counters are counted on.
        store.commit(plan(audit=[AuditRow(T0, "ops", "late", "s9", None)], stats=[stat_row(1, created=5)]))
        assert store.audit(1)[0].target == "s9"
        assert store.stats_total("yard", "").created == 20
    after = asked_server(filled.url)
    back = Place(tmp_path / "back", filled.url)
    back.move(out=False)
    assert asked_file(back.path) == after
    with closing(back.open_file()) as store:
        assert store.recover(10).servers == snapshot.servers
        store.commit(plan(audit=[AuditRow(T0, "ops", "later", "s10", None)]))


@pytest.mark.parametrize("out", [True, False], ids=["out", "back"])
def test_it_may_die_at_any_step(filled, tmp_path, out):
    before = asked_file(filled.path)
    if not out:
        filled.move()
    place = Place(filled.path if out else tmp_path / "back", filled.url)
    first, second = ("file", "server") if out else ("server", "file")
    with pytest.raises(Died):
        place.move(out, Steps(1))
    assert place.startable() == [first]
    deaths, moved = 0, None
    while moved is None:  # each time it comes a step further
        try:
            moved = place.move(out, Steps(2))
        except Died:
            deaths += 1
            assert deaths < 100
            # The second only when all is there, and the first then never again.
            assert place.startable() == []
    assert moved.resumed
    assert deaths > 15
    assert place.startable() == [second]
    assert (asked_server(place.url) if out else asked_file(place.path)) == before


@pytest.mark.parametrize("out", [True, False], ids=["out", "back"])
def test_it_is_given_up_from_any_step(filled, tmp_path, out):
    before = asked_file(filled.path)
    if not out:
        filled.move()
    place = Place(filled.path if out else tmp_path / "back", filled.url)
    first = "file" if out else "server"
    for die_at in (2, 3, 9):
        with pytest.raises(Died):
            place.move(out, Steps(die_at))
        assert place.startable() == []
        with suppress(Died):
            place.give_up(out, Steps(2))
        with suppress(Unusable):
            place.give_up(out)
        assert place.startable() == [first]
        assert (asked_file(place.path) if out else asked_server(place.url)) == before
    with pytest.raises(Unusable, match=r"no move .* is under way"):
        place.give_up(out)
    place.move(out)
    with pytest.raises(Unusable, match="was moved to"):
        place.give_up(out)
    with pytest.raises(Unusable, match="was moved to"):
        place.move(out)


def test_what_is_not_the_same_is_not_ended(filled):
    def spoil(statement):
        with psycopg.connect(filled.url) as database:
            database.execute(statement)

    for statement, words in [
        ("UPDATE payload SET body = '{\"n\": 1}' WHERE body = '{\"n\":1}'", "payload has another row"),
        ("DELETE FROM run WHERE accepted = 1", "run has 3 rows in the one and 2"),
        ("UPDATE ended SET progress = 51", "task has another row"),
    ]:
        # It dies before its end, somebody spoils a row, and it goes on.
        with pytest.raises(Died):
            filled.move(ready=died)
        spoil(statement)
        with pytest.raises(Different, match=words):
            filled.move()
        assert filled.startable() == []
        filled.give_up()
        assert filled.startable() == ["file"]


def died():
    raise Died


def test_a_target_that_is_not_empty_is_left_alone(filled, tmp_path):
    with closing(filled.open_server()) as store:
        store.commit(plan(settings=[("algorithm", '"random"')]))
    before = asked_server(filled.url)
    with pytest.raises(Unusable, match=r"not empty .there are rows in setting"):
        filled.move()
    assert asked_server(filled.url) == before
    assert starts(filled.open_file)
    with pytest.raises(Unusable, match="there is a database in it"):
        filled.move(out=False)
    with psycopg.connect(filled.url) as database:
        assert database.execute("SELECT count(*) FROM yard WHERE name = 'move'").fetchone() == (0,)


def test_a_yard_in_use_is_left_alone(filled, tmp_path):
    with closing(filled.open_file()), pytest.raises(InUse, match="another process uses it"):
        filled.move()
    with closing(filled.open_server()) as store:
        store.recover(1)
        with pytest.raises(InUse, match="a node runs on it"):
            filled.move()
        fill(store)
        with pytest.raises(InUse, match="a node runs on it"):
            Place(tmp_path / "other", filled.url).move(out=False)
        # It did no harm to the node.
        store.commit(plan(settings=[("algorithm", '"weighted"')]))
    assert filled.startable() == ["file", "server"]


def test_what_waits_for_a_decider_is_not_left_behind(filled, tmp_path):
    filled.move()
    with psycopg.connect(filled.url) as database:
        database.execute("INSERT INTO inbox VALUES ('n', 1, 'submission', 't', 0, '{}')")
    with pytest.raises(Unusable, match="1 things that nodes took in wait for a decider"):
        Place(tmp_path / "back", filled.url).move(out=False)
    assert filled.startable() == ["server"]


def test_two_moves_do_not_mix(filled, tmp_path, server):
    with pytest.raises(Died):
        filled.move(ready=died)
    other = Place(tmp_path / "other", filled.url)
    with closing(other.open_file()) as store:
        fill(store)
    with pytest.raises(Unusable, match="another move into it was begun, from sqlite://"):
        other.move()
    elsewhere = Place(filled.path, server.url(server.database()))
    with pytest.raises(Unusable, match=r"a move of it to postgresql://.* was begun"):
        elsewhere.move()
    with pytest.raises(Unusable, match=r"a move of it to postgresql://.* was begun"):
        elsewhere.give_up()
    filled.move()
    assert filled.startable() == ["server"]


def test_another_key_is_refused(filled):
    with closing(PostgresStore(filled.url, ("another",))):
        pass
    with pytest.raises(StoreError, match="another TASKYARD_SECRET_KEY"):
        filled.move()
    assert starts(filled.open_file)


def test_batches_are_bounded_by_rows_and_by_characters():
    small = list(_batches([(n, "x") for n in range(12_000)]))
    assert [len(batch) for batch in small] == [5000, 5000, 2000]
    large = list(_batches((n, "x" * 1_000_000) for n in range(10)))
    assert [len(batch) for batch in large] == [3, 3, 3, 1]
    assert [row for batch in large for row in batch] == [(n, "x" * 1_000_000) for n in range(10)]
