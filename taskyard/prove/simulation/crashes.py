"""Crashes: the points at which a node dies or its store fails, between any two steps of a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from taskyard.store.connection import Connection, Value


class Stage(StrEnum):
    """Where it happens. The process dies, but for those in which only the store fails."""

    BEFORE_LOOKUP = "before the lookup"
    IN_LOOKUP = "the lookup fails"
    BEFORE_TURN = "after the lookup, before the turn"
    BEFORE_COMMIT = "after the turn, before the commit"
    IN_COMMIT = "in the commit: a statement fails and all is rolled back"
    STORE_AWAY = "a commit fails and the store stays away for a while"
    AFTER_COMMIT = "the commit is done and its outcome unknown"
    BEFORE_SETTLE = "after the commit, before what it read is taken in"
    BEFORE_EFFECTS = "after the turn, before its effects"
    AMONG_EFFECTS = "after some of the effects"
    IN_RECOVERY = "in the recovery, before its plan is committed"
    RECOVERY_COMMIT = "the recovery's commit is done and its outcome unknown"
    AFTER_RECOVERY = "after the recovery's commit, before its effects"
    STOPPED = "told to stop, at the end of its patience"


ARMED = tuple(stage for stage in Stage if stage is not Stage.STOPPED)
IN_RECOVERY = (Stage.IN_RECOVERY, Stage.RECOVERY_COMMIT, Stage.AFTER_RECOVERY)


QUIET_MS = 3_000
OVERDUE_MS = 6_000
NEXT_BEST = (Stage.BEFORE_COMMIT, Stage.BEFORE_EFFECTS)


class Crashes:
    """Decides when a crash happens. `planned` are times and stages; one is armed when its time has come.

    It waits a while for a moment at which something is being sent; and one whose stage does not come (no turn looks
    anything up, say) happens at the next best one.
    """

    def __init__(self, planned: Iterable[tuple[int, Stage]]) -> None:
        self._planned = sorted(planned)
        self._armed: Stage | None = None
        self._armed_at = 0
        self._released = False
        self.happened: list[Stage] = []

    def outstanding(self) -> bool:
        """Whether some have not happened yet."""
        return bool(self._planned) or self._armed is not None

    def strikes(self, stage: Stage, now: int, *, busy: bool) -> bool:
        """Whether it happens here; `busy` says that something is being sent."""
        if self._armed is None:
            if not self._planned or now < self._planned[0][0]:
                return False
            self._armed = self._planned.pop(0)[1]
            self._armed_at, self._released = now, False
        if not self._released:
            self._released = busy or now >= self._armed_at + QUIET_MS
            if not self._released:
                return False
        overdue = now >= self._armed_at + OVERDUE_MS
        if self._armed in IN_RECOVERY and stage is Stage.BEFORE_LOOKUP and not overdue:
            return True  # the way into a recovery
        if self._armed is not stage and not (overdue and stage in NEXT_BEST):
            return False
        self._armed = None
        self.happened.append(stage)
        return True


class FragileConnection(Connection):
    """A connection to SQLite whose n-th change can be made to fail.

    It does not sync: what dies here is a process and no machine.
    """

    def __init__(self, path: Path, *, writer: bool = False, read_only: bool = False) -> None:
        super().__init__(path, writer=writer, read_only=read_only)
        self._fail_in: int | None = None
        if writer:
            self.rows("PRAGMA synchronous = OFF")

    def fail_in(self, changes: int | None) -> None:
        """Let a change fail after so many that succeed; `None`: let none fail any more."""
        self._fail_in = changes

    def _strain(self) -> None:
        if self._fail_in is not None:
            self._fail_in -= 1
            if self._fail_in < 0:
                self._fail_in = None
                raise sqlite3.OperationalError("disk I/O error")

    def change(self, statement: str, values: Sequence[Value] = ()) -> int:
        self._strain()
        return super().change(statement, values)

    def change_each(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._strain()
        super().change_each(statement, rows)
