"""A move: everything is copied table by table, compared, and only then does the one yard end and the other begin.

It can die at any point and be called again. The rules:

1. The source is marked before the target, and with the mark no node starts on either. So at no time can two nodes work
   on the same tasks.
2. Each batch of rows and how far the move is are stored in one transaction of the target.
3. When both were found to be the same, the source is marked for good. Only after that the target's mark is taken away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Final

from taskyard.store.move.sides import Live, Mark, Row, Source, Table, Target
from taskyard.store.port import StoreError, Unusable

# What memory holds of the rows, whichever is reached first. A single row is a body of some MiB at most.
_BATCH_ROWS: Final = 5_000
_BATCH_CHARACTERS: Final = 2 << 20

# Hears what is done ("copied" or "compared"), with which table, and how many rows of how many.
Told = Callable[[str, str, int, int], None]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a move did: the rows of each table, and what was under way. `resumed`: an earlier call had begun it."""

    rows: dict[str, int]
    live: Live
    resumed: bool


class Different(StoreError):
    """The two yards are not the same after the copying."""


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the source into the target. After a failure it can go on, or be given up.

    `ready` is called when all is there and compared, and nothing was ended yet.
    """

    source: Source
    target: Target
    told: Told
    ready: Callable[[], None]

    def run(self, new_id: str, now: int) -> Moved:
        """Move, or go on with a move that was cut short. `new_id` is for a new one; `now` in ms.

        Raises `StoreError`. What is refused at the beginning was not changed, but for the schema's version.
        """
        out, into = self.source.mark(), self.target.mark()
        self._check_marks(out, into)
        if out is not None and out.done:
            return self._end(out, known=into is not None)
        resumed = out is not None
        self.target.prepare()
        self.target.hold()
        if into is None:
            self.target.check_empty()
        self.source.prepare()
        self.source.hold()
        if out is None:
            out = Mark(new_id, self.target.shown, now)
            self.source.begin(out)
        if into is None:
            into = replace(out, other=self.source.shown)
            self.target.begin(into)
        tables = self._tables()
        into = self._copy(tables, into)
        self._compare(tables)
        live = self.source.live()
        self.ready()
        self.source.finish(replace(out, done=True, rows=into.rows))
        self.target.finish()
        return Moved(dict(into.rows), live, resumed)

    def give_up(self) -> None:
        """End a move that was cut short: the source is as it was before, the target empty. Raises `StoreError`."""
        out, into = self.source.mark(), self.target.mark()
        if into is None or out is not None or into.other != self.source.shown:
            self._check_marks(out, into)
        if out is None and into is None:
            raise Unusable("no move from " + self.source.shown + " to " + self.target.shown + " is under way")
        if out is not None and out.done:
            raise Unusable(
                self.source.shown + ": all of it was moved to " + out.other + ", and nothing is to be given up: if no "
                "node starts there, move again"
            )
        if into is not None:
            self.target.clear()
        if out is not None:
            self.source.release()

    def _end(self, out: Mark, *, known: bool) -> Moved:
        """Carry out the last step, if it is not done. `known`: the target's mark says that it is the one."""
        if not (known or out.other == self.target.shown) or not self.target.finish():
            raise Unusable(self.source.shown + ": it was moved to " + out.other + " already")
        return Moved(dict(out.rows), self.source.live(), resumed=True)

    def _check_marks(self, out: Mark | None, into: Mark | None) -> None:
        if into is not None and (out is None or out.move != into.move):
            raise Unusable(
                self.target.shown + ": another move into it was begun, from " + into.other + ": let that one go on, or "
                "end it by the same command with --give-up"
            )
        if out is not None and not out.done and into is None and out.other != self.target.shown:
            raise Unusable(
                self.source.shown + ": a move of it to " + out.other + " was begun: let that one go on, or end it by "
                "the same command with --give-up"
            )

    def _tables(self) -> list[Table]:
        """The tables, all of which both have alike."""
        ours, theirs = self.source.tables(), self.target.tables()
        for name in sorted(ours.keys() | theirs.keys()):
            one, other = ours.get(name), theirs.get(name)
            if one is None or other is None or sorted(one.columns) != sorted(other.columns) or one.key != other.key:
                raise Unusable("the table " + name + " is not the same in both: this version cannot move it")
        return [ours[name] for name in sorted(ours)]

    def _copy(self, tables: list[Table], mark: Mark) -> Mark:
        """Copy what is not in the target yet; the mark at the end."""
        for table in tables:
            if table.name < mark.table:
                continue
            last = mark.last if table.name == mark.table else ()
            count = self.source.count(table)
            for batch in _batches(self.source.rows(table, last)):
                mark = mark.with_rows(table.name, table.key_of(batch[-1]), len(batch))
                self.target.put(table, batch, mark)
                self.told("copied", table.name, dict(mark.rows)[table.name], count)
        return mark

    def _compare(self, tables: list[Table]) -> None:
        """Count both and compare them row by row, by other statements than those that copied. Raises `Different`."""
        for table in tables:
            counts = self.source.count(table), self.target.count(table)
            if counts[0] != counts[1]:
                raise _different(table.name + " has " + str(counts[0]) + " rows in the one and " + str(counts[1]))
            compared = 0
            for one, other in zip_longest(self.source.whole(table), self.target.whole(table)):
                if one != other:
                    row = one or other or ()
                    raise _different(table.name + " has another row at " + str(table.key_of(row)))
                compared += 1
                if not compared % _BATCH_ROWS:
                    self.told("compared", table.name, compared, counts[0])
            if compared != counts[0]:
                raise _different(table.name + " has rows that are counted and not found")
            self.told("compared", table.name, compared, counts[0])


def _different(where: str) -> Different:
    return Different(
        "the two are not the same: " + where + " in the other; nothing was ended: end this move by --give-up, have the "
        "source checked (taskyard check), and move again"
    )


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in batches that memory can hold."""
    batch: list[Row] = []
    characters = 0
    for row in rows:
        batch.append(row)
        characters += sum(len(value) for value in row if isinstance(value, str))
        if len(batch) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
