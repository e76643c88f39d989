"""A database in PostgreSQL as one side of a move. Its mark stands in the table `yard`, and the lease is taken as long.

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

from taskyard.store.move.sides import STAYS, Key, Live, Mark, Row, Table
from taskyard.store.move.statements import SERVER, filled, listed, quoted
from taskyard.store.port import InUse, StoreError, Unusable
from taskyard.store.postgres.connection import first_line, open_plainly
from taskyard.store.postgres.days import day_of
from taskyard.store.postgres.holder import is_dead
from taskyard.store.postgres.lease import LASTS_MS
from taskyard.store.postgres.queries import QUERIES
from taskyard.store.postgres.schema import prepare

# What only this kind of database has: what it knows of itself, its days, what nodes tell each other, counters that are
# not rolled up yet. The ends of tasks are a table of their own; here they are a part of `task`.
_OTHERS: Final = frozenset({"yard", "day", "lease_beat", "letter", "stats_part", "stats_rolled"})
_ENDED: Final = "ended"
_HOLDER: Final = "taskyard move"
_HELD_MS: Final = 60_000
_LOOK_MS: Final = 200
_TYPES: Final = {"bigint": "int8", "text": "text"}


class _Column(NamedTuple):
    name: str
    type: str
    required: bool
    numbered: bool


class _Server:
    """What both directions have in common. `fingerprints` are those of the secret keys, the present one first."""

    def __init__(self, url: str, fingerprints: tuple[str, ...]) -> None:
        self._url = url
        self._fingerprints = fingerprints
        self._connection = open_plainly(url)
        self._held = False  # the lease, and there is no mark yet
        self._known: dict[str, list[_Column]] = {}
        self._parted: set[str] = set()

    @property
    def shown(self) -> str:
        """The database in words, without its password."""
        given = conninfo_to_dict(self._url)
        place = str(given.get("host", "")) + (":" + str(given["port"]) if "port" in given else "")
        return "postgresql://" + place + "/" + str(given.get("dbname", ""))

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
                self._known.setdefault(name, []).append(_Column._make(column))
                if parted:
                    self._parted.add(name)
        return {name: self._table(name, keys[name]) for name in self._known if name != _ENDED}

    def _table(self, name: str, key: list[str]) -> Table:
        columns = self._known[name] + (self._ends() if name == "task" else [])
        return Table(name, tuple(column.name for column in columns), tuple(key))

    def _ends(self) -> list[_Column]:
        return [column for column in self._known[_ENDED] if column.name != "id"]

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

    def _set_mark(self, mark: Mark) -> None:
        self._change("set_mark", (mark.text(),))

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._connection.transaction():
                yield
        except psycopg.Error as error:
            raise StoreError(self.shown + ": " + first_line(error)) from error


class ServerSource(_Server):
    """A database that is left."""

    def __init__(self, url: str, fingerprints: tuple[str, ...]) -> None:
        super().__init__(url, fingerprints)
        if not self._ours():
            self.close()
            raise Unusable(self.shown + ": there is nothing in it yet")

    def begin(self, mark: Mark) -> None:
        """Mark it. Raises `Unusable` when a submission or a callback still waits for a decider."""
        with self._transaction():
            self._connection.execute(QUERIES["roll_up"].sql)
            _, waiting = self._row(SERVER["left"])
            if waiting:
                raise Unusable(
                    self.shown + ": " + str(waiting) + " things that nodes took in wait for a decider: start a node, "
                    "let it have them, and stop it again"
                )
            self._set_mark(mark)
            self._keep()

    def rows(self, table: Table, after: Key) -> Iterator[Row]:
        """The rows behind a key in the order of the key."""
        own = self._known[table.name]
        ends = self._ends() if table.name == "task" else []
        kinds = {column.name: _TYPES[column.type] for column in (*own, *ends)}
        sources = {column.name: _live(column) for column in ends} | {
            column.name: "t." + quoted(column.name) for column in own
        }
        name = ("read_tasks" if ends else "read") + ("_on" if after else "")
        statement = filled(
            SERVER[name],
            table=quoted(table.name), columns=", ".join(sources[column] for column in table.columns),
            key=listed(table.key, "t."), values=", ".join(["%s"] * len(after)),
        )  # fmt: skip
        with self._transaction():
            self._rows(SERVER["begin"])
            with self._connection.cursor().copy(statement.encode(), after or None) as copy:
                copy.set_types([kinds[column] for column in table.columns])
                yield from copy.rows()

    def finish(self, mark: Mark) -> None:
        """Mark it for good. Raises when something has come in meanwhile."""
        with self._transaction():
            parts, waiting = self._row(SERVER["left"])
            if parts or waiting:
                raise StoreError(
                    self.shown + ": a node worked on it meanwhile: stop it, and move again after --give-up"
                )
            self._rows(SERVER["begin"])
            self._set_mark(mark)

    def release(self) -> None:
        """Take the mark away."""
        with self._transaction():
            self._change("drop_mark")
            self._leave()


class ServerTarget(_Server):
    """A database that is filled."""

    def __init__(self, url: str, fingerprints: tuple[str, ...]) -> None:
        super().__init__(url, fingerprints)
        self._days: set[int] = set()

    def check_empty(self) -> None:
        """Raises `Unusable` when there is something in it."""
        self.tables()
        with self._transaction():
            for name in self._known:
                if self._row(filled(SERVER["any"], table=quoted(name)))[0]:
                    raise Unusable(
                        self.shown + ": it is not empty (there are rows in " + name + "): name another database, or a "
                        "schema by options=-csearch_path%3D<name> in the URL"
                    )

    def begin(self, mark: Mark) -> None:
        """Mark it."""
        with self._transaction():
            self._set_mark(mark)
            self._keep()

    def put(self, table: Table, rows: Sequence[Row], mark: Mark) -> None:
        """Store rows and the mark in one transaction."""
        with self._transaction():
            self._rows(SERVER["begin"])
            if table.name in self._parted:
                self._make_days(
                    {str(row[table.columns.index("id" if table.name == "task" else "task_id")]) for row in rows}
                )
            if table.name == "task":
                self._put_part(table, "task", rows)
                at = table.columns.index("status")
                self._put_part(table, _ENDED, [row for row in rows if row[at]])
            else:
                self._put_part(table, table.name, rows)
            self._set_mark(mark)

    def _put_part(self, table: Table, name: str, rows: Sequence[Row]) -> None:
        columns = [column.name for column in self._known[name]]
        places = [table.columns.index(column) for column in columns]
        statement = filled(SERVER["put"], table=quoted(name), columns=listed(columns))
        with self._connection.cursor().copy(statement.encode()) as copy:
            for row in rows:
                copy.write_row([row[place] for place in places])

    def _make_days(self, ids: set[str]) -> None:
        if not self._days:
            self._days = {start for (start,) in self._rows(SERVER["days"])}
        try:
            # Ids are `task_` and the hex of a UUIDv7, which begins with 48 bits of time in ms.
            days = {day_of(int(task_id[5:17], 16)) for task_id in ids}
        except ValueError as error:
            raise Unusable("there is a task whose id holds no time (" + str(error) + ")") from error
        for day in sorted(days - self._days):
            self._change("make_day", (day,))
            self._days.add(day)

    def finish(self) -> None:
        """Take the mark away."""
        self.tables()
        with self._transaction():
            self._rows(SERVER["begin"])
            for table, columns in self._known.items():
                for column in columns:
                    if column.numbered:
                        statement = filled(
                            SERVER["go_on_from"],
                            table=quoted(table), column=quoted(column.name), name=_text(table),
                            identity=_text(column.name),
                        )  # fmt: skip
                        self._rows(statement)
                statement = filled(SERVER["analyze"], table=quoted(table))
                self._connection.execute(statement.encode())
            self._change("drop_mark")
            self._leave()

    def clear(self) -> None:
        """Take away all that was moved into it, and the mark."""
        self.tables()
        with self._transaction():
            for table in self._known:
                statement = filled(SERVER["empty"], table=quoted(table))
                self._connection.execute(statement.encode())
            self._change("drop_mark")
            self._leave()


def _live(column: _Column) -> str:
    """A column of a task's end; what it is for a task that has none."""
    name = "e." + quoted(column.name)
    return "coalesce(" + name + ", 0)" if column.required and column.name != "completed_at" else name


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
