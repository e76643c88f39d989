"""Letters that a node had read when it was taken for dead, or not read when it became the decider."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from taskyard.domain.health import Health
from taskyard.domain.server import Server
from taskyard.engine.plan import Abort, Dispatch, Plan, Post, Refusal
from taskyard.host.nodes.letters import ABORT, DISPATCH, VERDICT, encode, parcel, verdict
from taskyard.host.nodes.mailbox import Mailbox
from taskyard.host.nodes.threads import Threads
from taskyard.store.nodes import NodeStore
from tests.store.simulated import Simulated
from tests.support import aio

TASK = "task_" + "1" * 32


def attempt() -> Dispatch:
    return Dispatch(
        task_id=TASK, attempt=1, server_id="s", node="", type="t", priority=0, capabilities=(), run_async=False,
        limit_at=1, timeout_ms=1, hops=0, traceparent=None, waited_ms=0, payload=None,
    )  # fmt: skip


def letters_to(node: str) -> Plan:
    """A plan with an attempt to send, one to give up, and a verdict."""
    server = Server(id="s", name="s", predict="", health_url="", registered_at=0, health=Health())
    plan = Plan(1)
    plan.post = Post(
        letters=[
            (node, DISPATCH, TASK, parcel(attempt(), server)),
            (node, ABORT, TASK, encode(Abort(TASK, 2, "s", node, None, None)).decode()),
            (node, VERDICT, "", verdict(7, Refusal("conflict", "no"))),
        ]
    )
    return plan


def follow(folder: Path, work: Callable[[Mailbox, NodeStore, list[Any]], Any]) -> list[Any]:
    """What a node did that has three letters, while `work` went on."""
    shared, did = Simulated(folder / "data"), []
    decider, store = shared.open(), shared.open()
    decider.commit(letters_to(store.nodes.id))

    async def run() -> None:
        threads = Threads()
        mailbox = Mailbox(
            store.nodes,
            threads,
            may_read=lambda: True,
            dispatch=lambda effect, server: did.append(("sent", effect.task_id)),
            abort=lambda effect: did.append(("given up", effect.attempt)),
            decided=lambda seq, result: did.append(("decided", seq)),
            tell=did.append,
            busy=lambda: False,
            poll_s=1,
            page=1 << 20,
        )
        await work(mailbox, store.nodes, did)
        await threads.close()

    aio.run(run())
    shared.close()
    return did


def test_letters_are_carried_out_in_their_order(tmp_path: Path) -> None:
    async def work(mailbox: Mailbox, store: NodeStore, did: list[Any]) -> None:
        assert await mailbox.read() == 3
        assert await mailbox.read() == 0

    assert follow(tmp_path, work) == [("sent", TASK), ("given up", 2), ("decided", 7)]


def test_what_was_read_when_the_node_was_taken_for_dead_is_void(tmp_path: Path) -> None:
    async def work(mailbox: Mailbox, store: NodeStore, did: list[Any]) -> None:
        payloads = store.payloads

        def found_dead_meanwhile(*arguments: Any) -> Any:
            mailbox.forget()
            return payloads(*arguments)

        store.payloads = found_dead_meanwhile  # type: ignore[method-assign]
        assert await mailbox.read() == 0

    assert follow(tmp_path, work) == []


def test_who_becomes_the_decider_carries_out_what_it_had_not_read_and_knows_what_it_has_not_sent(
    tmp_path: Path,
) -> None:
    async def work(mailbox: Mailbox, store: NodeStore, did: list[Any]) -> None:
        unread = store.letters(mailbox.after, 9, 1 << 20)
        assert [(effect.task_id, effect.attempt) for effect in mailbox.take_over(unread)] == [(TASK, 1)]
        assert mailbox.take_over(unread) == [], "once"

    assert follow(tmp_path, work) == [("given up", 2), ("decided", 7)]
