"""A database in PostgreSQL that a move fills: rows by COPY, each into its day, ends of tasks into their own table."""

from __future__ import annotations

from collections.abc import Sequence

from taskyard.store.move.server import ENDED, Server
from taskyard.store.move.sides import Mark, Row, Table
from taskyard.store.move.statements import SERVER, filled, listed, quoted
from taskyard.store.port import Unusable
from taskyard.store.postgres.days import day_of


class ServerTarget(Server):
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
            self._begin(mark)

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
                self._put_part(table, ENDED, [row for row in rows if row[at]])
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

    def finish(self) -> bool:
        """Take the mark away, unless it is gone already: nodes may run there then."""
        if self.mark() is None:
            return False
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
        return True

    def clear(self) -> None:
        """Take away all that was moved into it, and the mark."""
        self.tables()
        with self._transaction():
            for table in self._known:
                statement = filled(SERVER["empty"], table=quoted(table))
                self._connection.execute(statement.encode())
            self._change("drop_mark")
            self._leave()


def _text(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
