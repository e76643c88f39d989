"""The stores that the conformance suite is run against."""

import pytest

from taskyard.store.connection import Connection
from taskyard.store.sqlite import SqliteStore
from tests.store.strict_port import StrictPort

PORTS = {"sqlite": Connection, "strict": StrictPort}


@pytest.fixture(params=PORTS)
def make_store(request, tmp_path):
    """Opens the same store again and again; what is left open is closed at the end."""
    opened = []

    def make():
        store = SqliteStore(tmp_path / "data", connect=PORTS[request.param])
        opened.append(store)
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(make_store):
    return make_store()
