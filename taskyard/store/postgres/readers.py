"""Connections for reads, kept while they are good, and one state of the database for several reads in a row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

from taskyard.engine.rows import Record
from taskyard.store.port import BadData, StoreError
from taskyard.store.postgres.connection import Connection, Failed, Lost, Silent, read_failure
from taskyard.store.postgres.queries import QUERIES, Call
from taskyard.store.postgres.records import records

T = TypeVar("T")
_KEPT: Final = 8
LIMIT_S: Final = 10.0
# A start may read a long queue.
START_LIMIT_S: Final = 120.0


class State:
    """One state of the database, for several reads on a connection. `whole`: they read whole tables."""

    def __init__(self, connection: Connection, limit_s: float = LIMIT_S, *, whole: bool = False) -> None:
        self._connection = connection
        self._limit_s = limit_s
        self._before = [QUERIES["begin_reading"], QUERIES["hold_tables"]]
        if not whole:
            self._before.append(QUERIES["go_by_index"])

    def rows(self, name: str, values: Sequence[int | str] = ()) -> list[Any]:
        """All rows of a statement."""
        return self._rows(QUERIES[name].with_values(values))

    def rows_of(self, name: str, batch: Sequence[Sequence[Any]]) -> list[Any]:
        """All rows of a statement that takes a batch."""
        return self._rows(QUERIES[name].of(batch))

    def records(self, ids: Sequence[str]) -> list[Record]:
        """The tasks of a list, in any order."""
        return records(self.rows_of("records", [(task_id,) for task_id in ids])) if ids else []

    def _rows(self, call: Call) -> list[Any]:
        before, self._before = self._before, []
        return self._connection.exchange([*(one.with_values(()) for one in before), call], self._limit_s)[-1]

    def end(self) -> None:
        """Let the state go."""
        if not self._before:
            self._connection.exchange([QUERIES["end_reading"].with_values(())], self._limit_s)


class Readers:
    """Reads for any thread. `connect` opens a connection; it raises `StoreError`."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._idle: list[Connection] = []
        self._guard = threading.Lock()
        self._closed = False

    def rows(self, name: str, values: Sequence[int | str] = ()) -> list[Any]:
        """All rows of one statement. Raises `StoreError`, or `BadData` for an unusable value."""

        def read(connection: Connection) -> list[Any]:
            calls = [QUERIES["go_by_index"].with_values(()), QUERIES[name].with_values(values)]
            return connection.exchange(calls, LIMIT_S)[-1]

        return self._read(read)

    def state(self, work: Callable[[State], T]) -> T:
        """The result of some reads of one state of the database. Raises what `rows` does."""

        def read(connection: Connection) -> T:
            state = State(connection)
            try:
                result = work(state)
                state.end()
            except BaseException:
                connection.close()  # the state is still open on it
                raise
            return result

        return self._read(read)

    def _read(self, work: Callable[[Connection], T]) -> T:
        connection, kept = self._take()
        try:
            try:
                return work(connection)
            except Lost as error:
                if not kept or isinstance(error, Silent):
                    raise
                # It broke while it was idle, and so did its like: once more on a new one.
                self._drop_idle()
                connection.close()
                connection = self._connect()
                return work(connection)
        except (Lost, Failed) as error:
            raise read_failure(error) from error
        except ValueError as error:
            raise BadData("the store refuses a value", type(error).__name__) from error
        finally:
            self._give_back(connection)

    def _take(self) -> tuple[Connection, bool]:
        with self._guard:
            if self._closed:
                raise StoreError("the store is closed")
            if self._idle:
                return self._idle.pop(), True
        return self._connect(), False

    def _give_back(self, connection: Connection) -> None:
        with self._guard:
            if connection.usable and not self._closed and len(self._idle) < _KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def _drop_idle(self) -> None:
        with self._guard:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def close(self) -> None:
        """Close what is idle; what is in use is closed when it is given back."""
        with self._guard:
            self._closed = True
        self._drop_idle()
