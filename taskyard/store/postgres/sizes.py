"""How large the database is, measured now and then by a thread of its own: it may have to wait for a table's lock for
long, and nobody shall wait with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from taskyard.store.port import StoreError

EVERY_S: Final = 30.0


class Sizes:
    """Measures while it runs. `measure` says how many bytes there are; it raises `StoreError`."""

    def __init__(self, measure: Callable[[], int]) -> None:
        self.database = 0  # bytes; 0 until it was measured
        self._measure = measure
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="store-sizes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Measure no more; what is being measured is not waited for."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(StoreError):  # reads say so
                self.database = self._measure()
            self._stopped.wait(EVERY_S)
