"""Failures by groups: what failed in the same way. Counted in the turn, in rows by hour.

Two failures are of one group when type, outcome, HTTP status, error code and the first line of the error are the same,
once what differs from task to task (numbers, ids, URLs, paths) is blanked.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import lru_cache

from taskyard.engine.rows import FailureRow

BLANK = "…"
LINE_MOST = 200
SAMPLES = 5
SERVERS = 50
OTHER = "other"
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
# In this order: a URL has paths in it, a path has ids in it, an id has numbers in it.
_VARYING = re.compile(
    r"""
    [A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s"'<>]+                              # a URL; an endless scheme is slow
    | (?<![\w.])(?:[A-Za-z]:)?(?:[/\\][\w.@~+-]+){2,}[/\\]?                  # a path of two parts or more
    | \b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b             # a UUID
    | \b0[xX][0-9a-fA-F]+\b                                                # hex that says so
    | \b[A-Za-z]+_[0-9a-fA-F]{16,}\b                                       # an id with its kind before it
    | \b(?=[0-9a-fA-F]*[0-9])[0-9a-fA-F]{8,}\b                             # hex with a digit in it
    | [+-]?\d+(?:[.,:]\d+)*(?:[eE][+-]?\d+)?                               # a number, a time, an address
    """,
    re.VERBOSE,
)


def pattern(error: str) -> str:
    """The first line of an error with what varies in it blanked, at most `LINE_MOST` characters."""
    return _pattern(error[: 5 * LINE_MOST])


@lru_cache(maxsize=1024)
def _pattern(error: str) -> str:
    for line in error.splitlines():
        words = " ".join(line.split())
        if words:
            return _VARYING.sub(BLANK, words)[:LINE_MOST]
    return ""


@lru_cache(maxsize=1024)
def group_id(task_type: str, outcome: str, http_status: int | None, error_code: str | None, error: str) -> str:
    """The id of a group; `error` is a pattern."""
    key = json.dumps([task_type, outcome, http_status, error_code, error])
    return "fail_" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:20]


class Group:
    """A group of one owner's failures in an hour."""

    __slots__ = (
        "attempts",
        "first_at",
        "key",
        "last_at",
        "minutes",
        "run_p95",
        "samples",
        "servers",
        "tasks",
        "timeout",
    )

    def __init__(self, key: tuple[str, str, str, str, int | None, str | None, str], now: int) -> None:
        self.key = key  # owner, id, type, outcome, HTTP status, error code, pattern
        self.tasks = self.attempts = 0
        self.minutes: dict[str, list[int]] = {}
        self.servers: dict[str, int] = {}
        self.samples: list[str] = []
        self.first_at = self.last_at = now
        self.timeout: int | None = None
        self.run_p95: int | None = None

    def tick(self, now: int, tasks: int, failures: int) -> None:
        """So many more tasks ended, and so many failures more were there, in this minute."""
        counts = self.minutes.setdefault(str(now % HOUR_MS // MINUTE_MS), [0, 0])
        counts[0] += tasks
        counts[1] += failures

    def note(self, task_id: str, now: int) -> None:
        """A task is of this group."""
        self.last_at = now
        if task_id in self.samples:
            self.samples.remove(task_id)
        self.samples.append(task_id)
        del self.samples[:-SAMPLES]

    def row(self, hour: int) -> FailureRow:
        """As a row."""
        owner, group, task_type, outcome, http_status, error_code, error = self.key
        return FailureRow(
            owner,
            hour,
            group,
            task_type,
            outcome,
            http_status,
            error_code,
            error,
            self.tasks,
            self.attempts,
            json.dumps(self.minutes),
            json.dumps(self.servers),
            json.dumps(self.samples),
            self.first_at,
            self.last_at,
            self.timeout,
            self.run_p95,
        )


class Failures:
    """The groups of the present hour, `most` at most: what is beyond goes into one that is called `other`."""

    def __init__(self, most: int, rows: Iterable[FailureRow] = ()) -> None:
        self._most = most
        self._hour = 0
        self._groups: dict[tuple[str, str], Group] = {}
        self._touched: dict[tuple[str, str], Group] = {}
        for row in rows:
            self._hour = row.hour
            group = Group((row.owner, row.id, *row[3:8]), row.first_at)
            group.tasks, group.attempts, group.last_at = row.tasks, row.attempts, row.last_at
            group.minutes, group.servers = json.loads(row.minutes), json.loads(row.servers)
            group.samples = json.loads(row.samples)
            group.timeout, group.run_p95 = row.timeout, row.run_p95
            self._groups[row.owner, row.id] = group

    def _group(
        self,
        now: int,
        owner: str,
        task_type: str,
        outcome: str,
        http_status: int | None,
        error_code: str | None,
        error: str | None,
    ) -> Group:
        hour = now // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._groups.clear()
        code = None if error_code is None else error_code[:LINE_MOST]
        what = (task_type, outcome, http_status, code, pattern(error or ""))
        key = owner, group_id(*what)
        group = self._groups.get(key)
        if group is None:
            if len(self._groups) >= self._most:
                what = ("", OTHER, None, None, "")
                key = owner, group_id(*what)
                group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = Group((*key, *what), now)
        self._touched[key] = group
        return group

    def attempt(
        self,
        now: int,
        owner: str,
        task_id: str,
        task_type: str,
        outcome: str,
        http_status: int | None,
        error_code: str | None,
        error: str | None,
        server_id: str,
        timeout: int,
        run_p95: int | None,
    ) -> None:
        """An attempt failed; `timeout` and `run_p95` are what its type allows and takes, in ms."""
        group = self._group(now, owner, task_type, outcome, http_status, error_code, error)
        group.attempts += 1
        group.tick(now, 0, 1)
        if server_id in group.servers or len(group.servers) < SERVERS:
            group.servers[server_id] = group.servers.get(server_id, 0) + 1
        else:
            group.servers[""] = group.servers.get("", 0) + 1
        group.timeout, group.run_p95 = timeout, run_p95
        group.note(task_id, now)

    def task(
        self,
        now: int,
        owner: str,
        task_id: str,
        task_type: str,
        outcome: str,
        http_status: int | None,
        error_code: str | None,
        error: str | None,
        *,
        alone: bool,
    ) -> str:
        """A task ended as FAILED or TIMEOUT: the id of its group. `alone`: no attempt of it was told of for this."""
        group = self._group(now, owner, task_type, outcome, http_status, error_code, error)
        group.tasks += 1
        group.tick(now, 1, 1 if alone else 0)
        group.note(task_id, now)
        return group.key[1]

    def rows(self) -> list[FailureRow]:
        """The groups that this turn changed."""
        if not self._touched:
            return []
        rows = [group.row(self._hour) for group in self._touched.values()]
        self._touched.clear()
        return rows
