"""Chance that follows from the seed and from what it is about, never from what happened before.

So a run from which something was taken away stays as like the whole one as can be, which is what lets it be shrunk.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from random import Random
from typing import TypeVar

T = TypeVar("T")
_MASK = (1 << 64) - 1


class About(IntEnum):
    """What a chance decides; with numbers beside it, each decision has a chance of its own."""

    TURN = 1
    ENGINE = 2
    COMMIT = 3
    DOWNTIME = 4
    FAILING = 5
    EFFECTS = 6
    ERRAND = 7
    BEHAVIOUR = 8
    WORK = 9
    CHECK = 10
    HANG_UP = 11
    CLIENT = 12
    CALLBACK = 13
    DELAY = 14
    CUT_OFF = 15
    IN_FLIGHT = 16
    BALANCE = 17
    BLOW = 18


class Chance:
    """All the chance of a run."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._random = Random()

    def share(self, *about: int) -> float:
        """A number in [0, 1)."""
        mixed = hash((self._seed, *about)) & _MASK  # of ints: the same in each process
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK  # the finish of SplitMix64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
        return (mixed >> 11) / (1 << 53)

    def below(self, limit: int, *about: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self.share(*about) * limit)

    def pick(self, options: Sequence[T], *about: int) -> T:
        """One of the options."""
        return options[int(self.share(*about) * len(options))]

    def random(self, *about: int) -> Random:
        """A generator for what needs one; good until the next call."""
        self._random.seed(hash((self._seed, *about)))
        return self._random
