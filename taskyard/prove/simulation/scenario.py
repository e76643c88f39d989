"""Scenarios: what a seed decides of the world of a run: machines, limits, rates. What happens in it is the script.

Rates are shares 0-1, times int ms.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

from taskyard.domain.policies import POLICIES
from taskyard.engine.limits import Limits
from taskyard.prove.simulation.faults import BEHAVIOURS

START_MS = 1_767_225_600_000 + 59 * 60_000  # a minute before a full hour, so that most runs cross one
Lane = tuple[tuple[str, ...], str, str]


@dataclass(frozen=True)
class Machine:
    """A backend as it is built; with `learns` it tells its capabilities in its health check."""

    index: int
    capabilities: tuple[str, ...]
    learns: bool
    groups: tuple[str, ...]
    slots: int
    weight: int
    is_async: bool
    can_cancel: bool
    fast_ms: int
    slow_ms: int
    behaviours: tuple[tuple[str, int], ...]
    outages: bool
    flaps: float  # share of its health checks that fail although it works
    has_proof: bool  # else it calls back under a token, which speaks of the latest attempt
    refuses_key: bool

    @property
    def name(self) -> str:
        return f"machine-{self.index}"


@dataclass(frozen=True)
class Among:
    """What several nodes have: times to the database, by how much their clocks are off, how they look at each other.

    On `one_machine` a process that is gone is seen to be gone at once.
    """

    nodes: int
    delays: tuple[int, ...]
    skews: tuple[int, ...]
    silence_ms: int
    poll_ms: int
    drain_ms: int
    one_machine: bool


@dataclass(frozen=True)
class Scenario:
    """The world of one run."""

    seed: int
    tasks: int
    crashes: int
    limits: Limits
    machines: tuple[Machine, ...]
    owners: tuple[str, ...]
    lanes: tuple[Lane, ...]
    algorithm: str
    span_ms: int  # how long the submissions take
    work_ms: int  # how long the machines need for them
    burst: int  # how many come at once at most
    keys: float  # share of submissions with an idempotency key
    limits_share: float  # share of tasks with time limits of their own
    short: float  # factor on time limits: smaller ones pass more often
    meddling: float  # operations of people per submission
    upkeep_ms: int  # mean time between operations on servers, 0: none
    unstorable: float  # share of submissions that the store refuses
    clock_steps: int
    turn_delay_ms: int
    commit_ms: int
    batch: int
    submissions_most: int  # that wait in the inbox; more are shed
    calls_most: int
    retention_ms: int  # how long ended tasks are kept, 0: for ever
    sweep_most: int
    downtime_ms: int
    among: Among | None = None  # `None`: one node alone

    @property
    def horizon_ms(self) -> int:
        """Until when a script plans trouble."""
        return 3 * self.span_ms + 60_000


def draw(seed: int, tasks: int = 1000, crashes: int = 10, nodes: int = 1) -> Scenario:
    """The scenario of a seed."""
    scenario = _draw(seed, tasks, crashes)
    return scenario if nodes == 1 else _among(Random(f"nodes {seed}"), scenario, nodes)


def _among(rng: Random, scenario: Scenario, nodes: int) -> Scenario:
    """The same with several nodes; their real inboxes and edges are tried with one."""
    return replace(
        scenario,
        among=Among(
            nodes=nodes,
            delays=tuple(rng.choice((1, 5, 5, 40, 120)) for _ in range(nodes)),
            skews=tuple(rng.choice((0, -600_000, 600_000, 3_600_000)) for _ in range(nodes)),
            silence_ms=rng.choice((4_000, 6_000)),
            poll_ms=rng.choice((100, 200, 400)),
            drain_ms=rng.choice((500, 5_000)),
            one_machine=rng.random() < 0.5,
        ),
        batch=max(50, scenario.batch),
        submissions_most=20_000,
        calls_most=20_000,
    )


def _draw(seed: int, tasks: int, crashes: int) -> Scenario:
    rng = Random(f"scenario {seed}")
    calm = rng.random() < 0.1
    machines = tuple(_machine(rng, index, calm) for index in range(rng.choice((1, 2, 4, 6, 8))))
    slots = sum(machine.slots for machine in machines)
    mean_ms = sum((machine.fast_ms + machine.slow_ms) / 2 * machine.slots for machine in machines) / slots
    work_ms = int(tasks * mean_ms / slots)
    span_ms = int(work_ms / rng.choice((0.4, 0.8, 1.2, 2.5, 6.0)))
    limits = _limits(rng)
    batch = rng.choice((1, 8, 50, 1000, 1000, 1000, 1000, 1000, 1000))
    full = not calm and rng.random() < 0.3
    return Scenario(
        seed=seed,
        tasks=tasks,
        crashes=crashes,
        limits=limits,
        machines=machines,
        owners=tuple(f"user-{n}" for n in range(rng.choice((1, 3, 8)))),
        lanes=_lanes(rng, machines, quantum=min(limits.max_queued, limits.max_queued_per_sub) > tasks),
        algorithm=rng.choice(list(POLICIES)),
        span_ms=span_ms,
        work_ms=work_ms,
        burst=rng.choice((2, 10, 40, 120)),
        keys=rng.choice((0.0, 0.3, 0.8)),
        limits_share=0.0 if calm else rng.choice((0.0, 0.1, 0.3)),
        short=rng.choice((0.5, 1.0, 3.0)),
        meddling=0.0 if calm else rng.choice((0.0, 0.1, 0.4)),
        upkeep_ms=0 if calm else rng.choice((0, 300 + span_ms // 15, 300 + span_ms // 50)),
        unstorable=0.0 if calm else rng.choice((0.0, 0.0, 0.001, 0.004)),
        clock_steps=0 if calm else rng.choice((0, 4, 12)),
        turn_delay_ms=rng.choice((5, 80, 300, 1_000)),
        commit_ms=rng.choice((0, 5, 80)) if batch > 1 else 0,
        batch=batch,
        submissions_most=rng.choice((3, 10, 30)) if full else 20_000,
        calls_most=rng.choice((1, 3)) if full else 20_000,
        retention_ms=0 if calm else rng.choice((0, 2_000, 30_000, 120_000)),
        sweep_most=rng.choice((1, 20, 200)),
        downtime_ms=rng.choice((100, 2_000, 20_000)),
    )


def _limits(rng: Random) -> Limits:
    least = rng.choice((1, 4))
    small = rng.random() < 0.7
    return Limits(
        window_entries=rng.choice((8, 40)) if small else 20_000,
        window_least=least if small else 64,
        refill_bite=rng.choice((1, 8, 8, 8)) if small else 1_000,
        wake_entries=rng.choice((8, 20)) if rng.random() < 0.6 else 20_000,
        payload_bytes=rng.choice((0, 500, 64 << 20)),
        dispatches_per_turn=rng.choice((2, 1_000)) if rng.random() < 0.3 else 1_000,
        wakes_per_turn=rng.choice((2, 1_000)) if rng.random() < 0.3 else 1_000,
        max_lost=rng.choice((1, 5)),
        max_queued=200 if rng.random() < 0.1 else 2_000_000,
        max_queued_per_sub=100 if rng.random() < 0.1 else 1_000_000,
        max_lanes=3 if rng.random() < 0.1 else 10_000,
        retry_budget=rng.choice((0.2, 1.0)),
        idempotency_ms=rng.choice((20_000, 86_400_000)),
    )


def _machine(rng: Random, index: int, calm: bool) -> Machine:
    fast = rng.choice((20, 200, 1_000))
    trouble = 0 if calm else rng.choice((0, 1, 3, 8))
    capabilities = tuple(name for name in ("gpu", "ocr") if index == 0 or rng.random() < 0.5)
    rare = rng.random() < 0.75  # what costs a run many recoveries
    weights = [
        ("succeeds", 100),
        *((name, 0 if rare and "unstorable" in name else weight * trouble) for name, weight in BEHAVIOURS.items()),
    ]
    return Machine(
        index=index,
        capabilities=capabilities,
        learns=rng.random() < 0.2,
        groups=("east",) if index % 2 else ("east", "west"),
        slots=rng.choice((1, 2, 5, 12)),
        weight=rng.choice((0, 1, 1, 5, 10)),
        is_async=rng.random() < 0.2,
        can_cancel=rng.random() < 0.5,
        fast_ms=fast,
        slow_ms=fast * rng.choice((2, 5)),
        behaviours=tuple((name, weight) for name, weight in weights if weight),
        outages=not calm and rng.random() < 0.4,
        flaps=0.0 if calm else rng.choice((0.0, 0.0, 0.0, 0.3, 0.7)),
        has_proof=rng.random() < 0.9,
        refuses_key=not calm and rng.random() < 0.15,
    )


def _lanes(rng: Random, machines: tuple[Machine, ...], *, quantum: bool) -> tuple[Lane, ...]:
    lanes: list[Lane] = [((), "", "")]
    for _ in range(rng.choice((0, 2, 8))):
        capabilities = tuple(name for name in ("ocr", "gpu") if rng.random() < 0.4)
        group = rng.choice(("", "", "east", "west"))
        pin = rng.choice(machines).name if rng.random() < 0.2 else ""
        if any(_can_serve(machine, capabilities, group, pin) for machine in machines):
            lanes.append((capabilities, group, pin))
    if quantum and len(lanes) > 1 and rng.random() < 0.3:
        lanes.append((("quantum",), "", ""))  # nobody has it: such tasks wait for ever
    return tuple(lanes)


def _can_serve(machine: Machine, capabilities: tuple[str, ...], group: str, pin: str) -> bool:
    return (
        set(capabilities) <= set(machine.capabilities) and group in ("", *machine.groups) and pin in ("", machine.name)
    )
