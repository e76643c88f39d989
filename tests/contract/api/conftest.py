"""One node for all tests that need no settings of their own; subjects, types and servers keep them apart."""

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests.contract.api.yard import Backend, Behaviour, Yard, accept, echo, fresh


@pytest.fixture(scope="session")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    running = Yard(tmp_path_factory.mktemp("yard") / "data")
    yield running
    running.stop()


@pytest.fixture
def admin(yard: Yard) -> httpx.Client:
    return yard.client("admin", sub=fresh("admin"))


@pytest.fixture
def user(yard: Yard) -> httpx.Client:
    return yard.client("user", sub=fresh("user"))


@pytest.fixture
def service(yard: Yard) -> httpx.Client:
    return yard.client("service", sub=fresh("service"))


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Makes backend servers."""
    made: list[Backend] = []

    def make(behave: Behaviour = echo) -> Backend:
        made.append(Backend(behave))
        return made[-1]

    yield make
    for server in made:
        server.stop()


class Crew:
    """A backend that is registered, alone in having one capability."""

    def __init__(self, yard: Yard, server: Backend) -> None:
        self.backend = server
        self.skill = fresh("skill")
        self.service = yard.client("service", sub=fresh("service"))
        # Tasks that other tests left behind and that any server can do would fill its slots.
        left = yard.client("admin").post("/api/tasks/cancel", json={"all": True})
        assert left.json()["bulkId"] is None, left.text
        answer = self.service.post(
            "/api/servers", json={"name": "crew", "endpoints": server.endpoints, "capabilities": [self.skill]}
        )
        assert answer.status_code == 200, answer.text
        assert answer.json()["status"] == "online", answer.text
        self.server_id: str = answer.json()["serverId"]

    def submission(self, **members: Any) -> dict[str, Any]:
        """A task that only this backend can do."""
        return {"type": fresh("type"), "payload": {"n": 1}, "capabilities": [self.skill]} | members


@pytest.fixture
def crew(yard: Yard, backend: Callable[..., Backend]) -> Iterator[Callable[..., Crew]]:
    """Makes registered backends; they are taken off again."""
    made: list[Crew] = []

    def make(behave: Behaviour = echo) -> Crew:
        made.append(Crew(yard, backend(behave)))
        return made[-1]

    yield make
    for one in made:
        one.service.delete(f"/api/servers/{one.server_id}")


@pytest.fixture
def accepting(crew: Callable[..., Crew]) -> Crew:
    return crew(accept)


@pytest.fixture
def direct(crew: Callable[..., Crew]) -> Crew:
    return crew(echo)
