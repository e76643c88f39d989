"""What many seeds came to, together."""

from __future__ import annotations

from collections import Counter

from taskyard.prove.simulation.report import Report


class Total:
    """Sums over reports."""

    def __init__(self) -> None:
        self.seeds = self.lifecycles = self.acked = self.attempts = self.turns = self.virtual_ms = 0
        self.crashes: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.reached: Counter[str] = Counter()
        self.interleavings: set[int] = set()

    def add(self, report: Report) -> None:
        """Count one more seed."""
        self.seeds += 1
        self.lifecycles += report.lifecycles
        self.acked += report.acked
        self.attempts += report.attempts
        self.turns += report.turns
        self.virtual_ms += report.virtual_ms
        self.crashes += report.crashes
        self.outcomes += report.outcomes
        self.reached += report.reached
        self.interleavings |= report.interleavings

    def __str__(self) -> str:
        lines = [f"{times:8} x {what}" for what, times in (self.crashes + self.reached).most_common()]
        lines.append(
            f"{self.lifecycles} lifecycles, {self.attempts} attempts, {self.turns} turns, {self.crashes.total()} "
            f"crash points, {len(self.interleavings)} distinct interleavings"
        )
        return "\n".join(lines)
