"""Shrinking: from a run that breaks a promise to the smallest part of its script that still breaks the same one.

Delta debugging (Zeller, Hildebrandt: "Simplifying and Isolating Failure-Inducing Input", 2002) over the names of the
script's parts. Knows nothing of what the parts are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.run import play
from taskyard.prove.simulation.script import Script

Fails = Callable[[Sequence[str]], bool]


def smallest(parts: Sequence[str], fails: Fails) -> list[str]:
    """A part of `parts` that fails and of which no single member can be left out; `parts` themselves must fail."""
    kept = list(parts)
    pieces = 2
    while kept:
        size = -(-len(kept) // pieces)
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            if fails(rest):
                kept = rest
                pieces = max(pieces - 1, 2)
                break
        else:
            if size == 1:
                break
            pieces = min(2 * pieces, len(kept))
    return kept


class Shrinker:
    """Shrinks one script that breaks a promise, for as long as `seconds`."""

    def __init__(self, script: Script, rule: str, *, seconds: float) -> None:
        self._script = script
        self._rule = rule
        self._until = time.monotonic() + seconds
        self.runs = 0

    def shrink(self, *, tail: int = 60) -> tuple[list[str], Report]:
        """The names of the parts that are left, and the report of the run with them alone."""
        script = self._script
        rest = [name for name in script.parts() if name not in script.faults]
        # Whole kinds of faults first: without them the runs that follow are quick, and the rest is simpler.
        faults = smallest(sorted(script.faults), lambda some: self._fails([*some, *rest]))
        kept = smallest([*faults, *rest], self._fails)
        return kept, play(script.only(kept), tail=tail)

    def _fails(self, parts: Sequence[str]) -> bool:
        if time.monotonic() >= self._until:
            return False
        self.runs += 1
        return play(self._script.only(parts)).rule == self._rule
