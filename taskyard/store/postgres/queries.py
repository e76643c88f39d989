"""The named statements of `sql/*.sql` and the migrations, loaded once. Knows the files' form, not what they mean."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Final, NamedTuple

from taskyard.store.postgres.arrays import columns
from taskyard.store.queries import parse

_ARRAY: Final = re.compile(r"\$(\d+)::(bigint|text)\[\]")


class Statement(NamedTuple):
    """A statement, and the kinds of the arrays that it takes ("bigint" or "text"), in order."""

    sql: bytes
    kinds: tuple[str, ...]

    def of(self, rows: Sequence[Sequence[Any]]) -> Call:
        """A call with a batch of rows. Raises what `arrays.columns` does."""
        return Call(self.sql, columns(self.kinds, rows))

    def with_values(self, values: Sequence[int | str]) -> Call:
        """A call with single values. Raises `ValueError` for text that is none."""
        parameters = [str(value).encode() for value in values]
        if any(b"\0" in parameter for parameter in parameters):
            raise ValueError("a text has a NUL in it")  # the server would take it for the end
        return Call(self.sql, parameters)


class Call(NamedTuple):
    """A statement with its parameters, as the server reads them."""

    sql: bytes
    parameters: Sequence[bytes]


def _statement(sql: str) -> Statement:
    kinds = {int(number): kind for number, kind in _ARRAY.findall(sql)}
    return Statement(sql.encode(), tuple(kinds[number] for number in sorted(kinds)))


def load_queries() -> dict[str, Statement]:
    """All statements by name. Raises `ValueError` for files that break the form."""
    found: dict[str, Statement] = {}
    for file in (files("taskyard.store.postgres") / "sql").iterdir():
        if file.name.endswith(".sql"):
            for name, sql in parse(file.read_text("utf-8")).items():
                if name in found:
                    raise ValueError("the statement " + name + " is there twice")
                found[name] = _statement(sql)
    return found


def load_migrations() -> list[tuple[int, bytes]]:
    """The steps of the schema, each its number and its statements, in order."""
    return sorted(
        (int(file.name[:4]), file.read_bytes())
        for file in (files("taskyard.store.postgres") / "sql" / "migrations").iterdir()
        if file.name.endswith(".sql")
    )


QUERIES: Final = load_queries()
