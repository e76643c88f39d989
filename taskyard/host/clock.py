"""The node's clock and its ids. Nobody else in the host asks the operating system for the time of day."""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random, SystemRandom

_chance = Random(SystemRandom().getrandbits(256))  # ids are unique, not secret


class Clock:
    """Wall time in int ms that moves with the monotonic clock, so that a step of the wall clock moves no timer.

    `not_before` is the latest time the store has seen: stored time never goes back. `wall` and `monotonic` tell ns.
    """

    def __init__(
        self,
        not_before: int = 0,
        *,
        wall: Callable[[], int] = time.time_ns,
        monotonic: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._monotonic = monotonic
        self._offset = max(wall() // 1_000_000, not_before) - monotonic() // 1_000_000

    def now(self) -> int:
        """Ms since the epoch; never less than before."""
        return self._monotonic() // 1_000_000 + self._offset

    def set(self, moment: int) -> None:
        """It is `moment` now, whatever the machine's clock says; before anybody was told a time."""
        self._offset += moment - self.now()

    def not_before(self, moment: int) -> None:
        """Move on to `moment` if the clock is behind it."""
        behind = moment - self.now()
        if behind > 0:
            self._offset += behind


def new_task_id(now: int) -> str:
    """`task_` and a UUIDv7 (RFC 9562) in hex: 48 bits of ms, then 74 random ones, so ids sort by time."""
    chance = _chance.getrandbits(74)
    high, low = chance >> 62 & 0xFFF, chance & 0x3FFF_FFFF_FFFF_FFFF
    return f"task_{now << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low:032x}"
