"""The store's threads at the end of a node: who still asks is told so."""

from pathlib import Path

import pytest

from taskyard.host.errors import Unavailable
from taskyard.host.storage import Storage
from taskyard.store.sqlite import SqliteStore
from tests.support import aio


def test_a_read_that_comes_while_the_store_is_closed_is_told_that_the_node_stops(tmp_path: Path) -> None:
    async def play() -> None:
        storage = Storage(SqliteStore(tmp_path / "data"), 100)
        assert await storage.read(lambda store: store.sizes()) != {}
        await storage.close()
        with pytest.raises(Unavailable, match="the node stops"):
            await storage.read(lambda store: store.sizes())

    aio.run(play())
