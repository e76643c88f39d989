"""Every moment at which the power may go, in a record of what a disk was told; and what recovers from what is left."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

from taskyard.engine.limits import Limits
from taskyard.engine.recovery import recover
from taskyard.store.port import StoreError
from taskyard.store.sqlite import SqliteStore
from tests.power.disk import Acknowledged, Disk, Event, Files, Synced, SyncedNames, Wrote
from tests.power.work import State, digest, tasks
from tests.support.turns import START, Halves


class Left(NamedTuple):
    """What a disk was left with before event number `at`, and the state last acknowledged by then (`None`: none yet).

    `next` is the state whose commit was under way: it may be there already, whole. `how` names the kind of loss.
    """

    at: int
    how: str
    files: Files
    acknowledged: State | None
    next: State | None


def cut_points(events: list[Event], rng: Random, *, every_write: bool = False) -> Iterator[Left]:
    """What the disk may be left with, for each moment of the record.

    What was synced changes with the syncs only, so it is looked at once for each, when most was acknowledged on it.
    What was not synced is looked at after one write between any two syncs, torn or shuffled as chance has it; or with
    `every_write` after each, in both ways.
    """
    disk = Disk()
    picked = set(_writes(events, rng, every_write))
    states = [event.what for event in events if isinstance(event, Acknowledged)]
    told = 0

    def left(at: int, how: str, files: Files) -> Left:
        return Left(at, how, files, states[told - 1] if told else None, states[told] if told < len(states) else None)

    for at, event in enumerate(events):
        if isinstance(event, Synced | SyncedNames) and disk.dirty():
            yield left(at, "kept", disk.kept())
        disk.take(event)
        if isinstance(event, Acknowledged):
            told += 1
        elif at in picked:
            ways = {"torn": disk.torn, "shuffled": disk.shuffled}
            for how in ways if every_write else [rng.choice(list(ways))]:
                yield left(at + 1, how, ways[how](rng))
    yield left(len(events), "kept", disk.kept())


def _writes(events: list[Event], rng: Random, every: bool) -> Iterator[int]:
    """The numbers of the writes after which the power goes."""
    unsynced: list[int] = []
    for at, event in enumerate([*events, SyncedNames()]):
        if isinstance(event, Wrote):
            unsynced.append(at)
        elif isinstance(event, Synced | SyncedNames) and unsynced:
            yield from unsynced if every else [rng.choice(unsynced)]
            unsynced.clear()


def complaint(left: Left, folder: Path) -> str | None:
    """What is wrong after a recovery from what a disk was left with; `None`: nothing. `folder` is made and removed."""
    folder.mkdir(mode=0o700)
    try:
        for name, content in left.files.items():
            (folder / name).write_bytes(content)
            (folder / name).chmod(0o600)
        words = _recovers(left, folder)
    finally:
        shutil.rmtree(folder)
    return words and f"{left.how} at event {left.at}: {words}"


def _recovers(left: Left, folder: Path) -> str | None:
    try:
        store = SqliteStore(folder)
    except StoreError as error:
        return str(error)
    try:
        if (words := _lost(left, store)) is not None:
            return words
        engine, plan = recover(store.recover(Limits().wake_entries), Limits(), "node-1", START, Halves())
        engine.settle(plan, store.commit(plan))
        verdict = store._writer.rows("PRAGMA integrity_check")
        return None if verdict == [("ok",)] else f"the database is damaged: {verdict}"
    finally:
        store.close()


def _lost(left: Left, store: SqliteStore) -> str | None:
    if left.acknowledged is None:
        return None
    known = left.acknowledged.tasks
    if left.next is not None:
        known &= left.next.tasks  # it may be a sweep, which removes some
    missing = known - tasks(store._writer)
    if missing:
        return f"{len(missing)} acknowledged tasks are lost after commit {left.acknowledged.number}"
    found = digest(store._writer)
    wanted = [state.digest for state in (left.acknowledged, left.next) if state is not None]
    return None if found in wanted else f"the state is not that after commit {left.acknowledged.number} or the next"


def complaints(lefts: Iterable[Left], folder: Path) -> list[str]:
    """All that is wrong, and an empty list if nothing is."""
    return [words for left in lefts if (words := complaint(left, folder / "left")) is not None]
