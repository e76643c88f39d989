"""A database in PostgreSQL that a move leaves: read table by table in the order of the keys, each task with its end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from taskyard.store.move.server import Column, Server
from taskyard.store.move.sides import Key, Mark, Row, Table
from taskyard.store.move.statements import SERVER, filled, listed, quoted
from taskyard.store.port import StoreError, Unusable
from taskyard.store.postgres.queries import QUERIES

_TYPES: Final = {"bigint": "int8", "text": "text"}


class ServerSource(Server):
    """A database that is left."""

    def __init__(self, url: str, fingerprints: tuple[str, ...]) -> None:
        super().__init__(url, fingerprints)
        if not self._ours():
            self.close()
            raise Unusable(self.shown + ": there is nothing in it yet")

    def begin(self, mark: Mark) -> None:
        """Mark it. Raises `Unusable` when a submission or a callback still waits for a decider."""
        with self._transaction():
            self._rows(SERVER["end_taking"])
            self._connection.execute(QUERIES["roll_up"].sql)
            _, waiting = self._row(SERVER["left"])
            if waiting:
                raise Unusable(
                    self.shown + ": " + str(waiting) + " things that nodes took in wait for a decider: start a node, "
                    "let it have them, and stop it again"
                )
            self._begin(mark)

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


def _live(column: Column) -> str:
    """A column of a task's end; what it is for a task that has none."""
    name = "e." + quoted(column.name)
    return "coalesce(" + name + ", 0)" if column.required and column.name != "completed_at" else name
