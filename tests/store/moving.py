"""A yard with something of everything, and moves of it between a file and a database, which may die on the way."""

import json
import sqlite3
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psycopg

from taskyard.engine.rows import AuditRow, LaneRow
from taskyard.store.move.file import FileSource, FileTarget
from taskyard.store.move.move import Move
from taskyard.store.move.server_source import ServerSource
from taskyard.store.move.server_target import ServerTarget
from taskyard.store.port import Unusable
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
                return getattr(side, name)(self, *given)

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
        # A minute after a death before the first mark.
        with suppress(psycopg.errors.UndefinedTable), psycopg.connect(self.url) as waiting:
            waiting.execute("UPDATE lease_beat SET expires_at = now() WHERE expires_at < now() + interval '61 s'")
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
