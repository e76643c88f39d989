"""What both directions of a move have in common where a database in PostgreSQL is one of the two sides. Its mark stands
in the table `yard`, and the lease is taken as long. Knows nothing of copying.

A task stands in two tables there, and history in partitions by day. Every exchange is a transaction of its own, so that
a pooler may stand in between.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.conninfo import conninfo_to_dict

from taskyard.store.move.sides import STAYS, Live, Mark, Row, Table
from taskyard.store.move.statements import SERVER, filled, listed, quoted
from taskyard.store.port import InUse, StoreError, Unusable
from taskyard.store.postgres.connection import first_line, open_plainly
from taskyard.store.postgres.holder import is_dead
from taskyard.store.postgres.lease import LASTS_MS
from taskyard.store.postgres.queries import QUERIES
from taskyard.store.postgres.schema import prepare

# What only this kind of database has: what it knows of itself, its days, what nodes tell each other, counters that are
# not rolled up yet. The ends of tasks are a table of their own; here they are a part of `task`.
_OTHERS: Final = frozenset({"yard", "day", "lease_beat", "letter", "stats_part", "stats_rolled"})
ENDED: Final = "ended"
_HOLDER: Final = "taskyard move"
_HELD_MS: Final = 60_000
_LOOK_MS: Final = 200


class Column(NamedTuple):
    """A column: whether it may not be null, and whether it gets numbers by itself."""

    name: str
    type: str
    required: bool
    numbered: bool


class Server:
    """A database that is moved. `fingerprints` are those of the secret keys, the present one first."""

    def __init__(self, url: str, fingerprints: tuple[str, ...]) -> None:
        self._url = url
        self._fingerprints = fingerprints
        self._connection = open_plainly(url)
        self._held = False  # the lease, and there is no mark yet
        self._known: dict[str, list[Column]] = {}
        self._parted: set[str] = set()

    @property
    def shown(self) -> str:
        """The database in words, without its password; with the options that may choose the schema."""
        given = conninfo_to_dict(self._url)
        place = str(given.get("host", "")) + (":" + str(given["port"]) if "port" in given else "")
        options = "?options=" + str(given["options"]) if "options" in given else ""
        return "postgresql://" + place + "/" + str(given.get("dbname", "")) + options

    def mark(self) -> Mark | None:
        """The mark of a move."""
        if not self._ours():
            return None
        with self._transaction():
            found = self._rows(SERVER["read_mark"])
        try:
            return Mark.of(found[0][0]) if found else None
        except (ValueError, TypeError, KeyError) as error:
            raise Unusable(self.shown + ": its mark of a move cannot be read (" + str(error) + ")") from error

    def _ours(self) -> bool:
        with self._transaction():
            *_, ours, _ = self._row(QUERIES["surroundings"].sql.decode())
        return bool(ours)

    def prepare(self) -> None:
        """Bring the schema up to date, and note whose it is."""
        prepare(self._url, self._fingerprints, moving=True)

    def hold(self) -> None:
        """Take the lease. Raises `InUse` when a node is there."""
        left = before = self._wait_ms()
        while left > 0:
            if left > before:  # it was seen again
                raise InUse(self.shown + ": a node runs on it: stop all its nodes first")
            before = left
            time.sleep(min(left, _LOOK_MS) / 1000)
            left = self._wait_ms()

    def _wait_ms(self) -> int:
        """Take the lease, or say for how many ms more a node may be alive."""
        with self._transaction():
            (seen,) = self._row(SERVER["nodes"], (LASTS_MS,))
            if seen > 0:
                return int(seen)
            holder, wait_ms = self._row(SERVER["take_lease"], (_HOLDER, _HELD_MS, ""))
            if wait_ms and is_dead(holder):
                _, wait_ms = self._row(SERVER["take_lease"], (_HOLDER, _HELD_MS, holder))
        self._held = not wait_ms
        return int(wait_ms)

    def _keep(self) -> None:
        """Hold the lease as long as there is a mark."""
        if not self._rows(SERVER["keep_lease"], (_HOLDER,)):
            raise InUse(self.shown + ": a node was started on it: stop it first")
        self._held = False

    def _leave(self) -> None:
        self._change("leave_lease", (_HOLDER,))
        self._held = False

    def tables(self) -> dict[str, Table]:
        """The tables that are to be moved, by name."""
        with self._transaction():
            columns, keys = self._rows(SERVER["columns"]), dict(self._rows(SERVER["keys"]))
        self._known = {}
        for name, parted, *column in columns:
            if name not in STAYS | _OTHERS:
                self._known.setdefault(name, []).append(Column._make(column))
                if parted:
                    self._parted.add(name)
        return {name: self._table(name, keys[name]) for name in self._known if name != ENDED}

    def _table(self, name: str, key: list[str]) -> Table:
        columns = self._known[name] + (self._ends() if name == "task" else [])
        return Table(name, tuple(column.name for column in columns), tuple(key))

    def _ends(self) -> list[Column]:
        return [column for column in self._known[ENDED] if column.name != "id"]

    def count(self, table: Table) -> int:
        """How many rows a table has."""
        with self._transaction():
            (count,) = self._row(filled(SERVER["count"], table=quoted(table.name)))
        return int(count)

    def whole(self, table: Table) -> Iterator[Row]:
        """All rows of a table in the order of its key."""
        if table.name == "task":
            statement = SERVER["whole_tasks"]
        else:
            statement = filled(SERVER["whole"], table=quoted(table.name), key=listed(table.key, "t."))
        # A task that has not ended has no row there; in the file it has these.
        live = {column.name: 0 for column in self._ends() if column.name != "completed_at" and column.required}
        with self._transaction(), self._connection.cursor() as cursor:
            names: list[str] = []
            for row in cursor.stream(statement.encode()):
                names = names or [column.name for column in cursor.description or ()]
                given = dict(zip(names, row, strict=True))
                if table.name == "task" and given["status"] is None:
                    given |= live
                yield tuple(given[name] for name in table.columns)

    def live(self) -> Live:
        """What is under way."""
        with self._transaction():
            return Live._make(self._row(SERVER["live"]))

    def sealed(self) -> list[tuple[str, str]]:
        """The servers that have encrypted apiKeys, and these."""
        with self._transaction():
            return self._rows(SERVER["sealed"])

    def close(self) -> None:
        """Close the connection. The lease stays taken where there is a mark."""
        with suppress(StoreError):  # it expires by itself
            if self._held:
                with self._transaction():
                    self._leave()
        self._connection.close()

    def _rows(self, statement: str, values: Sequence[int | str] = ()) -> list[Any]:
        return self._connection.execute(statement.encode(), values or None).fetchall()

    def _row(self, statement: str, values: Sequence[int | str] = ()) -> Any:
        return self._rows(statement, values)[0]

    def _change(self, name: str, values: Sequence[int | str] = ()) -> None:
        self._connection.execute(SERVER[name].encode(), values or None)

    def _begin(self, mark: Mark) -> None:
        """Set the mark where there is none. Raises `InUse` when there is one."""
        if not self._rows(SERVER["first_mark"], (mark.text(),)):
            raise InUse(self.shown + ": another move was begun meanwhile")
        self._keep()

    def _set_mark(self, mark: Mark) -> None:
        """Set the mark of this move anew. Raises `InUse` when it is gone."""
        if not self._rows(SERVER["set_mark"], (mark.text(), mark.move)):
            raise InUse(self.shown + ": this move was given up, or another one was begun meanwhile")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                yield
        except psycopg.Error as error:
            raise StoreError(self.shown + ": " + first_line(error)) from error
