"""What nodes tell each other through the database; see `store/nodes.py`. Knows no turn and no lease."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from taskyard.engine.plan import Writes
from taskyard.engine.rows import EndedTask, KeyRow, Record
from taskyard.store.damage import is_sound
from taskyard.store.nodes import KeyTaken, Letter, Line, Lines, NodeRow, Seen, Standing
from taskyard.store.port import BadData
from taskyard.store.postgres import turns
from taskyard.store.postgres.arrays import numbers, texts
from taskyard.store.postgres.connection import Connection, Failed, Lost, read_failure, write_failure
from taskyard.store.postgres.days import Days
from taskyard.store.postgres.holder import is_dead
from taskyard.store.postgres.queries import QUERIES, Call
from taskyard.store.postgres.records import records

_LIMIT_S: Final = 10.0
# Our own code of an error, raised by `prove_keys`.
_KEY_TAKEN: Final = "TY002"


class Channel:
    """A connection that is opened when it is needed, and anew when it was lost. For one thread at a time."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._guard = threading.Lock()
        self._closed = False

    def exchange(self, calls: Sequence[Call]) -> list[list[Any]]:
        """Carry out calls in one transaction. Raises `StoreError`, `Lost` or `Failed`."""
        with self._guard:
            if self._closed:
                raise Lost("the store is closed")
            if self._connection is None or not self._connection.usable:
                self._drop()
                self._connection = self._connect()
            return self._connection.exchange(calls, _LIMIT_S)

    def close(self) -> None:
        """Close it for good."""
        with self._guard:
            self._closed = True
            self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Nodes:
    """A `NodeStore`. `connect` opens a connection."""

    def __init__(self, node_id: str, connect: Callable[[], Connection]) -> None:
        self.id = node_id
        self._days = Days()
        self._beats, self._writes, self._reads = (Channel(connect) for _ in range(3))

    def close(self) -> None:
        """Close all connections."""
        for channel in (self._beats, self._writes, self._reads):
            channel.close()

    # --- who runs ----------------------------------------------------------------------------------------------------

    def beat(self, row: NodeRow) -> Seen:
        """Say that this node lives, and see who else does."""
        look = [QUERIES[name].with_values(()) for name in _LOOK]
        calls = [QUERIES["check_place"].with_values(()), QUERIES["node_beat"].with_values(row[:-1]), *look]
        _, ((anew,),), ((decider, epoch, now),), nodes = self._change(self._beats, calls)
        return Seen(bool(anew), now, decider, epoch, [NodeRow._make(node) for node in nodes])

    def now(self) -> int:
        """The database's time in ms."""
        ((now,),) = self._read(self._reads, lambda: QUERIES["day_now"].with_values(()))
        return int(now)

    def died(self, node: str) -> bool:
        """Whether a node was a process of this machine that is no longer there."""
        return is_dead(node)

    def leave(self) -> None:
        """This node is gone."""
        mine = [(self.id,)]
        self._change(self._beats, [QUERIES["node_delete"].of(mine), QUERIES["letters_drop"].of(mine)])

    # --- what nodes take in ------------------------------------------------------------------------------------------

    def keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KeyRow]:
        """Idempotency keys by owner and key."""
        rows = self._read(self._writes, lambda: QUERIES["keys"].of(pairs))
        return {(row[0], row[1]): KeyRow._make(row) for row in rows}

    def take_in(self, writes: Writes, lines: Sequence[Line]) -> None:
        """Store tasks and lines in one durable transaction. Raises `KeyTaken`, `BadData` or `OutcomeUnknown`."""
        missing = self._days.missing(writes)
        calls = [QUERIES["begin_taking"].with_values(())]
        calls += [QUERIES["make_day"].with_values((day,)) for day in sorted(missing)]
        # In one order, so that two nodes never wait for each other.
        keys, writes.keys = sorted(writes.keys), []
        if keys:
            calls.append(QUERIES["key_claim"].of(keys))
            calls.append(QUERIES["prove_keys"].of([(key.owner, key.key, key.task_id) for key in keys]))
        writes.lanes.sort()
        calls += turns.write_calls(writes)
        calls.append(QUERIES["line_insert"].of(lines))
        self._change(self._writes, calls)
        self._days.made(missing)

    # --- the decider's side ------------------------------------------------------------------------------------------

    def lines(self, after: Mapping[str, int], most: int, most_bytes: int) -> Lines:
        """The next lines of some nodes after a number."""
        if not after:
            return Lines([], set())
        names, numbers_ = texts(list(after)), numbers(list(after.values()))
        rows = self._read(
            self._reads,
            lambda: Call(QUERIES["lines"].sql, [names, numbers_, b"%d" % most, b"%d" % most_bytes]),
        )
        lines = [Line._make(row[:-1]) for row in rows]
        if not lines or (len(lines) < most and rows[-1][-1] + len(lines[-1].body.encode()) < most_bytes):
            return Lines(lines, set())
        order = list(after)
        return Lines(lines, set(order[order.index(lines[-1].node) :]))

    def writers(self) -> list[str]:
        """The nodes that have lines."""
        return [node for (node,) in self._read(self._reads, lambda: QUERIES["line_writers"].with_values(()))]

    def ends_reported(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs whose end is among the lines."""
        return {(row[0], row[1]) for row in self._read(self._reads, lambda: QUERIES["line_ends"].with_values(()))}

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """Tasks by id."""
        rows = self._read(self._reads, lambda: QUERIES["records"].of([(task_id,) for task_id in ids]))
        return {record.task.id: record for record in records(rows)}

    # --- the side of the others --------------------------------------------------------------------------------------

    def letters(self, after: int, most: int, most_bytes: int) -> list[Letter]:
        """This node's next letters after a number."""
        calls = [
            QUERIES["letters_read"].with_values((self.id, after)),
            QUERIES["letters"].with_values((self.id, after, most, most_bytes)),
        ]
        return [Letter._make(row) for row in self._change(self._reads, calls if after else calls[1:])[-1]]

    def payloads(self, ids: Sequence[str], most_bytes: int) -> dict[str, str | None]:
        """The payloads of the first of these tasks; `None` for one that is gone or cannot be read."""
        rows = self._read(self._reads, lambda: Call(QUERIES["first_payloads"].sql, _page(ids, most_bytes)))
        return {task_id: body if is_sound(body) else None for task_id, body in rows}

    def standings(self, ids: Sequence[str]) -> list[Standing]:
        """How tasks stand."""
        rows = self._read(self._reads, lambda: QUERIES["states"].of([(task_id,) for task_id in ids]))
        return [Standing._make(row) for row in rows]

    def ends(self, ids: Sequence[str], most_bytes: int) -> list[tuple[EndedTask, str | None]]:
        """How some of these tasks ended and their results."""
        rows = self._read(self._reads, lambda: Call(QUERIES["ends"].sql, _page(ids, most_bytes)))
        return [(EndedTask._make(row[:-2]), row[-2]) for row in rows]

    def _read(self, channel: Channel, call: Callable[[], Call]) -> list[Any]:
        try:
            return channel.exchange([QUERIES["go_by_index"].with_values(()), call()])[-1]
        except (Lost, Failed) as error:
            raise read_failure(error) from error
        except (TypeError, AttributeError, ValueError) as error:
            raise BadData("the store refuses a value", type(error).__name__) from error

    def _change(self, channel: Channel, calls: Sequence[Call]) -> list[list[Any]]:
        try:
            return channel.exchange(calls)
        except (Lost, Failed) as error:
            if isinstance(error, Failed) and error.sqlstate == _KEY_TAKEN:
                raise KeyTaken("an idempotency key is taken") from error
            raise write_failure(error) from error


def _page(ids: Sequence[str], most_bytes: int) -> list[bytes]:
    return [texts(ids), b"%d" % most_bytes]


_LOOK: Final = ("decider", "nodes")
