"""Whether a database is fit for use and ours, and the steps that bring it up to date.

Several nodes may start at once: the steps are carried out in one transaction under an advisory lock, all or none.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

from taskyard.store.port import Unusable
from taskyard.store.postgres.connection import first_line, open_plainly
from taskyard.store.postgres.queries import QUERIES, load_migrations

OLDEST_SERVER: Final = 15
_SCHEMA: Final = "schema"
_KEY: Final = "secret_key"
# Under this name stands the mark of a move (see `store/move`).
_MOVE: Final = "move"


def prepare(url: str, fingerprints: tuple[str, ...], *, moving: bool = False) -> None:
    """Check the database, bring its schema up to date, and note whose it is.

    `fingerprints` are those of the secret keys, the present one first: one of them must be the noted one. Only with
    `moving` a database is taken that is moved elsewhere, or not whole yet. Raises `StoreError`, `Unusable` among them.
    """
    connection = open_plainly(url)
    try:
        with connection.transaction():
            _check_surroundings(connection)
            # Until here nothing was changed, and a database that is refused is never touched.
            _row(connection, "lock_schema")
            if not moving:
                _check_place(connection)
            _migrate(connection)
            _check_key(connection, fingerprints)
    except psycopg.Error as error:
        raise Unusable("the database cannot be used (" + first_line(error) + ")") from error
    finally:
        connection.close()


def _row(connection: psycopg.Connection[Any], name: str) -> Any:
    statement = QUERIES[name].sql
    return connection.execute(statement).fetchone()


def _check_surroundings(connection: psycopg.Connection[Any]) -> None:
    if connection.info.server_version < OLDEST_SERVER * 10_000:
        raise Unusable("the database is older than PostgreSQL " + str(OLDEST_SERVER) + ": upgrade it")
    standby, encoding, fsync, isolation, schema, ours, tables = _row(connection, "surroundings")
    if standby:
        raise Unusable("the database is a standby that cannot be written: name the primary")
    if encoding != "UTF8":
        raise Unusable("the database has the encoding " + encoding + ": make one with ENCODING 'UTF8'")
    if fsync == "off":
        raise Unusable("the server runs with fsync = off, and so would lose tasks: set it to on")
    if isolation != "read committed":
        # A turn waits for a lock and must then see what was committed meanwhile.
        raise Unusable(
            "transactions are isolated by " + isolation + ": set default_transaction_isolation to 'read committed' for "
            "this user and database"
        )
    if schema is None:
        raise Unusable("the search_path of this user leads to no schema: make the schema, or set another search_path")
    if tables and not ours:
        raise Unusable(
            "the schema " + schema + " has tables of another application: give Taskyard a database of its own, or a "
            "schema by options=-csearch_path%3D<name> in the URL"
        )


def _known(connection: psycopg.Connection[Any]) -> dict[str, str]:
    *_, ours, _ = _row(connection, "surroundings")
    statement = QUERIES["known"].sql
    return dict(connection.execute(statement).fetchall()) if ours else {}


def _migrate(connection: psycopg.Connection[Any]) -> None:
    migrations = load_migrations()
    version = int(_known(connection).get(_SCHEMA, 0))
    if version > migrations[-1][0]:
        raise Unusable("the database was written by a newer taskyard: upgrade this one")
    for number, statements in migrations:
        if number > version:
            connection.execute(statements)
    if version < migrations[-1][0]:
        _note(connection, _SCHEMA, str(migrations[-1][0]))


def _check_place(connection: psycopg.Connection[Any]) -> None:
    if _MOVE in _known(connection):
        raise Unusable(
            "the tasks of this database were moved elsewhere, or a move into it was cut short: serve the other one, or "
            "run `taskyard move` again, or with --give-up to end it"
        )


def _check_key(connection: psycopg.Connection[Any], fingerprints: tuple[str, ...]) -> None:
    noted = _known(connection).get(_KEY)
    if noted is not None and noted not in fingerprints:
        raise Unusable(
            "the database belongs to another TASKYARD_SECRET_KEY: apiKeys and callbacks would be of no use under this "
            "one; give the old key, or the new one and after a comma the old one"
        )
    if fingerprints and noted != fingerprints[0]:
        _note(connection, _KEY, fingerprints[0])


def _note(connection: psycopg.Connection[Any], name: str, value: str) -> None:
    statement = QUERIES["note"].sql
    psycopg.RawCursor(connection).execute(statement, (name, value))
