"""A disk whose power can go at any moment: of the writes made to it, it promises those that were synced, and no others.

It is told what was done, event by event, and says which files it may be left with. Knows nothing of SQLite or tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

SECTOR = 512

Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Made:
    """A file came into being, empty."""

    file: str


@dataclass(frozen=True, slots=True)
class Wrote:
    file: str
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """A file got this size: cut, or extended by zeros."""

    file: str
    size: int


@dataclass(frozen=True, slots=True)
class Synced:
    """What was written to a file is on the disk; what it is called need not be."""

    file: str


@dataclass(frozen=True, slots=True)
class Removed:
    file: str


@dataclass(frozen=True, slots=True)
class Renamed:
    file: str
    to: str


@dataclass(frozen=True, slots=True)
class SyncedNames:
    """Which files there are is on the disk."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Somebody was told that something is done: from here on it must not be lost."""

    what: object


Event = Made | Wrote | Cut | Synced | Removed | Renamed | SyncedNames | Acknowledged
Change = Wrote | Cut


class _File:
    """One file: its content on the disk, and the changes that the disk may or may not have made."""

    def __init__(self) -> None:
        self.kept = bytearray()
        self.pending: list[Change] = []

    def sync(self) -> None:
        for change in self.pending:
            _apply(self.kept, change)
        self.pending.clear()

    def with_changes(self, changes: list[Change]) -> bytes:
        content = bytearray(self.kept)
        for change in changes:
            _apply(content, change)
        return bytes(content)


class Disk:
    """Feed it events by `take`; `left` are files that it may be left with when the power goes now."""

    def __init__(self) -> None:
        self._names: dict[str, _File] = {}
        self._kept_names: dict[str, _File] = {}
        self._last: _File | None = None

    def take(self, event: Event) -> None:
        """The next thing that was done."""
        if isinstance(event, Made):
            self._names.setdefault(event.file, _File())
        elif isinstance(event, Wrote | Cut):
            self._last = self._names[event.file]
            self._last.pending.append(event)
        elif isinstance(event, Synced):
            self._names[event.file].sync()
        elif isinstance(event, Removed):
            del self._names[event.file]
        elif isinstance(event, Renamed):
            self._names[event.to] = self._names.pop(event.file)
        elif isinstance(event, SyncedNames):
            self._kept_names = dict(self._names)

    def kept(self) -> Files:
        """Only what was synced."""
        return {name: bytes(file.kept) for name, file in self._kept_names.items()}

    def torn(self, rng: Random) -> Files:
        """All that was written, in order, but for a part of the last write."""
        files = {name: list(file.pending) for name, file in self._names.items()}
        for name, changes in files.items():
            if self._names[name] is self._last and changes:
                changes[-1] = _torn(changes[-1], rng)
        return {name: self._names[name].with_changes(changes) for name, changes in files.items()}

    def shuffled(self, rng: Random) -> Files:
        """Some of what was not synced, in no order of time: each write may have been made, or not, or in part."""
        names = self._names if rng.random() < 0.5 else self._kept_names
        return {name: file.with_changes(list(_some(file.pending, rng))) for name, file in names.items()}

    def dirty(self) -> bool:
        """Whether anything may be lost now."""
        return any(file.pending for file in self._names.values()) or self._names != self._kept_names


def _some(changes: list[Change], rng: Random) -> Iterator[Change]:
    for change in changes:
        chance = rng.random()
        if chance < 0.4:
            yield change
        elif chance < 0.6:
            yield _torn(change, rng)


def _torn(change: Change, rng: Random) -> Change:
    """A part of a write: the sectors before or behind some place within it. A change of size is made or not."""
    if isinstance(change, Cut):
        return change
    place = change.offset + rng.randrange(len(change.data) + 1)
    place = min(max(place - place % SECTOR, change.offset), change.offset + len(change.data))
    first = place - change.offset
    if rng.random() < 0.5:
        return replace(change, data=change.data[:first])
    return replace(change, offset=place, data=change.data[first:])


def _apply(content: bytearray, change: Change) -> None:
    if isinstance(change, Cut):
        del content[change.size :]
        content.extend(bytes(change.size - len(content)))
        return
    if change.offset > len(content):
        content.extend(bytes(change.offset - len(content)))
    content[change.offset : change.offset + len(change.data)] = change.data
