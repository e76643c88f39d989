"""Every moment at which the power may go, in a record of what a disk was told; and what recovers from what is left."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from taskyard.engine.limits import Limits
from taskyard.engine.recovery import recover
from taskyard.store.port import StoreError
from taskyard.store.sqlite import SqliteStore
from tests.power.disk import Acknowledged, Disk, Event, Files, Synced, SyncedNames, Wrote
from tests.support.turns import START, Halves


class Left(NamedTuple):
    """What a disk was left with before event number `at`, when `told` times something had been acknowledged.

    `how` names the kind of loss.
    """

    at: int
    how: str
    files: Files
    told: int


# What of the acknowledged is not in the store that was opened on what was left, in words; `None`: all is there.
Losses = Callable[[Left, SqliteStore], str | None]


def cut_points(events: list[Event], rng: Random, *, every_write: bool = False) -> Iterator[Left]:
    """What the disk may be left with, for each moment of the record.

    What was synced changes with the syncs only, so it is looked at once for each, when most was acknowledged on it.
    What was not synced is looked at after one write between any two syncs, torn or shuffled as chance has it; or with
    `every_write` after each, in both ways.
    """
    disk = Disk()
    picked = set(_writes(events, rng, every_write))
    told = 0
    for at, event in enumerate(events):
        if isinstance(event, Synced | SyncedNames) and disk.dirty():
            yield Left(at, "kept", disk.kept(), told)
        disk.take(event)
        if isinstance(event, Acknowledged):
            told += 1
        elif at in picked:
            ways = {"torn": disk.torn, "shuffled": disk.shuffled}
            for how in ways if every_write else [rng.choice(list(ways))]:
                yield Left(at + 1, how, ways[how](rng), told)
    yield Left(len(events), "kept", disk.kept(), told)


def _writes(events: list[Event], rng: Random, every: bool) -> Iterator[int]:
    """The numbers of the writes after which the power goes."""
    unsynced: list[int] = []
    for at, event in enumerate([*events, SyncedNames()]):
        if isinstance(event, Wrote):
            unsynced.append(at)
        elif isinstance(event, Synced | SyncedNames) and unsynced:
            yield from unsynced if every else [rng.choice(unsynced)]
            unsynced.clear()


def lay_out(left: Left, folder: Path) -> None:
    """Make a data directory of what a disk was left with."""
    folder.mkdir(mode=0o700)
    for name, content in left.files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)


def complaint(left: Left, folder: Path, losses: Losses) -> str | None:
    """What is wrong after a recovery from what a disk was left with; `None`: nothing. `folder` is made and removed."""
    lay_out(left, folder)
    try:
        words = _recovers(left, folder, losses)
    finally:
        shutil.rmtree(folder)
    return words and f"{left.how} at event {left.at}: {words}"


def _recovers(left: Left, folder: Path, losses: Losses) -> str | None:
    try:
        store = SqliteStore(folder)
    except StoreError as error:
        return str(error)
    try:
        if (words := losses(left, store)) is not None:
            return words
        engine, plan = recover(store.recover(Limits().wake_entries), Limits(), "node-1", START, Halves())
        engine.settle(plan, store.commit(plan))
        verdict = store._writer.rows("PRAGMA integrity_check")
        return None if verdict == [("ok",)] else f"the database is damaged: {verdict}"
    finally:
        store.close()


def complaints(lefts: Iterable[Left], folder: Path, losses: Losses) -> Iterator[str]:
    """All that is wrong."""
    for left in lefts:
        if (words := complaint(left, folder / "left", losses)) is not None:
            yield words
