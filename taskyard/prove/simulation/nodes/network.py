"""The network of the simulation: how long messages take to the database and to backends, and who is cut off.

A message that is under way when the way is cut does not arrive. Knows nothing of what messages say.
"""

from __future__ import annotations

from taskyard.prove.simulation.chance import About, Chance

# Now and then a message takes as long as this.
LONG_MS = 6_000
FEW = 0.002


class Network:
    """`delays` are the usual times to the database in ms, by machine."""

    def __init__(self, chance: Chance, delays: tuple[int, ...]) -> None:
        self._chance = chance
        self._delays = delays
        self.calm = False
        self.store_away = False
        self.no_store: set[int] = set()
        self.no_backends: set[int] = set()
        self.no_nodes: set[int] = set()

    def calm_down(self) -> None:
        """Everybody reaches everybody, in the usual time."""
        self.calm = True
        self.store_away = False
        for cut in (self.no_store, self.no_backends, self.no_nodes):
            cut.clear()

    def reaches_the_store(self, machine: int) -> bool:
        """Whether a machine's messages and the database's answers arrive now."""
        return not self.store_away and machine not in self.no_store

    def reach_each_other(self, one: int, other: int) -> bool:
        """Whether a call from node to node arrives now."""
        return one == other or not (one in self.no_nodes or other in self.no_nodes)

    def to_the_store(self, machine: int, number: int) -> tuple[int, int]:
        """The ms that a call takes to the database, and those of its answer."""
        return self._delay(machine, 2 * number), self._delay(machine, 2 * number + 1)

    def _delay(self, machine: int, number: int) -> int:
        share = self._chance.share(About.DELAY, machine, number)
        if share < FEW and not self.calm:
            return 1 + int(share / FEW * LONG_MS)
        return 1 + int(share * self._delays[machine])

    def to_a_backend(self, machine: int, number: int) -> int:
        """The ms that a message takes between a node and a backend."""
        return 1 + int(self._chance.share(About.ERRAND, machine, number) * 5)
