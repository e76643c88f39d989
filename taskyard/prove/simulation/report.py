"""What came of a run."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from taskyard.prove.oracle.violation import Violation


@dataclass
class Report:
    """What came of a run: `violation` is `None` when every promise was kept."""

    seed: int
    tasks: int
    violation: Violation | Exception | None = None
    lifecycles: int = 0
    acked: int = 0
    attempts: int = 0
    turns: int = 0
    virtual_ms: int = 0
    crashes: Counter[str] = field(default_factory=Counter)
    interleavings: set[int] = field(default_factory=set)
    outcomes: Counter[str] = field(default_factory=Counter)  # of attempts that did not complete
    reached: Counter[str] = field(default_factory=Counter)  # what the run came to that is worth reaching
    tail: list[str] = field(default_factory=list)
    nodes: int = 1

    @property
    def rule(self) -> str:
        """The broken promise, or the kind of error with which the code itself fell over; '' when all is well."""
        if self.violation is None:
            return ""
        return self.violation.rule if isinstance(self.violation, Violation) else type(self.violation).__name__

    def told(self) -> str:
        """What went wrong, and how to see it again."""
        told = f"{type(self.violation).__name__}: {self.violation}"
        command = f"python -m taskyard.prove.simulation --seed {self.seed} --tasks {self.tasks} --nodes {self.nodes}"
        return f"{told}\nreplay and shrink: {command}"
