"""What the oracle raises. It imports nothing of ours."""

from __future__ import annotations


class Violation(Exception):
    """A promise was broken. `rule` is the promise's short name."""

    def __init__(self, rule: str, details: str) -> None:
        super().__init__(rule, details)  # as pickle wants it
        self.rule = rule

    def __str__(self) -> str:
        return ": ".join(self.args)
