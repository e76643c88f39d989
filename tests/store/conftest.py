"""The stores that the conformance suite is run against."""

from contextlib import closing

import pytest

from taskyard.store.connection import Connection
from taskyard.store.postgres.store import PostgresStore
from taskyard.store.sqlite import SqliteStore
from tests.store.moving import Place, fill
from tests.store.simulated import Simulated
from tests.store.strict_port import StrictPort
from tests.support.postgres import cluster, empty

PORTS = {"sqlite": Connection, "strict": StrictPort}
STORES = [*PORTS, "postgres", "simulated"]


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server for all tests of a worker."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def database(server):
    """The URL of a database that is emptied for each test."""
    url = server.url(server.database())
    PostgresStore(url).close()
    return url


@pytest.fixture(params=STORES)
def make_store(request, tmp_path):
    """Opens the same store again and again; what is left open is closed at the end."""
    opened = []
    url = request.getfixturevalue("database") if request.param == "postgres" else None
    shared = Simulated(tmp_path / "data") if request.param == "simulated" else None

    def make():
        if shared is not None:
            return shared.open()
        port = PORTS.get(request.param)
        store = SqliteStore(tmp_path / "data", connect=port) if url is None else PostgresStore(url)
        opened.append(store)
        return store

    if url is not None:
        empty(url)
    yield make
    for store in opened:
        store.close()
    if shared is not None:
        shared.close()


@pytest.fixture
def store(make_store):
    return make_store()


@pytest.fixture
def place(tmp_path, server):
    """A data directory and a database for moves between them."""
    return Place(tmp_path / "data", server.url(server.database()))


@pytest.fixture
def filled(place):
    """A file with something of everything."""
    with closing(place.open_file()) as store:
        fill(store)
    return place
