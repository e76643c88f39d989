"""A node in this process with real backends beside it: turns, store and HTTP out are real; only the API is absent."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from taskyard.domain.outcomes import Status, Word
from taskyard.domain.server import Server
from taskyard.domain.task import Spec
from taskyard.engine.facts import CalledBack, CancelAsked, CheckAsked, Fact, Registered, Submitted
from taskyard.engine.plan import Result, ServerDone, SubmitDone
from taskyard.engine.rows import AttemptRow, Record
from taskyard.host.node import Node
from taskyard.settings import Settings
from tests.support.aio import run, until
from tests.support.backend import Backend

SHORT: dict[str, Any] = {
    "linger": 300,
    "check_timeout": 30_000,
    "silence_timeout": 800,
    "connect_timeout": 30_000,
    "result_max_bytes": 10_000,
    "port": 8799,
    "ballast": 0,
}
PATIENCE_MS = 60_000


class House:
    """A node on a data directory. `settings` come on top of `SHORT`."""

    def __init__(self, path: Path, **settings: Any) -> None:
        self.settings = Settings(data_dir=str(path), **SHORT | settings)
        self.node = Node(self.settings)

    async def restart(self) -> None:
        """Stop the node and start another on the same directory."""
        await self.node.stop()
        self.node = Node(self.settings)
        await self.node.start()

    async def ask(self, fact: Fact) -> Result:
        return await self.node.ask(fact)

    # --- servers -----------------------------------------------------------------------------------------------------

    async def register(self, backend: Backend, server_id: str = "s1", *, cancel: bool = False, **members: Any) -> str:
        """Register a backend, and wait for the end of its first check."""
        fact = Registered(
            server_id=server_id,
            made_id="made",
            who="ops",
            admin=True,
            **{
                "name": server_id,
                "predict": backend.url("predict"),
                "health_url": backend.url("health"),
                "cancel_url": backend.url("cancel") if cancel else None,
            }
            | members,
        )
        assert isinstance(await self.ask(fact), ServerDone)
        assert await self.node.wait_checked(server_id, PATIENCE_MS)
        return server_id

    async def check(self, server_id: str = "s1") -> str:
        """Run a health check now; the status that follows."""
        done = await self.ask(CheckAsked(server_id=server_id, who="ops", admin=True))
        assert isinstance(done, ServerDone)
        return done.status

    def server(self, server_id: str = "s1") -> Server:
        return self.node.memory.fleet.servers[server_id]

    def status_of(self, server_id: str = "s1") -> str | None:
        view = self.node.server(server_id)
        return view.status if view is not None else None

    # --- tasks -------------------------------------------------------------------------------------------------------

    async def submit(self, task_type: str = "text", payload: str = '{"n":1}', **members: Any) -> str:
        """Submit a task; its retries come at once."""
        now = self.node.now()
        task_id = self.node.new_task_id(now)
        defaults: dict[str, Any] = {"owner": "ann", "created_at": now, "backoff_base_ms": 0}
        spec = Spec(**{"id": task_id, "type": task_type} | defaults | members)
        assert isinstance(await self.ask(Submitted(spec=spec, payload=payload)), SubmitDone)
        return spec.id

    async def ended(self, task_id: str) -> Record:
        """Wait for the task's end."""
        return await self.becomes(task_id, lambda record: record.queue is None and record.run is None)

    async def becomes(self, task_id: str, condition: Callable[[Record], bool]) -> Record:
        """Wait, from one change of status to the next, until the stored task fulfils a condition."""
        while True:
            record = await self.node.read(lambda store: store.task(task_id, None))
            assert record is not None
            if condition(record):
                return record
            if not await self.node.wait_changed(task_id, 50):
                assert self.node.now() < record.task.created_at + PATIENCE_MS, record

    async def run(self, task_type: str = "text", payload: str = '{"n":1}', **members: Any) -> Record:
        """Submit a task and wait for its end."""
        return await self.ended(await self.submit(task_type, payload, **members))

    async def accepted(self, task_id: str) -> Record:
        """Wait until the backend has accepted it."""
        await until(
            lambda: (
                (task := self.node.memory.tasks.get(task_id)) is not None and task.run is not None and task.run.accepted
            )
        )
        return await self.becomes(task_id, lambda record: record.run is not None and bool(record.run.accepted))

    async def result(self, task_id: str) -> str | None:
        return await self.node.read(lambda store: store.result(task_id, None))

    async def history(self, task_id: str) -> list[AttemptRow]:
        return await self.node.read(lambda store: store.history(task_id))

    async def outcomes(self, task_id: str) -> list[tuple[str, int]]:
        """The history as (outcome, count)."""
        return [(row.outcome, row.count) for row in await self.history(task_id)]

    async def cancel(self, task_id: str) -> Result:
        return await self.ask(CancelAsked(task_id=task_id, owner="ann", who="ann"))

    async def call_back(self, url: str, word: Word, **members: Any) -> Result:
        """What a backend does with its callback URL; its proof is checked as the API checks it."""
        *_, task_id, _, last = urlsplit(url).path.split("/")
        number, _, proof = last.partition("-")
        server_id = await self.node.callback_server(task_id, int(number))
        assert server_id is not None
        assert self.node.proof_is_good(task_id, int(number), server_id, proof)
        return await self.ask(CalledBack(task_id=task_id, attempt=int(number), word=word, **members))


def name_of(record: Record) -> str:
    """The status of an ended task."""
    assert record.queue is None
    assert record.run is None
    return Status(record.task.status).name


@asynccontextmanager
async def living(path: Path, backends: int = 1, **settings: Any) -> AsyncIterator[tuple[House, list[Backend]]]:
    """A started node and started backends, not yet registered; all of it is stopped at the end."""
    house = House(path, **settings)
    made = [Backend() for _ in range(backends)]
    for backend in made:
        await backend.start()
    await house.node.start()
    try:
        yield house, made
    finally:
        await house.node.stop()
        for backend in made:
            await backend.stop()


Scene = Callable[[House, Backend], Any]


def play(path: Path, scene: Scene, **settings: Any) -> None:
    """Run a scene with a node and one backend."""

    async def main() -> None:
        async with living(path, 1, **settings) as (house, (backend,)):
            await scene(house, backend)

    run(main(), limit_s=90)
