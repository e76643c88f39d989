"""A real fleet with servers to play with: they fill, end tasks, leave and return, and a pool picks among them."""

from collections.abc import Iterable
from random import Random

from taskyard.domain.fleet import Fleet, Lane
from taskyard.domain.health import Health, State
from taskyard.domain.server import AWAY, Server
from taskyard.domain.task import Run

ENDLESS = 10**9


class Yard:
    """A fleet and one lane without requirements; `now` is int ms and stands still unless a test moves it."""

    def __init__(self, policy: str, seed: int = 0) -> None:
        self.fleet = Fleet()
        self.fleet.use_policy(policy)
        self.now = 1_000_000
        self.rng = Random(seed)
        self.lane: Lane = self.fleet.lane(frozenset(), "", "")
        self._runs = 0

    def add(
        self,
        server_id: str,
        weight: int = 1,
        slots: int = ENDLESS,
        capabilities: Iterable[str] = (),
        groups: Iterable[str] = (),
        state: State = State.ONLINE,
    ) -> Server:
        server = Server(
            id=server_id,
            name=server_id,
            predict=f"http://{server_id}/predict",
            health_url=f"http://{server_id}/health",
            registered_at=self.now,
            weight=weight,
            max_concurrent=slots,
            capabilities=tuple(capabilities),
            groups=tuple(groups),
            health=Health(state=state),
        )
        self.fleet.place(server)
        self.note(server)
        return server

    def note(self, server: Server) -> None:
        """Tell the fleet of a change, as the engine does after each."""
        self.fleet.refresh(server, self.now)

    def pick(self, task_type: str = "t", avoid: str = "", lane: Lane | None = None) -> Server | None:
        """What the pool picks; the pick takes a slot of it, as a dispatch does."""
        chosen = (lane or self.lane).pool.pick(self.fleet, task_type, avoid, self.rng)
        if chosen is not None:
            self._runs += 1
            chosen.runs.add(Run(f"task_{self._runs}", 1, chosen, "node", self.now, self.now + ENDLESS))
            self.note(chosen)
        return chosen

    def end_one(self, server: Server) -> None:
        """One of its tasks ends."""
        server.runs.remove(min(server.runs, key=lambda run: int(run.task_id[5:])))
        self.note(server)

    def hold(self, server: Server, on: bool) -> None:
        """It becomes unreachable, or a check passes again."""
        server.held = on
        self.note(server)

    def open_servers(self) -> list[Server]:
        return [server for server in self.fleet.servers.values() if server.tier != AWAY and server.has_room(self.now)]
