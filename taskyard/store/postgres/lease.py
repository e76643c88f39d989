"""The lease of the one who decides. Whoever takes it gets a new epoch, and each turn proves it in its transaction.

The rules, which `take_lease` and `prove_epoch` in the schema keep:

1. The lease is free, or it is a node's until a time by the database's clock. Only a free or expired one, or one's own,
   can be taken; that raises the epoch.
2. A turn holds a shared advisory lock until its transaction ends and fails unless its epoch is the present one. Taking
   needs the exclusive lock. So a turn of an old epoch is either committed before the new decider reads, or never.
3. That a decider still lives is told by a thread of its own, many times within the lease's length. That this fails is
   no harm: whoever took the lease meanwhile has a higher epoch.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from taskyard.store.port import NotDeciding, StoreError
from taskyard.store.postgres.connection import Connection, Failed, Lost
from taskyard.store.postgres.holder import is_dead, new_holder
from taskyard.store.postgres.queries import QUERIES

LASTS_MS: Final = 5_000
_TELL_S: Final = 1.0
_LIMIT_S: Final = 4.0
# Taking may have to end a turn of another that is stuck, which is waited for for two seconds.
_TAKE_LIMIT_S: Final = 10.0


class Lease:
    """This process's lease. `connect` opens a connection; it raises `StoreError`."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self.holder = new_holder()
        self.epoch = 0
        self._connect = connect
        self._connection: Connection | None = None
        self._kept = True
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-lease", daemon=True)

    def start(self) -> None:
        """Begin to tell that the decider lives, whenever this process is it."""
        self._thread.start()

    def take(self, connection: Connection) -> None:
        """Take it, or take it anew so that no turn of before can follow. Raises `NotDeciding` while another has it."""
        if self._take(connection):
            raise NotDeciding("another node decides")

    def _take(self, connection: Connection, dead: str = "") -> int:
        """The ms until it may be free; 0 when it was taken."""
        call = QUERIES["take_lease"].with_values((self.holder, LASTS_MS, dead))
        (((epoch, holder, wait_ms),),) = connection.exchange([call], _TAKE_LIMIT_S)
        if not wait_ms:
            self.epoch, self._kept = epoch, True
        elif holder != dead and is_dead(holder):
            return self._take(connection, holder)
        return int(wait_ms)

    def let_expire(self) -> None:
        """Tell no longer that the decider lives, until it is taken again."""
        self._kept = False

    def leave(self, connection: Connection) -> None:
        """Hand it over."""
        connection.exchange([QUERIES["leave_lease"].with_values((self.epoch,))], _LIMIT_S)

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        while not self._stopped.wait(_TELL_S):
            try:
                self._tell()
            except (Lost, Failed, StoreError):
                # The next turn finds out and says so; here it is tried again.
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None

    def _tell(self) -> None:
        if self._connection is None:
            self._connection = self._connect()
        if self._kept:
            self._connection.exchange([QUERIES["keep_lease"].with_values((self.epoch, LASTS_MS))], _LIMIT_S)
