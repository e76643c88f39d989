"""Crashes: the points at which a node dies or its commit fails, between any two steps of a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path
from random import Random
from typing import Any

from taskyard.store.connection import Connection, Value


class Stage(StrEnum):
    """Where it happens. The process dies, but for the two in which only the commit fails."""

    BEFORE_LOOKUP = "before the lookup"
    BEFORE_TURN = "after the lookup, before the turn"
    BEFORE_COMMIT = "after the turn, before the commit"
    IN_COMMIT = "in the commit: a statement fails and all is rolled back"
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


class Crashes:
    """Decides when a crash happens: one is armed for each equal share of a run, and goes off at its stage."""

    def __init__(self, rng: Random, crashes: int, tasks: int) -> None:
        # Every task is admitted and most end, which is twice as many steps: all crashes come well before the last one.
        steps = tasks * 1.2
        self._due = sorted(int((n + rng.random()) * steps / crashes) for n in range(crashes)) if crashes else []
        self._rng = rng
        self._armed: Stage | None = None
        self.happened: list[Stage] = []

    def arm(self, steps: int) -> None:
        """So many times was a task admitted or ended."""
        if self._armed is None and self._due and steps >= self._due[0]:
            self._due.pop(0)
            self._armed = self._rng.choice(ARMED)

    def strikes(self, stage: Stage) -> bool:
        """Whether it happens here."""
        if self._armed is None:
            return False
        if self._armed in IN_RECOVERY and stage is Stage.BEFORE_LOOKUP:
            return True  # the way into a recovery
        if self._armed is not stage:
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

    def fail_in(self, changes: int) -> None:
        """Let a change fail after so many that succeed."""
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
