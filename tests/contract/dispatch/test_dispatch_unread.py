"""An answer over which the node itself fails still ends its attempt, whichever way the request went out."""

from pathlib import Path

import pytest

from taskyard.engine.facts import Ended
from taskyard.host import dispatcher
from taskyard.host.answers import read_reply
from taskyard.host.transport.port import Reply
from tests.support.backend import Backend
from tests.support.house import House, name_of, play


@pytest.mark.parametrize("warm", [False, True], ids=["a new connection", "a free connection"])
def test_an_answer_that_the_node_cannot_read_ends_the_attempt(
    warm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[str] = []

    def failing(task_id: str, attempt: int, reply: Reply, *, server_is_async: bool, responded_at: int) -> Ended:
        if not failures:
            failures.append(task_id)
            raise RuntimeError("a mistake of ours")
        return read_reply(task_id, attempt, reply, server_is_async=server_is_async, responded_at=responded_at)

    async def scene(house: House, backend: Backend) -> None:
        await house.register(backend)
        if warm:
            assert name_of(await house.run("t")) == "COMPLETED"
        monkeypatch.setattr(dispatcher, "read_reply", failing)
        task = await house.submit("t", max_retries=1)
        assert name_of(await house.ended(task)) == "COMPLETED"
        assert failures == [task]
        assert await house.outcomes(task) == [("failed", 1)]
        assert house.node.in_flight == 0

    play(tmp_path, scene)
