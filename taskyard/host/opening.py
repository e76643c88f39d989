"""Which store the settings name, and how it is opened. Knows no store's ways beyond that."""

from __future__ import annotations

from taskyard.host.keys import fingerprint
from taskyard.settings import Settings
from taskyard.store.port import Store
from taskyard.store.sqlite import SqliteStore


def open_store(settings: Settings) -> Store:
    """The store, open. Waits some seconds for the lease of a node that has died. Raises `StoreError`."""
    if settings.database is None:
        return SqliteStore(settings.data_path, ballast=settings.ballast)
    # Only who uses the driver pays for it.
    from taskyard.store.postgres.store import PostgresStore

    return PostgresStore(settings.database.reveal(), tuple(fingerprint(key.reveal()) for key in settings.secret_key))
