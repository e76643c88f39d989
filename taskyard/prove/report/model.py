"""What a proof came to, as data: its parts, each with what was promised, what was tried, and what did not hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Figure = int | str


@dataclass
class Part:
    """One of the things that were tried.

    `headline` is what it came to in a line, `zeros` are figures that must be 0. `broken` says what did not hold,
    `untold` what this run cannot tell, `again` how to try the same once more.
    """

    title: str
    promises: list[str]
    headline: str = ""
    tried: list[str] = field(default_factory=list)
    figures: dict[str, Figure] = field(default_factory=dict)
    zeros: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)
    again: str = ""
    seconds: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether all that was promised held."""
        return not self.broken and not any(self.zeros.values())


@dataclass
class Report:
    """A whole proof. `began_ms` is wall time; `machine` says on what it was made, in the words of its keys."""

    began_ms: int
    seconds: float
    seed: int
    machine: Mapping[str, str]
    parts: list[Part]

    @property
    def holds(self) -> bool:
        """Whether every part does."""
        return bool(self.parts) and all(part.holds for part in self.parts)

    def verdict(self) -> str:
        """All of it in a sentence."""
        if self.holds:
            return "All that was promised held."
        fallen = [part.title for part in self.parts if not part.holds]
        return f"Not all that was promised held: see {' and '.join(fallen)}."

    def plain(self) -> dict[str, Any]:
        """For scripts."""
        return {
            "holds": self.holds,
            "verdict": self.verdict(),
            "beganAt": self.began_ms,
            "seconds": round(self.seconds, 1),
            "seed": self.seed,
            "machine": dict(self.machine),
            "parts": [{**asdict(part), "holds": part.holds} for part in self.parts],
        }
