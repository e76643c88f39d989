"""The store of one simulated process: a `Store` that is `Shared`, on the database that all of them have.

What it is asked while the database cannot be reached fails, and is not done. Like the real one it uses one connection
to write: once that is lost, turns fail until `recover` has taken the right to decide anew.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from taskyard.engine.plan import Lookup, Plan, Receipt, Snapshot
from taskyard.prove.simulation.nodes.database import Database
from taskyard.prove.simulation.nodes.messages import NodesOf
from taskyard.store import turns
from taskyard.store.figures import Keep
from taskyard.store.port import NotDeciding, OutcomeUnknown, StoreError
from taskyard.store.sqlite import SqliteStore
from taskyard.store.turns import id_list

Writer = Callable[..., None]


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
        return {"database": 1, "wal": 0}

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
