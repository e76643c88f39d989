"""Three nodes for all tests of a worker."""

from collections.abc import Iterator

import pytest

from tests.nodes.backend import Backend, backend
from tests.nodes.yard import Yard, yard
from tests.support.postgres import Cluster, cluster

# So few that who waits would keep others from being passed on; and limits that a test can come near to.
SETTINGS = {"TASKYARD_NODE_CALLS": "2", "MAX_QUEUED_PER_SUB": "40", "TASKYARD_CONNECT_TIMEOUT": "60s"}


@pytest.fixture(scope="session")
def server() -> Iterator[Cluster]:
    """A PostgreSQL server for all tests of a worker."""
    with cluster() as running:
        yield running


@pytest.fixture(scope="session")
def _started(server: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    folder = tmp_path_factory.mktemp("nodes")
    with yard(folder, server.url(server.database()), own=[SETTINGS] * 3) as running:
        yield running


@pytest.fixture
def nodes(_started: Yard) -> Yard:
    """Three nodes on one database that live and know of each other, whatever the test before has done to them."""
    _started.heal()
    return _started


@pytest.fixture
def served(nodes: Yard) -> Iterator[Backend]:
    """A backend server of this test's own: `only` are the members of a task that it alone can take."""
    with backend() as made:
        nodes.register(made)
        yield made
        nodes.unregister(made)
