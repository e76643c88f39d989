"""What simulated nodes tell each other: a `NodeStore` on the database that they share. See `store/nodes.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from taskyard.engine.plan import Lookup, Writes
from taskyard.engine.rows import EndedTask, KeyRow, Record
from taskyard.prove.simulation.nodes.database import Database
from taskyard.store.nodes import Letter, Line, Lines, NodeRow, Seen, Standing
from taskyard.store.port import OutcomeUnknown, StoreError

if TYPE_CHECKING:
    from taskyard.prove.simulation.nodes.store import SharedStore, Writer

R = TypeVar("R", bound=tuple[Any, ...])


class NodesOf:
    """A `NodeStore`: see `store/nodes.py`."""

    def __init__(self, store: SharedStore, database: Database, node: str, write: Writer) -> None:
        self.id = node
        self._store = store
        self._database = database
        self._write = write

    def beat(self, row: NodeRow) -> Seen:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        seen = self._database.beat(row)
        self._write("store", "beat", self.id)
        self._store.did("beat")
        return seen

    def now(self) -> int:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        return self._database.now()

    def died(self, node: str) -> bool:
        """See `NodeStore`."""
        return self._store.is_dead(node)

    def leave(self) -> None:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        self._database.leave(self.id)
        self._write("store", "left", self.id)

    def keys(self, pairs: Sequence[tuple[str, str]]) -> dict[tuple[str, str], KeyRow]:
        """See `NodeStore`."""
        found: dict[tuple[str, str], KeyRow] = self._store.found(Lookup(keys=list(pairs))).keys
        return found

    def take_in(self, writes: Writes, lines: Sequence[Line]) -> None:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        known = self.keys([(row.owner, row.key) for row in writes.keys]) if writes.keys else {}
        self._database.take_in(writes, lines, known)
        self._write("store", "takes_in", self.id, _plain_tasks(writes), [line[2:5] for line in lines])
        self._store.did("take_in")

    def lines(self, after: Mapping[str, int], most: int, most_bytes: int) -> Lines:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        self._store.did("lines")
        waiting = {node: self._database.lines_of(node, seq) for node, seq in after.items()}
        found = page([line for lines in waiting.values() for line in lines][:most], most_bytes)
        read = Counter(line.node for line in found)
        return Lines(found, {node for node, lines in waiting.items() if read[node] < len(lines)})

    def writers(self) -> list[str]:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        return [node for node, lines in self._database.lines.items() if lines]

    def ends_reported(self) -> set[tuple[str, int]]:
        """See `NodeStore`."""
        self._store.asks(StoreError)
        lines = (line for lines in self._database.lines.values() for line in lines.values())
        return {(line.task_id, line.attempt) for line in lines if line.kind == "Ended"}

    def records(self, ids: Sequence[str]) -> dict[str, Record]:
        """See `NodeStore`."""
        found: dict[str, Record] = self._store.found(Lookup(tasks=list(ids))).tasks
        return found

    def letters(self, after: int, most: int, most_bytes: int) -> list[Letter]:
        """See `NodeStore`."""
        self._store.asks(OutcomeUnknown)
        self._store.did("letters")
        return page(self._database.letters_of(self.id, after)[:most], most_bytes)

    def payloads(self, ids: Sequence[str], most_bytes: int) -> dict[str, str | None]:
        """See `NodeStore`."""
        found = dict(self._store.rows(_PAYLOADS, ids))
        return dict(page([(task_id, found.get(task_id)) for task_id in ids], most_bytes))

    def standings(self, ids: Sequence[str]) -> list[Standing]:
        """See `NodeStore`."""
        return [Standing._make(row) for row in self._store.rows(_STANDINGS, ids)]

    def ends(self, ids: Sequence[str], most_bytes: int) -> list[tuple[EndedTask, str | None]]:
        """See `NodeStore`."""
        return [(EndedTask._make(row[:-1]), row[-1]) for row in page(self._store.rows(_ENDS, ids), most_bytes)]


def page(rows: Sequence[R], most_bytes: int) -> list[R]:
    """The first rows whose bodies, which stand last, have so many bytes; one at least."""
    taken: list[R] = []
    size = 0
    for row in rows:
        if taken and size >= most_bytes:
            break
        taken.append(row)
        size += len((row[-1] or "").encode())
    return taken


def _plain_tasks(writes: Writes) -> list[tuple[Any, ...]]:
    """The tasks that a node takes in: id, and the key with its hash and its expiry where there is one."""
    keys = {row.task_id: row for row in writes.keys}
    told: list[tuple[Any, ...]] = []
    for row in writes.tasks:
        key = keys.get(row.id)
        told.append((row.id, None, "", 0) if key is None else (row.id, key.key, key.hash, key.expires_at))
    return told


_IDS = "(SELECT value FROM json_each(?))"
_PAYLOADS = f"SELECT task_id, body FROM payload WHERE task_id IN {_IDS}"  # noqa: S608
_STANDINGS = f"""
SELECT t.id, CASE WHEN t.status <> 0 THEN t.status WHEN r.task_id IS NULL THEN 0 ELSE 1 END,
    coalesce(t.completed_at, r.started_at, q.updated_at, t.created_at)
FROM task AS t LEFT JOIN queue AS q ON q.task_id = t.id
LEFT JOIN run AS r ON r.task_id = t.id AND r.linger_until IS NULL WHERE t.id IN {_IDS}
"""  # noqa: S608
_ENDS = f"""
SELECT {", ".join(f"t.{name}" for name in EndedTask._fields)}, b.body
FROM task AS t LEFT JOIN result AS b ON b.task_id = t.id WHERE t.status <> 0 AND t.id IN {_IDS} ORDER BY t.id
"""  # noqa: S608
