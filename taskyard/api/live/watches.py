"""Watched tasks: their rows as they are in the store, read once a tick where a commit touched them, encoded once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Set
from functools import partial
from typing import TYPE_CHECKING

from taskyard.api.live.channel import Encoder, Event, timed
from taskyard.api.tasks import earlier
from taskyard.api.views import status_of, task_row
from taskyard.host.errors import Overloaded
from taskyard.host.port import NodePort
from taskyard.store.port import Store
from taskyard.wire.tasks import TaskRow

if TYPE_CHECKING:
    from taskyard.api.live.viewer import Viewer

READ_AT_ONCE = 100
# Of what was touched, so much is read in one tick; the rest in the next.
READ_A_TICK = 2000


class Watch:
    """One task that is watched: whose it is, what was told of it last and at which tick."""

    __slots__ = ("changed_at", "ended", "event", "id", "owner", "row", "viewers")

    def __init__(self, task_id: str, owner: str) -> None:
        self.id = task_id
        self.owner = owner
        self.viewers: set[Viewer] = set()
        self.changed_at = 0
        self.ended = False
        self.row: TaskRow | None = None
        self.event: Event


Rows = dict[str, tuple[TaskRow, bool]]


def _read(store: Store, ids: Iterable[str], owner: str | None) -> Rows:
    """The rows of those tasks that `owner` may see, and whether each has ended. For a reader thread."""
    found: Rows = {}
    for task_id in ids:
        record = store.task(task_id, owner)
        if record is not None:
            found[task_id] = task_row(record, earlier(store, record)), status_of(record).ended
    return found


class Watches:
    """All watched tasks. Used by the hub alone, one call after the other."""

    def __init__(self, node: NodePort, encoder: Encoder) -> None:
        self._node = node
        self._encoder = encoder
        self._by_id: dict[str, Watch] = {}

    def __len__(self) -> int:
        return len(self._by_id)

    async def begin(self, viewer: Viewer, ids: Sequence[str], tick: int) -> list[str]:
        """Have a listener watch tasks; returns those that are not, or are not its to see. Raises `Overloaded`."""
        owner = viewer.owner
        new = [task_id for task_id in ids if task_id not in self._by_id]
        # At once, or another listener that leaves meanwhile takes what is watched already along.
        held = [watch for task_id in ids if (watch := self._seen_by(owner, task_id)) is not None]
        for watch in held:
            watch.viewers.add(viewer)
        for task_id in new:
            self._node.watched.add(task_id)
        try:
            rows: Rows = {}
            for first in range(0, len(new), READ_AT_ONCE):
                some = new[first : first + READ_AT_ONCE]
                rows |= await self._node.read(partial(_read, ids=some, owner=owner))
        except Overloaded:
            for task_id in new:
                self._node.watched.drop(task_id)
            for watch in held:
                if watch.id not in viewer.watches:
                    watch.viewers.discard(viewer)
            self.end_unseen(watch.id for watch in held)
            raise
        for task_id in new:
            if task_id in rows:
                self._by_id[task_id] = Watch(task_id, rows[task_id][0].owner)
                self._tell(self._by_id[task_id], rows[task_id], tick)
            else:
                self._node.watched.drop(task_id)
        unknown = []
        for task_id in ids:
            watch = self._seen_by(owner, task_id)
            if watch is None:
                unknown.append(task_id)
            else:
                viewer.watches[task_id] = watch
                watch.viewers.add(viewer)
        self.end_unseen(new)
        return unknown

    def _seen_by(self, owner: str | None, task_id: str) -> Watch | None:
        """What is watched already, if its owner or (`None`) an admin asks."""
        watch = self._by_id.get(task_id)
        return None if watch is None or owner not in (None, watch.owner) else watch

    def leave(self, viewer: Viewer, ids: Iterable[str]) -> None:
        """A listener watches them no longer."""
        ids = list(ids)
        for task_id in ids:
            viewer.watches.pop(task_id).viewers.discard(viewer)
        self.end_unseen(ids)

    def end_unseen(self, ids: Iterable[str]) -> None:
        """Forget those that nobody watches."""
        for task_id in ids:
            watch = self._by_id.get(task_id)
            if watch is not None and not watch.viewers:
                del self._by_id[task_id]
                self._node.watched.drop(task_id)

    async def look(self, tick: int, task_ids: Set[str]) -> None:
        """Read what commits have touched. What cannot be read now is read at the next tick."""
        watched = self._node.watched
        touched = [task_id for task_id in task_ids if task_id in self._by_id]
        watched.touch(set(touched[READ_A_TICK:]))
        for first in range(0, min(len(touched), READ_A_TICK), READ_AT_ONCE):
            some = touched[first : first + READ_AT_ONCE]
            try:
                # Whose they are was asked when each was first watched, and never changes.
                rows = await self._node.read(partial(_read, ids=some, owner=None))
            except Overloaded:
                watched.touch(set(some))
                continue
            for task_id, row in rows.items():
                watch = self._by_id.get(task_id)
                if watch is not None and self._tell(watch, row, tick):
                    for viewer in watch.viewers:
                        viewer.behind = True

    def _tell(self, watch: Watch, row: tuple[TaskRow, bool], tick: int) -> bool:
        """Keep what there is to be told; whether that is something new."""
        if watch.row == row[0]:
            return False
        watch.row, watch.ended = row
        watch.event = Event("task", timed(self._encoder.encode(row[0]), self._node.now()))
        watch.changed_at = tick
        return True
