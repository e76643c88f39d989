"""The database that simulated nodes share: what PostgreSQL keeps for many nodes, beside tables in SQLite.

Each method is one transaction: all of it or nothing. Who may decide is a lease with an epoch, by this clock and no
other's. The rules are those of `store/postgres` (its SQL and the functions of its schema), written again; the suite
that holds PostgreSQL to them holds this to them too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from taskyard.engine.plan import Plan, Post, Writes
from taskyard.engine.rows import KeyRow
from taskyard.prove.simulation.crashes import FragileConnection
from taskyard.store.nodes import KeyTaken, Letter, Line, NodeRow, Seen
from taskyard.store.port import BadData, OutcomeUnknown
from taskyard.store.sqlite import SqliteStore

LASTS_MS: Final = 5_000


class Database:
    """A database in a folder. `clock` tells its time in ms."""

    def __init__(self, folder: Path, clock: Callable[[], int]) -> None:
        self.tables = SqliteStore(folder, connect=FragileConnection)
        self.now = clock
        self.nodes: dict[str, tuple[NodeRow, int]] = {}  # and when they were last seen
        self.lines: dict[str, dict[int, Line]] = {}
        self.letters: dict[str, list[Letter]] = {}
        self.holder = ""
        self.epoch = 0
        self.expires_at = 0
        self._last_letter = 0

    def close(self) -> None:
        """Close it for all."""
        self.tables.close()

    # --- the lease ---------------------------------------------------------------------------------------------------

    def take_lease(self, node: str, is_dead: Callable[[str], bool]) -> int:
        """Become the decider unless another one that lives is: the new epoch, or 0."""
        if self.holder not in ("", node) and self.expires_at > self.now() and not is_dead(self.holder):
            return 0
        self.epoch += 1
        self.holder, self.expires_at = node, self.now() + LASTS_MS
        return self.epoch

    def keep_lease(self, epoch: int) -> None:
        """Be the decider for a while more, unless another node is."""
        if epoch == self.epoch:
            self.expires_at = self.now() + LASTS_MS

    def leave_lease(self, epoch: int) -> None:
        """Whoever comes next need not wait."""
        if epoch == self.epoch:
            self.holder = ""

    def prove(self, epoch: int) -> None:
        """Raises `OutcomeUnknown` unless this epoch is still the decider's."""
        if epoch != self.epoch:
            raise OutcomeUnknown("another node decides")

    # --- the decider's turn ------------------------------------------------------------------------------------------

    def may_post(self, post: Post | None) -> None:
        """Raises `OutcomeUnknown` when a line is not there any more, `BadData` for an unusable value."""
        if post is None:
            return
        taken = {(node, seq) for node, seq in post.taken if seq in self.lines.get(node, ())}
        if len(taken) != len(post.taken):
            raise OutcomeUnknown("a line of the inbox was taken already")
        _usable(text for letter in post.letters for text in letter)

    def post(self, post: Post | None) -> None:
        """Carry out what a turn has for other nodes."""
        if post is None:
            return
        for node, seq in post.taken:
            del self.lines[node][seq]
        for (node,) in (*post.unread, *post.gone):
            self.letters.pop(node, None)
        for (node,) in post.gone:
            self.nodes.pop(node, None)
        for node, kind, task_id, body in post.letters:
            self._last_letter += 1
            self.letters.setdefault(node, []).append(Letter(self._last_letter, kind, task_id, body))

    # --- the others' side --------------------------------------------------------------------------------------------

    def beat(self, row: NodeRow) -> Seen:
        """A node lives; who else does."""
        now = self.now()
        anew = row.id not in self.nodes
        self.nodes[row.id] = row, now
        rows = [row._replace(silent_ms=now - seen_at) for row, seen_at in self.nodes.values()]
        return Seen(anew, now, self.holder if self.expires_at > now else "", self.epoch, rows)

    def leave(self, node: str) -> None:
        """A node is gone."""
        self.nodes.pop(node, None)
        self.letters.pop(node, None)

    def take_in(self, writes: Writes, lines: Sequence[Line], keys: dict[tuple[str, str], KeyRow]) -> None:
        """Store tasks and lines; `keys` are those of before. Raises `KeyTaken`, `BadData`."""
        for row in writes.keys:
            known = keys.get((row.owner, row.key))
            if known is not None and known.expires_at > row.created_at and known.task_id != row.task_id:
                raise KeyTaken("another task has this idempotency key")
        for line in lines:
            if line.seq in self.lines.get(line.node, ()):
                raise BadData("a line has this number already")
        _usable(text for line in lines for text in (line.kind, line.task_id, line.body))
        if writes:
            self.tables.commit(Plan(self.now(), writes=writes))
        for line in lines:
            self.lines.setdefault(line.node, {})[line.seq] = line

    def lines_of(self, node: str, after: int) -> list[Line]:
        """A node's lines after a number, in order."""
        lines = self.lines.get(node, {})
        return [lines[number] for number in sorted(lines) if number > after]

    def letters_of(self, node: str, after: int) -> list[Letter]:
        """A node's letters after a number; those up to it are removed."""
        left = [letter for letter in self.letters.get(node, ()) if letter.id > after]
        if node in self.letters:
            self.letters[node] = left
        return left


def _usable(texts: object) -> None:
    for text in texts:  # type: ignore[attr-defined]
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadData(f"the store refuses a value ({error})") from error
        if "\0" in text:
            raise BadData("the store refuses a value (a NUL)")
