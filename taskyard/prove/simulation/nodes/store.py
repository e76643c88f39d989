"""The store of one simulated process: a `Store` that is `Shared`, on the database that all of them have.

What it is asked while the database cannot be reached fails, and is not done. Like the real one it uses one connection
to write: once that is lost, turns fail until `recover` has taken the right to decide anew.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from taskyard.engine.plan import Lookup, Plan, Receipt, Snapshot, Writes
from taskyard.engine.rows import EndedTask, KeyRow, Record
from taskyard.prove.simulation.nodes.database import Database
from taskyard.store import turns
from taskyard.store.figures import Keep
from taskyard.store.nodes import Letter, Line, Lines, NodeRow, Seen, Standing
from taskyard.store.port import NotDeciding, OutcomeUnknown, StoreError
from taskyard.store.sqlite import SqliteStore
from taskyard.store.turns import id_list

Writer = Callable[..., None]
R = TypeVar("R", bound=tuple[Any, ...])


@dataclass
class Carried:
    """What a call came to: whether it asked the database for anything, and the last thing that it did there."""

    asked: bool = False
    wrote: bool = False  # on the connection that writes
    took: bool = False  # the right to decide
    did: str = ""


def _nothing(*_: object) -> None:
    """For who writes no journal."""


class SharedStore(SqliteStore):
    """The store of process `node`. `write` takes the journal's entries, `is_dead` tells of holders of the lease.

    `committed` is told of each plan that is committed, and whether it is the first of a decider.
    """

    def __init__(
        self,
        database: Database,
        node: str,
        write: Writer = _nothing,
        committed: Callable[[Plan, int], None] = _nothing,
        is_dead: Callable[[str], bool] = lambda _: False,
    ) -> None:
        # The same file, lock and writer as all others have; connections that read are this process's own.
        vars(self).update(vars(database.tables))
        self._idle = []
        self._idle_guard = threading.Lock()
        self._database = database
        self._write = write
        self._committed = committed
        self._epoch = self._epoch_before = 0
        self._sent_by = 0  # the epoch that the call which is carried out was sent with
        self._reached = True
        self._lost = False  # the connection that writes
        self._waits = False
        self._carried = Carried()
        self.kept = True  # whether it is told that this process still decides
        self.is_dead = is_dead
        self.nodes = NodesOf(self, database, node, write)

    # --- how calls get there -----------------------------------------------------------------------------------------

    @contextmanager
    def carrying(self, epoch: int, *, reached: bool) -> Iterator[Carried]:
        """Within, a call is carried out that was sent while the epoch was this, if it got there."""
        self._sent_by, self._reached = epoch, reached
        self._carried = carried = Carried()
        try:
            yield carried
        finally:
            self._sent_by, self._reached = self._epoch, True

    def unheard(self, carried: Carried) -> None:
        """The answer to a call never came."""
        self._lost = self._lost or carried.wrote
        if carried.took:
            self._epoch = self._epoch_before

    def open(self) -> None:
        """Decide, if nobody does; `recover` says so otherwise."""
        epoch = self._database.take_lease(self.nodes.id, self.is_dead)
        if epoch:
            self._epoch = self._sent_by = epoch
            self._write("store", "took", self.nodes.id, epoch)

    def keep(self, epoch: int) -> None:
        """What a thread of the real store does: tell that the one with this number still decides."""
        self._database.keep_lease(epoch)
        self._write("store", "kept", epoch)

    def did(self, what: str) -> None:
        """A call has done this."""
        self._carried.did = what

    def asks(self, failure: type[StoreError]) -> None:
        """A call asks the database for something. Raises `failure` when it cannot be reached."""
        self._carried.asked = True
        if self._closed:
            raise StoreError("the store is closed")
        if not self._reached:
            raise failure("the database cannot be reached")

    def _check_open(self) -> None:
        self.asks(StoreError)

    def _writes(self, failure: type[StoreError]) -> None:
        """A call uses the connection that writes. Raises `failure` when that is lost."""
        self._carried.asked = self._carried.wrote = True
        self._lost = self._lost or not self._reached
        if self._lost:
            raise failure("the connection to the database was lost")

    @contextmanager
    def _deciding(self) -> Iterator[None]:
        """Within, a transaction that proves the epoch."""
        self._writes(OutcomeUnknown)
        self.asks(OutcomeUnknown)
        self._database.prove(self._sent_by)
        yield

    # --- the turn ----------------------------------------------------------------------------------------------------

    def lookup(self, ask: Lookup) -> Any:
        """See `Store`."""
        self._writes(StoreError)
        if self._reached and self._sent_by != self._database.epoch:
            raise StoreError("another node decides")
        return super().lookup(ask)

    def commit(self, plan: Plan) -> Receipt:
        """See `Store`."""
        with self._deciding():
            self._database.may_post(plan.post)
            receipt = super()._commit(plan)
            self._database.post(plan.post)
        self._committed(plan, self._sent_by)
        self.did("commit")
        return receipt

    def recover(self, wakes: int) -> Snapshot:
        """See `Store`."""
        self._check_open()
        self._lost, self._carried.wrote = False, True
        self._waits = True
        epoch = self._database.take_lease(self.nodes.id, self.is_dead)
        if not epoch:
            raise NotDeciding("another node decides")
        self._carried.took = True
        self._epoch_before, self._epoch = self._epoch, epoch
        self._sent_by = epoch
        self._waits, self.kept = False, True
        self._write("store", "took", self.nodes.id, epoch)
        self.did("recover")
        return super().recover(wakes)

    def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
        """See `Store`."""
        if self._waits:
            return 0
        with self._deciding():
            removed = super().sweep(ended_before, keys_before, most)
        self._write("store", "sweeps", ended_before, keys_before, most)
        return removed

    def forget(self, keep: Keep) -> int:
        """See `Store`."""
        if self._waits:
            return 0
        with self._deciding():
            return super().forget(keep)

    @property
    def epoch(self) -> int:
        """See `Shared`."""
        return self._epoch

    def hand_over(self) -> None:
        """See `Shared`."""
        self._waits, self.kept = True, False
        with self._deciding():
            self._leave(self._sent_by)
        self.did("hand_over")

    def _leave(self, epoch: int) -> None:
        self._database.leave_lease(epoch)
        self._write("store", "left_to", epoch)

    # --- the store itself --------------------------------------------------------------------------------------------

    def tight(self) -> str | None:
        """See `Store`: nothing is held back here for a full disk."""
        return None

    def sizes(self) -> dict[str, int]:
        """See `Store`."""
        return {"database": 0, "wal": 0}

    def close(self) -> None:
        """See `Store`; the lease is handed over, the database stays open for the others."""
        if self._closed:
            return
        if not self._lost and self._reached:
            self._leave(self._epoch)
        self._closed = True
        for reader in self._idle:
            reader.close()
        self._idle = []

    def rows(self, sql: str, ids: Sequence[str]) -> list[Any]:
        """What a query finds that takes a list of ids."""
        with self._reading() as reader:
            return reader.rows(sql, (id_list(list(ids)),))

    def found(self, ask: Lookup) -> Any:
        """Tasks and keys, on a connection that only reads."""
        with self._reading() as reader:
            return turns.look_up(reader, ask)


class NodesOf:
    """A `NodeStore`: see `store/nodes.py`."""

    def __init__(self, store: SharedStore, database: Database, node: str, write: Writer) -> None:
        self.id = node
        self._store = store
        self._database = database
        self._write = write

    def beat(self, row: NodeRow) -> Seen:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        seen = self._database.beat(row)
        self._write("store", "beat", self.id)
        self._store.did("beat")
        return seen

    def now(self) -> int:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        return self._database.now()

    def died(self, node: str) -> bool:
        """See `NodeStore`."""
        return self._store.is_dead(node)

    def leave(self) -> None:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        self._database.leave(self.id)
        self._write("store", "left", self.id)

    def keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KeyRow]:
        """See `NodeStore`."""
        found: dict[tuple[str, str], KeyRow] = self._store.found(Lookup(keys=list(pairs))).keys
        return found

    def take_in(self, writes: Writes, lines: Sequence[Line]) -> None:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        known = self.keys([(row.owner, row.key) for row in writes.keys]) if writes.keys else {}
        self._database.take_in(writes, lines, known)
        self._write("store", "takes_in", self.id, _plain_tasks(writes), [line[2:5] for line in lines])
        self._store.did("take_in")

    def lines(self, after: Mapping[str, int], most: int, most_bytes: int) -> Lines:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        self._store.did("lines")
        waiting = {node: self._database.lines_of(node, seq) for node, seq in after.items()}
        found = page([line for lines in waiting.values() for line in lines][:most], most_bytes)
        read = Counter(line.node for line in found)
        return Lines(found, {node for node, lines in waiting.items() if read[node] < len(lines)})

    def writers(self) -> list[str]:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        return [node for node, lines in self._database.lines.items() if lines]

    def ends_reported(self) -> set[tuple[str, int]]:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        lines = (line for lines in self._database.lines.values() for line in lines.values())
        return {(line.task_id, line.attempt) for line in lines if line.kind == "Ended"}

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """See `NodeStore`."""
        found: dict[str, Record] = self._store.found(Lookup(tasks=list(ids))).tasks
        return found

    def letters(self, after: int, most: int, most_bytes: int) -> list[Letter]:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        self._store.did("letters")
        return page(self._database.letters_of(self.id, after)[:most], most_bytes)

    def payloads(self, ids: Sequence[str], most_bytes: int) -> dict[str, str | None]:
        """See `NodeStore`."""
        found = dict(self._store.rows(_PAYLOADS, ids))
        return dict(page([(task_id, found.get(task_id)) for task_id in ids], most_bytes))

    def standings(self, ids: Sequence[str]) -> list[Standing]:
        """See `NodeStore`."""
        return [Standing._make(row) for row in self._store.rows(_STANDINGS, ids)]

    def ends(self, ids: Sequence[str], most_bytes: int) -> list[tuple[EndedTask, str | None]]:
        """See `NodeStore`."""
        return [(EndedTask._make(row[:-1]), row[-1]) for row in page(self._store.rows(_ENDS, ids), most_bytes)]


def page(rows: Sequence[R], most_bytes: int) -> list[R]:
    """The first rows whose bodies, which stand last, have so many bytes; one at least."""
    taken: list[R] = []
    size = 0
    for row in rows:
        if taken and size >= most_bytes:
            break
        taken.append(row)
        size += len((row[-1] or "").encode())
    return taken


def _plain_tasks(writes: Writes) -> list[tuple[Any, ...]]:
    """The tasks that a node takes in: id, and the key with its hash and its expiry where there is one."""
    keys = {row.task_id: row for row in writes.keys}
    told: list[tuple[Any, ...]] = []
    for row in writes.tasks:
        key = keys.get(row.id)
        told.append((row.id, None, "", 0) if key is None else (row.id, key.key, key.hash, key.expires_at))
    return told


_IDS = "(SELECT value FROM json_each(?))"
_PAYLOADS = f"SELECT task_id, body FROM payload WHERE task_id IN {_IDS}"  # noqa: S608
_STANDINGS = f"""
SELECT t.id, CASE WHEN t.status <> 0 THEN t.status WHEN r.task_id IS NULL THEN 0 ELSE 1 END,
    coalesce(t.completed_at, r.started_at, q.updated_at, t.created_at)
FROM task AS t LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL WHERE t.id IN {_IDS}
"""  # noqa: S608
_ENDS = f"""
SELECT {", ".join(f"t.{name}" for name in EndedTask._fields)}, b.body
FROM task AS t LEFT JOIN result AS b ON b.task_id = t.id WHERE t.status <> 0 AND t.id IN {_IDS} ORDER BY t.id
"""  # noqa: S608
