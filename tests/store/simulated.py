"""The database of simulated nodes, opened as others are: what the suite holds stores to, it holds this to too."""

import time

from taskyard.prove.simulation.nodes.database import Database
from taskyard.prove.simulation.nodes.store import SharedStore


class Simulated:
    """One database in a folder; `open` gives another process's store on it."""

    def __init__(self, folder):
        self._database = Database(folder, lambda: time.time_ns() // 1_000_000)
        self._opened = []

    def open(self):
        """A store that decides, if no other one does."""
        store = SharedStore(self._database, f"node-{len(self._opened)}")
        store.open()
        self._opened.append(store)
        return store

    def close(self):
        """Close it and all that was opened on it."""
        for store in self._opened:
            store.close()
        self._database.close()
