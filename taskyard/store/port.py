"""What a store must do: one Protocol, kept by SQLite today and other databases later.

Synchronous on purpose: the host runs `commit` on its one writer thread and reads on others, the simulator calls it
directly. The conformance suite in `tests/store/` is the specification. A store knows rows, never what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

from taskyard.engine.plan import Found, Lookup, Plan, Receipt, Snapshot
from taskyard.engine.rows import AttemptRow, AuditRow, Record, StatRow
from taskyard.store.figures import Figures, Keep


class StoreError(Exception):
    """The store cannot do its work now; the message says why and what to do.

    Callers of the API may read the message: it has no word of the database's own, and nothing that is stored. `detail`
    is for the log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.detail = detail

    @property
    def in_full(self) -> str:
        """All that is known, for who runs the node."""
        return str(self) + (" (" + self.detail + ")" if self.detail else "")


class NotDeciding(StoreError):
    """Another node decides on this database; `recover` will do once that one has stopped or died."""


class OutcomeUnknown(StoreError):
    """A commit failed, or may have: drop memory and recover."""


class DiskFull(OutcomeUnknown):
    """A commit found no room on the disk. Nothing of it was stored."""


class BadData(StoreError):
    """The store refuses a value in a plan; nothing of the plan was stored."""


class Unusable(StoreError):
    """The database is damaged, newer than this version, or held by another process. It was left untouched."""


class InUse(Unusable):
    """Another process has the data directory: a node runs on it."""


@dataclass(frozen=True, slots=True)
class TaskQuery:
    """Which tasks to list, newest first. `None` members do not filter.

    `owner` is whose tasks may be seen (`None`: all), `failure` the id of a group of failures. `before` is the id below
    which the page starts. `q` matches an exact id, a prefix of the type, or a tag. `statuses` are numbers of `Status`;
    times are int ms of `createdAt`.
    """

    owner: str | None
    statuses: tuple[int, ...] | None = None
    type: str | None = None
    server_id: str | None = None
    capability: str | None = None
    tag: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    q: str | None = None
    failure: str | None = None
    before: str | None = None
    limit: int = 50


class Page(NamedTuple):
    """Listed tasks, and where the next page starts (`None`: there is none)."""

    records: list[Record]
    next_before: str | None


class WholeTask(NamedTuple):
    """A task and all that is its, at one moment. `result` and `payload` are JSON text, `None` when there is none.

    `damaged` names those of the two that cannot be read any more.
    """

    record: Record
    history: list[AttemptRow]
    result: str | None
    payload: str | None
    resubmitted_as: str | None
    damaged: tuple[str, ...] = ()


class Purged(Exception):
    """The task's payload and result were erased."""


class Unreadable(Exception):
    """A stored body is not what was stored: the disk has changed it."""


class Store(Protocol):
    """A durable store with one writer. Reads of tasks take the owner who may see them, `None` only for an admin."""

    # --- the turn: called by one thread, never at once with itself --------------------------------------------------

    def lookup(self, ask: Lookup) -> Found:
        """The tasks and idempotency keys of one turn."""

    def commit(self, plan: Plan) -> Receipt:
        """Store a plan in one durable transaction and read what it asks for, after its writes, in the same one.

        Raises `BadData` (nothing stored) or `OutcomeUnknown`.
        """

    def recover(self, wakes: int) -> Snapshot:
        """All that a start needs; at most `wakes` queued tasks by wake time."""

    def sweep(self, ended_before: int, keys_before: int, most: int) -> int:
        """Remove at most `most` tasks that ended before a time, the oldest first, and as many expired keys.

        What is removed is counted by type, under the scope "removed" and the hour 0, so that counters can be compared
        with rows for ever. Returns the larger count.
        """

    def forget(self, keep: Keep) -> int:
        """Remove figures that are kept no longer, at most so many rows of a kind; the largest number."""

    # --- reads for the API: any thread -----------------------------------------------------------------------------

    def task(self, task_id: str, owner: str | None) -> Record | None:
        """A task with its live state."""

    def whole_task(self, task_id: str, owner: str | None, *, payload: bool = False) -> WholeTask | None:
        """A task with its history, its result and, if asked for, its payload: all of one state of the database."""

    def tasks(self, query: TaskQuery) -> Page:
        """A page of tasks, by index and never by a scan of payloads."""

    def history(self, task_id: str) -> list[AttemptRow]:
        """The history entries of a task, oldest first. The caller has checked the owner."""

    def attempt_server(self, task_id: str, attempt: int) -> str | None:
        """The server of an attempt, wherever it is recorded; for verifying a callback's proof."""

    def payload(self, task_id: str, owner: str | None) -> str | None:
        """A task's payload as JSON text; `None` when there is no such task. Raises `Purged`, `Unreadable`."""

    def result(self, task_id: str, owner: str | None) -> str | None:
        """A task's result as JSON text; `None` when there is none. Raises `Purged`, `Unreadable`."""

    def resubmitted_as(self, task_id: str, owner: str | None) -> str | None:
        """The newest task that was submitted as a repetition of this one."""

    def ready_between(self, lane: int, limit_key: str, avoid: str, from_rank: int, below: int, most: int) -> int:
        """How many ready tasks of a flow have a rank from `from_rank` to below `below`, counted up to `most`."""

    def stats(self, from_hour: int, to_hour: int, scope: str, key: str | None = None) -> list[StatRow]:
        """Counters by hour and key (`from_hour` ≤ hour < `to_hour`; hours since the epoch), in order of hour."""

    def stats_total(self, scope: str, key: str) -> StatRow:
        """The sums over all hours for one key, zeros when there is nothing (`hour` 0, `last_at` the latest)."""

    def audit(self, limit: int) -> list[AuditRow]:
        """The newest audit rows."""

    @property
    def figures(self) -> Figures:
        """What overview, failures and histories are read from."""

    def check(self) -> None:
        """Raises `StoreError` when the store cannot be read and written now."""

    def tight(self) -> str | None:
        """Why nothing new should be taken in, though results can be stored; `None`: all is well. Costs nothing."""

    def sizes(self) -> dict[str, int]:
        """Sizes in bytes for metrics, by name."""

    def close(self) -> None:
        """Release everything; calls after it are errors."""


class Copying(Protocol):
    """A copy that is being made; see `store/backup.py`. `left` of `pages` pages are still to come."""

    left: int
    pages: int

    def step(self) -> bool:
        """Copy some more, on the writer's thread and between two turns; true when nothing is left."""

    def sync(self) -> None:
        """Have what is copied so far written to the disk; on any thread, between two steps."""

    def keep(self) -> int:
        """After the last step: put the copy into its place, durable; its size in bytes. On any thread."""

    def abandon(self) -> None:
        """Give it up, and remove what was copied. Nothing when it was kept."""


@runtime_checkable
class Copyable(Protocol):
    """A store that can copy itself into a file while it works; a database server has tools of its own for that."""

    def copy(self, file: Path) -> Copying:
        """Begin a copy into a new file; on the writer's thread. Every method raises `StoreError`."""
