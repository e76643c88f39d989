"""What a move needs of the two yards: one is read and left, the other is filled. Knows no database.

The tables are those of a SQLite file: what PostgreSQL keeps in another shape its side puts together or takes apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, NamedTuple, Protocol

Row = tuple[Any, ...]
Key = tuple[int | str, ...]
# What belongs to the processes or to one database, and not to the yard.
STAYS: Final = frozenset({"node", "lease", "inbox"})


class Table(NamedTuple):
    """A table: its columns in their order, and those of its primary key."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]

    def key_of(self, row: Row) -> Key:
        """The key of a row."""
        return tuple(row[self.columns.index(name)] for name in self.key)


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands in both yards while a move is under way; no node starts on either.

    `other` is the other yard in words, `at` when it began (ms). In the target `rows` says how many rows of each table
    are there, and `last` the key of the last one of `table`. `done` is set in the source at the end, and stays.
    """

    move: str
    other: str
    at: int
    done: bool = False
    table: str = ""
    last: Key = ()
    rows: tuple[tuple[str, int], ...] = ()

    def text(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self))

    @classmethod
    def of(cls, text: str) -> Mark:
        """From what was kept. Raises `ValueError`, `TypeError` or `KeyError` for what is no mark."""
        given = json.loads(text)
        rows = tuple((name, count) for name, count in given.pop("rows"))
        return cls(**given | {"last": tuple(given["last"]), "rows": rows})

    def with_rows(self, table: str, last: Key, more: int) -> Mark:
        """After so many more rows of a table, up to a key."""
        rows = dict(self.rows)
        rows[table] = rows.get(table, 0) + more
        return replace(self, table=table, last=last, rows=tuple(rows.items()))


class Live(NamedTuple):
    """How many tasks wait, how many run, and how many of these were accepted by a server that will call back."""

    waiting: int
    running: int
    accepted: int


class Side(Protocol):
    """One of the two yards. Every method raises `StoreError`."""

    @property
    def shown(self) -> str:
        """The yard in words, without secrets."""

    def mark(self) -> Mark | None:
        """The mark of a move, if there is one."""

    def prepare(self) -> None:
        """Bring the schema up to date."""

    def hold(self) -> None:
        """Keep nodes out for a minute at least; a mark does it for longer. Raises `InUse` when one is there."""

    def tables(self) -> dict[str, Table]:
        """The tables that are to be moved, by name. In the target they are there once it is marked."""

    def count(self, table: Table) -> int:
        """How many rows a table has."""

    def whole(self, table: Table) -> Iterator[Row]:
        """All rows of a table in the order of its key, in the order of its columns: for the comparison."""

    def live(self) -> Live:
        """What is under way."""

    def sealed(self) -> list[tuple[str, str]]:
        """The servers that have encrypted apiKeys, and these."""

    def close(self) -> None:
        """Release everything."""


class Source(Side, Protocol):
    """The yard that is left. It is marked first of all, and its mark stays."""

    def begin(self, mark: Mark) -> None:
        """Mark it: from now on no node starts on it. Raises when not all of it can be moved yet."""

    def rows(self, table: Table, after: Key) -> Iterator[Row]:
        """The rows behind a key (all, for an empty one) in the order of the key; one after the other, never all."""

    def finish(self, mark: Mark) -> None:
        """Mark it for good. Raises when something has come in meanwhile."""

    def release(self) -> None:
        """Take the mark away: it is as it was."""


class Target(Side, Protocol):
    """The yard that is filled."""

    def check_empty(self) -> None:
        """Raises `Unusable` when there is something in it."""

    def begin(self, mark: Mark) -> None:
        """Mark it: from now on no node starts on it."""

    def put(self, table: Table, rows: Sequence[Row], mark: Mark) -> None:
        """Store rows, and how far the move is, in one transaction."""

    def finish(self) -> bool:
        """Take the mark away: a node may start. Whether that was still to be done; once all is there, it may be called
        after a death at any step of it."""

    def clear(self) -> None:
        """Take away all that was moved into it, and the mark."""
