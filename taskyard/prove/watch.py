"""Who looks on while something is proved: told what is tried now, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Watch(Protocol):
    """What a terminal, or nobody, makes of it."""

    def part(self, title: str, seconds: float) -> None:
        """Something new is tried from now on, for about so long."""

    def tell(self, line: str) -> None:
        """Something happened."""

    def figures(self, figures: Mapping[str, int]) -> None:
        """What it has come to so far."""
