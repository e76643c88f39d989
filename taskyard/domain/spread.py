"""How long things took: a histogram with eight steps an octave, so that a quantile is off by 6 % at most.

Knows nothing of what took so long. Values are int ms.

    spread = Spread()
    spread.add([3, 5, 900])
    spread.quantile(0.95)
"""

from __future__ import annotations

from collections.abc import Iterable

_EXACT = 16  # smaller values have a step each


class Spread:
    """Counts by step. `counts` maps a step to how many values fell on it."""

    __slots__ = ("counts",)

    def __init__(self, counts: dict[int, int] | None = None) -> None:
        self.counts: dict[int, int] = {} if counts is None else counts

    def add(self, values: Iterable[int]) -> None:
        """Count some values, each 0 or more."""
        counts = self.counts
        for value in values:
            if value >= _EXACT:
                shift = value.bit_length() - 4
                value = (shift << 3) + (value >> shift)
            counts[value] = counts.get(value, 0) + 1

    def merge(self, other: Spread) -> None:
        """Count what another one counted."""
        counts = self.counts
        for step, count in other.counts.items():
            counts[step] = counts.get(step, 0) + count

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self.counts.values())

    def quantile(self, share: float) -> int | None:
        """The value that a share (0-1) of those counted does not exceed; `None` without any."""
        total = self.total
        if not total:
            return None
        wanted = max(1.0, share * total)
        seen = 0
        step = 0
        for step in sorted(self.counts):
            count = self.counts[step]
            if seen + count >= wanted:
                low, high = lowest(step), lowest(step + 1)
                return low + int((high - low) * (wanted - seen - 0.5) / count)
            seen += count
        return lowest(step)

    def halve(self) -> None:
        """Let what was counted weigh half as much; what came once is forgotten."""
        self.counts = {step: count // 2 for step, count in self.counts.items() if count > 1}

    def text(self) -> str:
        """As text: `step: count` by commas."""
        return str(self.counts)[1:-1]

    @classmethod
    def of(cls, text: str) -> Spread:
        """What `text` gave."""
        pairs = (pair.split(":") for pair in text.split(",")) if text else ()
        return cls({int(step): int(count) for step, count in pairs})


def lowest(step: int) -> int:
    """The smallest value of a step."""
    if step < _EXACT:
        return step
    return ((step & 7) + 8) << ((step >> 3) - 1)
