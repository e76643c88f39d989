"""The named statements of a move, and names of the schema put into them. Knows nothing of tables' meaning.

They are filled in since a move has the same to do with every table, also with those that later versions bring.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from taskyard.store.queries import parse


def _load(name: str) -> dict[str, str]:
    return parse((files("taskyard.store.move") / "sql" / (name + ".sql")).read_text("utf-8"))


FILE: Final = _load("file")
SERVER: Final = _load("server")


def quoted(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def listed(names: Sequence[str], prefix: str = "") -> str:
    """Names of columns in a row, each with the prefix of its table."""
    return ", ".join(prefix + quoted(name) for name in names)


def filled(statement: str, **parts: str) -> str:
    """A statement with its braces filled in."""
    for name, part in parts.items():
        statement = statement.replace("{" + name + "}", part)
    return statement
