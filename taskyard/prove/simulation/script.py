"""The script of a run: everything that people, machines and fate will do in it, planned before it begins.

Each part has a name (`w12` a wish for a task, `p3` something that people do to one, `d5` a deed of an operator or of
fate, `c1` a crash, `m0` a machine, or the name of a fault), and a run can be played with some of them only: that is how
a seed is shrunk and replayed. Times are int ms after the start.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from random import Random

from taskyard.domain.outcomes import Word
from taskyard.domain.policies import POLICIES
from taskyard.prove.simulation.blows import Blow, blows_of
from taskyard.prove.simulation.crashes import ARMED, Stage
from taskyard.prove.simulation.faults import FAULTS, ONE_ALONE, TO_NODES
from taskyard.prove.simulation.scenario import Lane, Machine, Scenario

TYPES = ("chat-completion", "txt2img", "ocr")
AN_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Wish:
    """A task that somebody wants. `repeats` is the wish whose key it uses again, with another body if `otherwise`."""

    index: int
    at: int
    owner: str
    type: str
    lane: Lane
    priority: int
    timeout: int
    max_retries: int
    backoff_base: int
    run_in: int | None = None
    ttl: int | None = None
    queue_timeout: int | None = None
    heartbeat_timeout: int | None = None
    keyed: bool = False
    repeats: int | None = None
    otherwise: bool = False
    unstorable: bool = False


@dataclass(frozen=True, slots=True)
class Meddling:
    """Something that somebody does to the task of a wish, `after` its acknowledgement. `who`: "owner", "admin", …"""

    index: int
    wish: int
    after: int
    kind: str
    who: str
    word: Word


@dataclass(frozen=True, slots=True)
class Deed:
    """Something that operators or fate do, undone after `lasting`. What `value` is depends on the kind."""

    index: int
    at: int
    kind: str
    machine: int
    lasting: int = 0
    value: int | str | None = None


@dataclass(frozen=True, slots=True)
class Crash:
    """From `at` on the node dies, or its store fails, at the next opportunity of this stage."""

    index: int
    at: int
    stage: Stage


@dataclass(frozen=True)
class Script:
    """A scenario and all that will happen in it."""

    scenario: Scenario
    wishes: tuple[Wish, ...]
    meddlings: tuple[Meddling, ...]
    deeds: tuple[Deed, ...]
    crashes: tuple[Crash, ...]
    faults: frozenset[str]
    blows: tuple[Blow, ...] = ()

    def parts(self) -> list[str]:
        """The names of all parts, those that explain most first."""
        names = sorted(self.faults)
        for letter, items in (
            *(("m", self.scenario.machines), ("d", self.deeds), ("c", self.crashes)),
            ("b", self.blows),
            *(("p", self.meddlings), ("w", self.wishes)),
        ):
            names += [f"{letter}{item.index}" for item in items]
        return names

    def only(self, parts: Collection[str]) -> Script:
        """The script with these parts only."""
        kept = frozenset(parts)
        return self._keeping(kept, self.faults & kept)

    def without(self, faults: Collection[str]) -> Script:
        """The script without some faults. Raises `ValueError` for one that there is none of."""
        if unknown := sorted(set(faults) - FAULTS):
            raise ValueError(f"there is no fault called {', '.join(unknown)}")
        return self._keeping(frozenset(self.parts()), self.faults - set(faults))

    def _keeping(self, kept: frozenset[str], faults: frozenset[str]) -> Script:
        machines = tuple(_tamed(one, faults) for one in self.scenario.machines if f"m{one.index}" in kept)
        numbers = {machine.index for machine in machines} | {-1}
        wishes = tuple(one for one in self.wishes if f"w{one.index}" in kept)
        wanted = {wish.index for wish in wishes}
        return Script(
            scenario=_tamed_world(replace(self.scenario, machines=machines), faults),
            wishes=tuple(
                one
                for one in wishes
                if (one.repeats is None or (one.repeats in wanted and "repeated_keys" in faults))
                and (not one.unstorable or "unstorable_task" in faults)
            ),
            meddlings=tuple(
                one
                for one in self.meddlings
                if f"p{one.index}" in kept
                and one.wish in wanted
                and one.kind in faults
                and (one.who != "stranger" or "strangers" in faults)
            ),
            deeds=tuple(
                one for one in self.deeds if f"d{one.index}" in kept and one.kind in faults and one.machine in numbers
            ),
            crashes=tuple(one for one in self.crashes if f"c{one.index}" in kept and one.stage.name.lower() in faults),
            faults=faults,
            blows=tuple(one for one in self.blows if f"b{one.index}" in kept and one.kind in faults),
        )


def _tamed(machine: Machine, faults: frozenset[str]) -> Machine:
    return replace(
        machine,
        behaviours=tuple(entry for entry in machine.behaviours if entry[0] == "succeeds" or entry[0] in faults),
        flaps=machine.flaps if "flapping" in faults else 0.0,
        has_proof=machine.has_proof or "no_proof" not in faults,
    )


def _tamed_world(scenario: Scenario, faults: frozenset[str]) -> Scenario:
    if "full_inbox" not in faults:
        scenario = replace(scenario, submissions_most=1 << 30, calls_most=1 << 30)
    return scenario if "retention" in faults else replace(scenario, retention_ms=0)


# --- writing ---------------------------------------------------------------------------------------------------------


def write(scenario: Scenario) -> Script:
    """The script of a scenario."""
    wishes = tuple(_wishes(Random(f"wishes {scenario.seed}"), scenario))
    rng = Random(f"deeds {scenario.seed}")
    script = Script(
        scenario=scenario,
        wishes=wishes,
        meddlings=tuple(_meddlings(Random(f"people {scenario.seed}"), scenario, wishes)),
        deeds=tuple(
            replace(deed, index=index)
            for index, deed in enumerate(sorted(_deeds(rng, scenario), key=lambda deed: deed.at))
        ),
        crashes=() if scenario.among else tuple(_crashes(Random(f"crashes {scenario.seed}"), scenario)),
        faults=FAULTS,
        blows=tuple(blows_of(Random(f"blows {scenario.seed}"), scenario)) if scenario.among else (),
    )
    return script.without(ONE_ALONE if scenario.among else TO_NODES)


def _wishes(rng: Random, scenario: Scenario) -> Iterator[Wish]:
    keyed: list[Wish] = []
    index = wanted = 0
    at = 0.0
    while wanted < scenario.tasks:
        burst = rng.randrange(scenario.burst) + 1
        for _ in range(min(burst, scenario.tasks - wanted)):
            if keyed and rng.random() < 0.1:
                earlier = rng.choice(keyed)
                yield replace(earlier, index=index, at=int(at), repeats=earlier.index, otherwise=rng.random() < 0.3)
                index += 1
            wish = _wish(rng, scenario, index, int(at))
            yield wish
            index += 1
            if wish.unstorable:
                continue
            wanted += 1
            if wish.keyed:
                keyed.append(wish)
        at += rng.expovariate(1) * burst * scenario.span_ms / scenario.tasks


def _wish(rng: Random, scenario: Scenario, index: int, at: int) -> Wish:
    own = rng.random() < scenario.limits_share
    short = scenario.short
    return Wish(
        index=index,
        at=at,
        owner=rng.choice(scenario.owners),
        type=rng.choice(TYPES),
        lane=rng.choice(scenario.lanes),
        priority=rng.choice((0, 0, 0, 5, 10)),
        timeout=rng.choice((6_000, 15_000)),
        max_retries=rng.choice((0, 1, 3, 3)),
        backoff_base=rng.choice((1, 1_000)),
        run_in=rng.choice((-1_000, 500, 20_000)) if own and rng.random() < 0.4 else None,
        ttl=int(rng.choice((5_000, 60_000)) * short) if own and rng.random() < 0.5 else None,
        queue_timeout=int(rng.choice((2_000, 20_000)) * short) if own and rng.random() < 0.4 else None,
        heartbeat_timeout=int(rng.choice((1_000, 5_000)) * short) if own and rng.random() < 0.3 else None,
        keyed=rng.random() < scenario.keys,
        unstorable=rng.random() < scenario.unstorable,
    )


def _meddlings(rng: Random, scenario: Scenario, wishes: tuple[Wish, ...]) -> Iterator[Meddling]:
    index = 0
    words = (Word.COMPLETED, Word.FAILED, Word.TIMEOUT, Word.CANCELLED, Word.PROCESSING)
    for wish in wishes:
        if rng.random() >= scenario.meddling:
            continue
        after = rng.randrange(10_000) if rng.random() < 0.7 else rng.randrange(10_000 + scenario.span_ms)
        for _ in range(1 + (rng.random() < 0.3)):  # or two people at once
            kinds = rng.choices(("cancel", "retry", "verdict", "purge"), (40, 35, 15, 10))
            who = rng.choice(("admin", "stranger")) if rng.random() < 0.2 else "owner"
            yield Meddling(index, wish.index, after, kinds[0], who, rng.choice(words))
            index += 1


def _deeds(rng: Random, scenario: Scenario) -> Iterator[Deed]:
    for machine in scenario.machines:
        if machine.outages:
            yield from _again_and_again(rng, scenario, "outage", machine.index, (1_000, 20_000, 90_000))
        if machine.refuses_key:
            yield from _again_and_again(rng, scenario, "refused_key", machine.index, (5_000, 50_000, 100_000))
        if machine.flaps:
            yield from _again_and_again(rng, scenario, "flapping", machine.index, (500, 3_000))
    steps = (-AN_HOUR_MS, -60_000, -3_000, 3_000, 60_000, AN_HOUR_MS)
    for _ in range(scenario.clock_steps):
        yield Deed(0, rng.randrange(scenario.span_ms + 30_000), "clock_step", -1, value=rng.choice(steps))
    at = float(scenario.upkeep_ms)
    while scenario.upkeep_ms and at < scenario.horizon_ms:
        deed = _upkeep(rng, rng.choice(scenario.machines), int(at), rng.choice((100, 3_000, 30_000)))
        if deed is not None:
            yield deed
        at += rng.expovariate(1) * scenario.upkeep_ms


def _again_and_again(
    rng: Random, scenario: Scenario, kind: str, machine: int, lasting: tuple[int, ...]
) -> Iterator[Deed]:
    at = rng.randrange(scenario.span_ms)
    while at < scenario.horizon_ms:
        deed = Deed(0, at, kind, machine, rng.choice(lasting))
        yield deed
        at += deed.lasting + rng.randrange(scenario.span_ms)


def _upkeep(rng: Random, machine: Machine, at: int, soon: int) -> Deed | None:
    """One thing that operators or servers do."""
    kind = rng.randrange(10)
    if kind == 0:
        return Deed(0, at, "maintenance", machine.index, soon)
    if kind == 1:
        return Deed(0, at, "draining", machine.index, soon)
    if kind == 2:
        return Deed(0, at, "removal", machine.index, rng.choice((0, 10, soon, 40_000)))
    if kind == 3:
        return Deed(0, at, "odd_heartbeat", machine.index, value=rng.choice(("healthy", "unhealthy", None)))
    if kind == 4:
        return Deed(0, at, "check_asked", machine.index)
    if kind == 5:
        return Deed(0, at, "algorithm", -1, value=rng.choice(list(POLICIES)))
    if kind == 6:
        return Deed(0, at, "reregistration", machine.index)
    if kind == 7:
        return Deed(0, at, "resizing", machine.index, soon, rng.choice((1, machine.slots, machine.slots + 2)))
    if kind == 8 and rng.random() < 0.3:
        return Deed(0, at, "node_drain", -1, soon)
    return None if machine.learns else Deed(0, at, "lost_capabilities", machine.index, soon)


def _crashes(rng: Random, scenario: Scenario) -> Iterator[Crash]:
    """One in each equal share of the time that the work takes, so that all come while there is some."""
    time = max(scenario.span_ms, scenario.work_ms) * 0.9
    for index in range(scenario.crashes):
        at = int((index + rng.random()) * time / scenario.crashes)
        yield Crash(index, at, rng.choice(ARMED))
