"""Blows: what a script has befall one of several nodes, and when. Knows nothing of how it is done."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from taskyard.prove.simulation.faults import TO_NODES
from taskyard.prove.simulation.scenario import Scenario

# Just after what, in the database, a node may be struck; '' for any time.
AFTER = ("", "", "commit", "commit", "take_in", "letters", "recover", "beat")


@dataclass(frozen=True, slots=True)
class Blow:
    """What befalls one of several nodes, undone after `lasting`.

    It strikes the decider or another one, at once or (`after`) just after a call of it did this in the database.
    """

    index: int
    at: int
    kind: str
    decider: bool
    after: str
    lasting: int


def blows_of(rng: Random, scenario: Scenario) -> Iterator[Blow]:
    """One in each equal share of the time that the work takes; a stop and a death are what hits most."""
    time = max(scenario.span_ms, scenario.work_ms, 5_000 * scenario.crashes) * 0.9
    for index in range(scenario.crashes):
        at = int((index + rng.random()) * time / scenario.crashes)
        kind = rng.choice((*TO_NODES, "node_death", "node_death", "node_freeze", "store_cut"))
        lasting = rng.choice((300, 2_000, 5_500, 9_000, 20_000))
        yield Blow(index, at, kind, rng.random() < 0.6, rng.choice(AFTER), lasting)
