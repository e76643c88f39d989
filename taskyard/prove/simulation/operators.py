"""The operators of the simulation, and the fate of its machines: what the script says, and the undoing of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from taskyard.engine.facts import (
    AlgorithmSet,
    Beat,
    CheckAsked,
    Fact,
    MaintenanceSet,
    Registered,
    Unregistered,
)
from taskyard.engine.plan import Dispatch
from taskyard.prove.simulation.backends import Backend
from taskyard.prove.simulation.door import House, Told
from taskyard.prove.simulation.scenario import Machine
from taskyard.prove.simulation.script import Deed, Script
from taskyard.prove.simulation.world import World

OPERATOR = "operator"


class Operators:
    """Registers every machine, then does the script's deeds until `calm_down`. Also the yard of dispatches."""

    def __init__(
        self, world: World, script: Script, host: House, backends: list[Backend], drain: Callable[[int], None]
    ) -> None:
        self._world = world
        self._script = script
        self._host = host
        self._backends = {backend.machine.name: backend for backend in backends}
        self._by_index = {backend.machine.index: backend for backend in backends}
        self._drain = drain
        self._calm = False
        self._undone = 0

    # --- the yard ----------------------------------------------------------------------------------------------------

    def post(self, dispatch: Dispatch, proof: str, answer: Callable[[Any], None]) -> None:
        """See `errands.Yard`."""
        self._backends[dispatch.server_id].post(dispatch, proof, answer)

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

    # --- the run -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Register all, and let things happen from now on."""
        self._do(AlgorithmSet(name=self._script.scenario.algorithm, who=OPERATOR))
        for backend in self._backends.values():
            self._until_done(_registration(backend.machine))
        for deed in self._script.deeds:
            self._world.at(self._world.start + deed.at, self._carry_out, deed)

    def calm_down(self) -> None:
        """All faults end: every machine is up, registered, in service and told to be healthy."""
        self._calm = True
        for backend in self._backends.values():
            backend.calm = backend.up = True
            self._until_done(_registration(backend.machine))
            for fact in (_maintenance(backend.machine, on=False), _beat(backend.machine, "healthy")):
                self._until_done(fact)

    def all_is_calm(self) -> bool:
        """Whether `calm_down` has taken effect."""
        return self._calm and not self._undone

    def _until_done(self, fact: Fact) -> None:
        """Ask until there is an answer."""
        self._undone += 1
        self._ask_again(fact)

    def _ask_again(self, fact: Fact) -> None:
        def answered(told: Told) -> None:
            if told is None or isinstance(told, Exception):
                fact.ref = 0
                self._world.after(1_000, self._ask_again, fact)
            else:
                self._undone -= 1

        self._host.door.ask(fact, answered)

    def _do(self, fact: Fact) -> None:
        self._host.door.ask(fact, lambda told: None)

    # --- deeds -------------------------------------------------------------------------------------------------------

    def _carry_out(self, deed: Deed) -> None:
        if self._calm:
            return
        if deed.kind == "clock_step":
            assert isinstance(deed.value, int)
            self._world.skew += deed.value
        elif deed.kind == "node_drain":
            self._drain(deed.lasting)
        elif deed.kind == "algorithm":
            self._do(AlgorithmSet(name=str(deed.value), who=OPERATOR))
        else:
            self._do_to(self._by_index[deed.machine], deed)

    def _do_to(self, backend: Backend, deed: Deed) -> None:
        machine = backend.machine
        name = machine.name
        undo: Fact | None = None
        match deed.kind:
            case "outage":
                backend.fall()
                self._world.after(deed.lasting, self._rise, backend)
            case "refused_key":
                backend.refuses_key = True
                self._world.after(deed.lasting, self._accept_key, backend)
            case "maintenance":
                self._do(_maintenance(machine, on=True))
                undo = _maintenance(machine, on=False)
            case "flapping":
                self._do(_beat(machine, "unhealthy"))
                undo = _beat(machine, "healthy")
            case "draining":
                self._do(_beat(machine, "draining"))
                undo = _beat(machine, "healthy")
            case "removal":
                self._do(Unregistered(server_id=name, who=OPERATOR, admin=True))
                undo = _registration(machine)
            case "reregistration":
                self._do(_registration(machine))
            case "odd_heartbeat":
                self._do(_beat(machine, None if deed.value is None else str(deed.value)))
            case "check_asked":
                self._do(CheckAsked(server_id=name, who=OPERATOR, admin=True))
            case "resizing":
                assert isinstance(deed.value, int)
                self._do(_patch(machine, max_concurrent=deed.value))
                undo = _patch(machine, max_concurrent=machine.slots, weight=machine.weight)
            case "lost_capabilities":
                self._do(_patch(machine, capabilities=()))
                undo = _patch(machine, capabilities=machine.capabilities)
            case _:
                raise ValueError(deed.kind)
        if undo is not None:
            self._world.after(deed.lasting, self._until_done, undo)

    def _rise(self, backend: Backend) -> None:
        backend.up = True

    def _accept_key(self, backend: Backend) -> None:
        backend.refuses_key = False


def _registration(machine: Machine) -> Registered:
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


def _maintenance(machine: Machine, *, on: bool) -> MaintenanceSet:
    return MaintenanceSet(server_id=machine.name, who=OPERATOR, admin=True, on=on)


def _beat(machine: Machine, status: str | None) -> Beat:
    return Beat(server_id=machine.name, who=OPERATOR, admin=True, status=status)


def _patch(
    machine: Machine,
    *,
    max_concurrent: int | None = None,
    weight: int | None = None,
    capabilities: tuple[str, ...] | None = None,
) -> Registered:
    return Registered(
        server_id=machine.name,
        made_id="unused",
        who=OPERATOR,
        admin=True,
        patch=True,
        max_concurrent=max_concurrent,
        weight=weight,
        capabilities=capabilities,
    )
