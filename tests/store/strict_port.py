"""A port to SQLite that refuses what other databases could not do: the third member of the conformance suite."""

import re
import sqlite3

from taskyard.store.connection import Connection

FOREIGN = re.compile(r"\b(PRAGMA|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|ATTACH|VACUUM|REPLACE|GLOB|rowid)\b", re.IGNORECASE)


def strictly(statement, values):
    """The values as another database would take them: ints as floats, so that a column not declared INTEGER shows."""
    if FOREIGN.search(statement):
        raise sqlite3.InterfaceError("not for every database: " + statement)
    if len(values) > 100:
        raise sqlite3.InterfaceError("more than 100 parameters")
    for value in values:
        if type(value) not in (int, str, type(None)) or (type(value) is int and abs(value) >= 2**53):
            raise sqlite3.InterfaceError(f"not for every database: {value!r}")
    return tuple(float(value) if type(value) is int else value for value in values)


class StrictPort(Connection):
    most_values = 100

    def rows(self, statement, values=()):
        return super().rows(statement, strictly(statement, values))

    def change(self, statement, values=()):
        return super().change(statement, strictly(statement, values))

    def change_each(self, statement, rows):
        super().change_each(statement, [strictly(statement, row) for row in rows])
