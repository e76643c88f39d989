"""Errors of the host, each with what the user should do in its message."""

from __future__ import annotations


class StartError(Exception):
    """The node cannot start; the message is one line that names the cause and the mend."""


class Overloaded(Exception):
    """The node sheds work now. `retry_after_ms` says when to come again, `reason` why, in words."""

    def __init__(self, reason: str, retry_after_ms: int = 1000) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_ms = retry_after_ms


class Unavailable(Overloaded):
    """The node cannot do it now: its store is away, or it drains."""
