"""The named statements of `sql/*.sql`, loaded once. Knows the files' form, nothing of what they mean.

A statement begins with a line `-- name --` and a line of description, and ends with a semicolon.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final, NamedTuple

_GROUP: Final = re.compile(r"\bVALUES (\((?:\?, )*\?\))")
_NAME: Final = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


class Migration(NamedTuple):
    """A step of the schema: its number, and its statements in order."""

    number: int
    statements: list[str]


def parse(text: str) -> dict[str, str]:
    """The statements of one file by name. Raises `ValueError` for a file that breaks the form."""
    found: dict[str, str] = {}
    _, *parts = _NAME.split(text)  # what stands before the first name is about the file
    for name, part in zip(parts[::2], parts[1::2], strict=True):
        description, _, statement = part.strip().partition("\n")
        if name in found or not description.startswith("-- ") or not statement.endswith(";"):
            raise ValueError("the statement " + name + " is there twice, not described or not ended")
        found[name] = statement.removesuffix(";")
    return found


def _split(text: str) -> list[str]:
    """The statements of a migration: each ends with a semicolon at the end of a line that is no comment."""
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [statement.strip() for statement in code.split(";\n") if statement.strip()]


def widened(statement: str, rows: int) -> str | None:
    """A change for so many rows at once, by repeating its `VALUES (?, …)`; `None` for one that has none."""
    found = _GROUP.search(statement)
    if found is None:
        return None
    return statement[: found.start(1)] + ", ".join([found[1]] * rows) + statement[found.end(1) :]


def load_queries() -> dict[str, str]:
    """All statements by name. Raises `ValueError` for files that break the form."""
    found: dict[str, str] = {}
    for file in (files("taskyard.store") / "sql").iterdir():
        if file.name.endswith(".sql"):
            for name, statement in parse(file.read_text("utf-8")).items():
                if name in found:
                    raise ValueError("the statement " + name + " is there twice")
                found[name] = statement
    return found


def load_migrations() -> list[Migration]:
    """The steps of the schema in order of their numbers."""
    return sorted(
        Migration(int(file.name[:4]), _split(file.read_text("utf-8")))
        for file in (files("taskyard.store") / "sql" / "migrations").iterdir()
        if file.name.endswith(".sql")
    )


QUERIES: Final = load_queries()
