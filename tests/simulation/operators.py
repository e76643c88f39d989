"""The operators of the simulation, and the fate of its machines: registration, maintenance, removal, outages."""

from __future__ import annotations

from random import Random

from taskyard.domain.policies import POLICIES
from taskyard.engine.facts import (
    AlgorithmSet,
    Beat,
    CheckAsked,
    Fact,
    MaintenanceSet,
    Registered,
    Unregistered,
)
from taskyard.engine.plan import Dispatch, Result
from tests.simulation.backends import Backend
from tests.simulation.errands import Tell
from tests.simulation.host import Host
from tests.simulation.scenario import Machine, Scenario
from tests.simulation.world import World

OPERATOR = "operator"


class Operators:
    """Registers every machine, then does this and that to them until `calm_down`. Also the yard of dispatches."""

    def __init__(self, world: World, scenario: Scenario, host: Host, backends: list[Backend], rng: Random) -> None:
        self._world = world
        self._scenario = scenario
        self._host = host
        self._backends = {backend.machine.name: backend for backend in backends}
        self._rng = rng
        self._calm = False
        self._undone = 0

    # --- the yard ----------------------------------------------------------------------------------------------------

    def post(self, dispatch: Dispatch, answer: Tell) -> None:
        """See `errands.Yard`."""
        self._backends[dispatch.server_id].post(dispatch, answer)

    def cancel(self, server_id: str, task_id: str, attempt: int) -> bool:
        """See `errands.Yard`."""
        return self._backends[server_id].cancel(task_id, attempt)

    def hang_up(self, task_id: str, attempt: int) -> None:
        """See `errands.Yard`."""
        for backend in self._backends.values():
            backend.hang_up(task_id, attempt)

    def check(self, server_id: str) -> tuple[bool, tuple[str, ...] | None]:
        """See `errands.Yard`."""
        backend = self._backends[server_id]
        return backend.check(), backend.machine.capabilities if backend.machine.learns else None

    # --- the machines ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Register all, and let things happen from now on."""
        self._do(AlgorithmSet(name=self._scenario.algorithm, who=OPERATOR))
        for backend in self._backends.values():
            self._until_done(self._registration(backend.machine))
            if backend.machine.outages:
                self._world.after(self._rng.randrange(self._scenario.span_ms), self._fall, backend)
            if backend.machine.refuses_key:
                self._world.after(self._rng.randrange(self._scenario.span_ms), self._refuse_key, backend)
        if self._scenario.upkeep_ms:
            self._world.after(self._scenario.upkeep_ms, self._keep_up)

    def calm_down(self) -> None:
        """All faults end: every machine is up, registered, in service and told to be healthy."""
        self._calm = True
        for backend in self._backends.values():
            backend.calm = backend.up = True
            self._until_done(self._registration(backend.machine))
            for fact in (
                self._maintenance(backend.machine.name, on=False),
                self._beat(backend.machine.name, "healthy"),
            ):
                self._until_done(fact)

    def all_is_calm(self) -> bool:
        """Whether `calm_down` has taken effect."""
        return self._calm and not self._undone

    def _until_done(self, fact: Fact) -> None:
        """Ask until there is an answer."""
        self._undone += 1
        self._ask_again(fact)

    def _ask_again(self, fact: Fact) -> None:
        def answered(result: Result | None) -> None:
            if result is None:
                fact.ref = 0
                self._world.after(1_000, self._ask_again, fact)
            else:
                self._undone -= 1

        self._host.ask(fact, answered)

    def _do(self, fact: Fact) -> None:
        self._host.ask(fact, lambda result: None)

    def _registration(self, machine: Machine) -> Registered:
        url = f"http://{machine.name}.example"
        return Registered(
            server_id=machine.name,
            made_id="unused",
            who=OPERATOR,
            admin=True,
            predict=url + "/predict",
            health_url=url + "/health",
            cancel_url=url + "/cancel" if machine.can_cancel else None,
            capabilities=None if machine.learns else machine.capabilities,
            groups=machine.groups,
            max_concurrent=machine.slots,
            weight=machine.weight,
            is_async=machine.is_async,
        )

    def _maintenance(self, name: str, *, on: bool) -> MaintenanceSet:
        return MaintenanceSet(server_id=name, who=OPERATOR, admin=True, on=on)

    def _beat(self, name: str, status: str | None) -> Beat:
        return Beat(server_id=name, who=OPERATOR, admin=True, status=status)

    def _fall(self, backend: Backend) -> None:
        if not self._calm:
            backend.fall()
            self._world.after(self._rng.choice((1_000, 20_000, 90_000)), self._rise, backend)

    def _rise(self, backend: Backend) -> None:
        backend.up = True
        self._world.after(self._rng.randrange(self._scenario.span_ms), self._fall, backend)

    def _refuse_key(self, backend: Backend) -> None:
        if not self._calm:
            backend.refuses_key = not backend.refuses_key
            self._world.after(self._rng.randrange(5_000, 100_000), self._refuse_key, backend)

    # --- upkeep ------------------------------------------------------------------------------------------------------

    def _keep_up(self) -> None:
        """One thing that operators or servers do; some are undone a little later."""
        if self._calm:
            return
        rng = self._rng
        machine = rng.choice(list(self._backends.values())).machine
        name, soon = machine.name, rng.choice((100, 3_000, 30_000))
        kind = rng.randrange(10)
        if kind == 0:
            self._do(self._maintenance(name, on=True))
            self._world.after(soon, self._until_done, self._maintenance(name, on=False))
        elif kind == 1:
            self._do(self._beat(name, "draining"))
            self._world.after(soon, self._until_done, self._beat(name, "healthy"))
        elif kind == 2:
            self._do(Unregistered(server_id=name, who=OPERATOR, admin=True))
            self._world.after(rng.choice((0, 10, soon, 40_000)), self._until_done, self._registration(machine))
        elif kind == 3:
            self._do(self._beat(name, rng.choice(("healthy", "unhealthy", None))))
        elif kind == 4:
            self._do(CheckAsked(server_id=name, who=OPERATOR, admin=True))
        elif kind == 5:
            self._do(AlgorithmSet(name=rng.choice(list(POLICIES)), who=OPERATOR))
        elif kind == 6:
            self._do(self._registration(machine))
        elif kind == 7:
            self._do(self._patch(name, max_concurrent=rng.choice((1, machine.slots, machine.slots + 2))))
            self._world.after(
                soon, self._until_done, self._patch(name, max_concurrent=machine.slots, weight=machine.weight)
            )
        elif kind == 8 and rng.random() < 0.3:
            self._host.drain(soon)
        elif not machine.learns:
            self._do(self._patch(name, capabilities=()))
            self._world.after(soon, self._until_done, self._patch(name, capabilities=machine.capabilities))
        self._world.after(int(rng.expovariate(1) * self._scenario.upkeep_ms), self._keep_up)

    def _patch(
        self,
        name: str,
        *,
        max_concurrent: int | None = None,
        weight: int | None = None,
        capabilities: tuple[str, ...] | None = None,
    ) -> Registered:
        return Registered(
            server_id=name,
            made_id="unused",
            who=OPERATOR,
            admin=True,
            patch=True,
            max_concurrent=max_concurrent,
            weight=weight,
            capabilities=capabilities,
        )
