"""What the dashboard may cost, and a table of what it does. Knows nothing of how that is measured."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass
class Line:
    """One thing that was measured, some times; `most`: its budget, `None` for what has none."""

    what: str
    unit: str
    most: float | None = None
    seen: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.seen)

    @property
    def within(self) -> bool | None:
        """Whether the budget is kept; `None` without one."""
        return None if self.most is None else self.median <= self.most

    def cells(self) -> tuple[str, str, str, str]:
        told = f"{self.median:,.4g} {self.unit}" if self.median < 1000 else f"{self.median:,.0f} {self.unit}"
        spread = f"{min(self.seen):,.4g}-{max(self.seen):,.4g}" if len(self.seen) > 1 else ""
        budget = "–" if self.most is None else f"≤ {self.most:,.4g} {self.unit}"
        return self.what, budget, f"{told} ({spread})" if spread else told, WORDS[self.within]


WORDS = {True: "yes", False: "NO", None: ""}
HEAD = ("what", "budget", "measured (least-most)", "within")


def table(title: str, lines: Sequence[Line]) -> str:
    """The lines as text, in columns."""
    rows = [HEAD, *(line.cells() for line in lines if line.seen)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEAD))]
    told = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"== {title}", told[0], "  ".join("-" * width for width in widths), *told[1:]])


def load_now() -> str:
    """How busy the machine is."""
    one, five, _ = os.getloadavg()
    return f"load {one:.1f} in the last minute, {five:.1f} in 5, on {os.cpu_count()} cores"
