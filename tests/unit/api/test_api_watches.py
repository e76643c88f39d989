"""Watched tasks: whoever leaves meanwhile takes nothing from who is about to watch."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskyard.api.live.channel import Encoder
from taskyard.api.live.watches import Watch, Watches
from taskyard.host.errors import Overloaded
from taskyard.host.watched import Watched
from taskyard.store.sqlite import SqliteStore
from tests.store.making import queued, tid


class Slow:
    """The part of a node that is asked here; `before` happens while a read is under way."""

    def __init__(self, store: SqliteStore) -> None:
        self.watched = Watched()
        self.before: Callable[[], object] = lambda: None
        self._store = store

    def now(self) -> int:
        return 0

    async def read(self, query: Callable[[SqliteStore], Any]) -> Any:
        await asyncio.sleep(0)
        self.before()
        return query(self._store)


class Listener:
    def __init__(self, owner: str | None = "ann") -> None:
        self.owner = owner
        self.watches: dict[str, Watch] = {}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Slow]:
    store = SqliteStore(tmp_path / "data")
    queued(store, 1, 2)
    yield Slow(store)
    store.close()


def test_a_task_stays_known_when_its_only_listener_leaves_meanwhile(node: Slow) -> None:
    async def main() -> None:
        watches: Any = Watches(node, Encoder())  # type: ignore[arg-type]
        first, second = Listener(), Listener(None)
        assert await watches.begin(first, [tid(1)], 1) == []
        node.before = lambda: watches.leave(first, list(first.watches))
        assert await watches.begin(second, [tid(1), tid(2), "nope"], 2) == ["nope"]
        assert set(second.watches) == {tid(1), tid(2)}
        watches.leave(second, list(second.watches))
        assert len(watches) == 0
        assert not node.watched

    asyncio.run(main())


def test_who_cannot_be_told_holds_nothing(node: Slow) -> None:
    async def main() -> None:
        watches: Any = Watches(node, Encoder())  # type: ignore[arg-type]
        first, second = Listener(), Listener()
        assert await watches.begin(first, [tid(1)], 1) == []

        def shed() -> None:
            watches.leave(first, list(first.watches))
            raise Overloaded("no room")

        node.before = shed
        with pytest.raises(Overloaded):
            await watches.begin(second, [tid(1), tid(2)], 2)
        assert (len(watches), second.watches) == (0, {})
        assert not node.watched

    asyncio.run(main())
