"""The tables of a database server as the judge of the torture reads them: in a file."""

import sqlite3
from pathlib import Path

import psycopg

# What the judge reads, as it would stand in a file.
TABLES = {
    "task": "SELECT t.id, coalesce(e.status, 0) AS status, coalesce(e.attempts, 0) AS attempts, "
    "coalesce(e.failures, 0) AS failures, coalesce(e.lost, 0) AS lost, e.server_id, e.started_at "
    "FROM task AS t LEFT JOIN ended AS e ON e.id = t.id",
    "idempotency": "SELECT key, task_id FROM idempotency",
    "payload": "SELECT task_id, body FROM payload",
    "result": "SELECT task_id, body FROM result",
    "queue": "SELECT task_id FROM queue",
    "run": "SELECT task_id, linger_until FROM run",
    "attempt": "SELECT task_id, attempt, last, server_id, outcome, started_at, ended_at FROM attempt",
    "stats_hour": "SELECT scope, key, sum(created)::bigint AS created, sum(completed)::bigint AS completed, "
    "sum(failed)::bigint AS failed, sum(cancelled)::bigint AS cancelled, sum(timed_out)::bigint AS timed_out "
    "FROM stats_all GROUP BY scope, key",
    "series": "SELECT step, at, submitted, completed, failed, cancelled, timed_out FROM series",
    "failed_task": "SELECT task_id FROM failed_task",
    "failure_group": "SELECT tasks FROM failure_group",
}


def copy(url: str, file: Path) -> None:
    """The tables of a database as a file, row by row."""
    with psycopg.connect(url) as source, sqlite3.connect(file) as target:
        for table, query in TABLES.items():
            cursor = source.execute(query.encode())
            names = [column.name for column in cursor.description or ()]
            target.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            target.executemany(f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})", cursor)
    target.close()
