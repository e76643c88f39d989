"""What nodes tell each other through PostgreSQL: each line once and in order, one task a key, letters for who lives."""

from contextlib import ExitStack
from random import Random

import pytest

from taskyard.domain.outcomes import Outcome
from taskyard.domain.task import Spec
from taskyard.engine.facts import Ended, NodeGone, NodesSeen, Submitted
from taskyard.engine.plan import Plan, Post, Snapshot, SubmitDone, Writes
from taskyard.engine.recovery import recover
from taskyard.host.clock import Clock
from taskyard.host.inbox import Inbox
from taskyard.host.loop import TurnLoop
from taskyard.host.node import engine_limits
from taskyard.host.nodes import lines as lines_module
from taskyard.host.nodes.intake import Intake
from taskyard.host.nodes.letters import told
from taskyard.host.nodes.nodes import Nodes
from taskyard.host.nodes.outgoing import Hands
from taskyard.host.nodes.threads import Threads
from taskyard.host.storage import Storage
from taskyard.host.waiters import Waiters
from taskyard.settings import Settings
from taskyard.store.nodes import KeyTaken, Line, NodeRow
from taskyard.store.port import NotDeciding, OutcomeUnknown
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, key_row, new_task, tid
from tests.support import aio
from tests.support.postgres import empty


@pytest.fixture
def two(database):
    """The store of a decider, and that of another node."""
    empty(database)
    with ExitStack() as stack:
        made = []
        for _ in range(2):
            made.append(PostgresStore(database))
            stack.callback(made[-1].close)
        made[0].recover(1)
        yield made


def row(store, **values):
    kept = {"name": "n", "url": "http://n", "version": "1", "started_at": T0, "epoch": 0, "draining": 0, "load": 0}
    return NodeRow(id=store.nodes.id, **kept | {"figures": "{}", "silent_ms": 0} | values)


def line(store, seq, task=1, kind="Ended"):
    return Line(store.nodes.id, seq, kind, tid(task), 1, "{}")


def posted(**members):
    plan = Plan(T0)
    plan.post = Post(**members)
    return plan


def test_nodes_see_each_other_and_who_decides(two):
    decider, other = two
    assert decider.nodes.beat(row(decider)).anew
    seen = other.nodes.beat(row(other, load=3, draining=1))
    assert (seen.decider, seen.epoch) == (decider.nodes.id, decider.epoch)
    assert {node.id: (node.load, node.draining) for node in seen.nodes} == {
        decider.nodes.id: (0, 0),
        other.nodes.id: (3, 1),
    }
    assert all(0 <= node.silent_ms < 60_000 for node in seen.nodes)
    assert not other.nodes.beat(row(other)).anew
    # One that was taken for dead finds out.
    decider.commit(posted(gone=[(other.nodes.id,)]))
    assert other.nodes.beat(row(other)).anew
    other.nodes.leave()
    assert [node.id for node in decider.nodes.beat(row(decider)).nodes] == [decider.nodes.id]


def test_a_task_that_a_node_takes_in_is_there_for_all_and_its_line_is_taken_once(two):
    decider, other = two
    other.nodes.take_in(Writes(tasks=[new_task(1)], payloads=[(tid(1), "{}")]), [line(other, 1, kind="Submitted")])
    assert decider.task(tid(1), None)[1:] == (None, None)
    assert decider.nodes.records([tid(1)])[tid(1)].task.id == tid(1)
    other.nodes.take_in(Writes(), [line(other, 2), line(other, 3)])
    mine = other.nodes.id
    assert decider.nodes.writers() == [mine]
    assert [found.seq for found in decider.nodes.lines({mine: 0, "nobody": 0}, 2)] == [1, 2]
    assert [found.seq for found in decider.nodes.lines({mine: 2}, 9)] == [3]
    assert decider.nodes.ends_reported() == {(tid(1), 1)}
    decider.commit(posted(taken=[(mine, 1), (mine, 2)]))
    with pytest.raises(OutcomeUnknown, match="taken already"):
        decider.commit(posted(taken=[(mine, 3), (mine, 2)]))
    assert [found.seq for found in decider.nodes.lines({mine: 0}, 9)] == [3], "nothing of the failed turn is done"


def test_a_key_belongs_to_one_task_whoever_is_faster(two):
    decider, other = two
    for store, task in ((decider, 1), (other, 2)):
        writes = Writes(tasks=[new_task(task)], keys=[key_row("k", task)])
        if task == 1:
            store.nodes.take_in(writes, [line(store, 1, task, "Submitted")])
        else:
            with pytest.raises(KeyTaken):
                store.nodes.take_in(writes, [line(store, 1, task, "Submitted")])
    assert other.nodes.keys([("ann", "k")])["ann", "k"].task_id == tid(1)
    assert decider.task(tid(2), None) is None
    assert decider.nodes.writers() == [decider.nodes.id]
    # An expired one can be used again.
    later = key_row("k", 3)._replace(created_at=key_row("k", 1).expires_at, expires_at=2 * T0)
    other.nodes.take_in(Writes(tasks=[new_task(3)], keys=[later]), [line(other, 2, 3, "Submitted")])
    assert other.nodes.keys([("ann", "k")])["ann", "k"].task_id == tid(3)


def test_a_key_that_expires_while_its_task_waits_is_still_taken(two):
    """A submission was made before the key expired, and is stored after that."""
    _, other = two
    old = key_row("k", 1)
    other.nodes.take_in(Writes(tasks=[new_task(1)], keys=[old]), [line(other, 1, kind="Submitted")])

    async def submit(number, created_at):
        threads = Threads()
        limits = {"most": 9, "batch": 9, "key_ms": 1_000}
        intake = Intake(other.nodes, threads, lambda: old.expires_at + 1, **limits, stored=lambda _: None)
        intake.seq = number
        intake.start()
        spec = Spec(id=tid(number), owner=old.owner, type="t", created_at=created_at)
        try:
            return await intake.put(Submitted(spec=spec, payload="{}", key=old.key, key_hash=old.hash))
        finally:
            await intake.stop()
            await threads.close()

    assert aio.run(submit(2, old.expires_at - 1)) == SubmitDone(tid(1), old.created_at, replayed=True)
    assert aio.run(submit(3, old.expires_at)) == SubmitDone(tid(3), old.expires_at)


class Sender:
    """What a decider's `Nodes` needs of the rest of a node, which sends nothing here."""

    hold_back = None

    def __init__(self):
        self.ended, self.changed = Waiters(), Waiters()
        self.memory = recover(Snapshot(), engine_limits(Settings()), "me", T0, Random(1))[0].memory

    def nodes(self, store, inbox):
        hands = Hands(None, None, set, lambda: self.memory, lambda: "http://n")
        return Nodes(Settings(), store, Clock(), inbox, self, hands, name="n", version="1")

    def stored(self, fact):
        pass


def end_told(store, seq):
    return Line(store.nodes.id, seq, *told(Ended(task_id=tid(seq), attempt=1, outcome=Outcome.COMPLETED)))


def test_what_a_node_had_stored_is_decided_before_its_death(two, monkeypatch):
    monkeypatch.setattr(lines_module, "BITE", 2)
    decider, other = two
    inbox = Inbox(9, 9)

    async def follow():
        nodes = Sender().nodes(decider, inbox)
        other.nodes.beat(row(other))
        for store in two:
            store.nodes.take_in(Writes(), [end_told(store, seq) for seq in (1, 2, 3)])
        nodes.intake.seq = nodes.intake.stored_up_to = 3
        await nodes.members.beat()
        nodes.decides(Snapshot())
        await nodes.began()
        assert nodes.intake.drained == 2, "the third line is still to be read"
        other.nodes.leave()
        await nodes.members.beat()
        await nodes.members.beat()
        assert not [fact for fact in inbox.take_all() if isinstance(fact, NodeGone)]
        assert await nodes.lines.read() == 2
        await nodes.members.beat()
        assert nodes.intake.drained == 3
        *_, last, gone = [fact for fact in inbox.take_all() if not isinstance(fact, NodesSeen)]
        assert (last.line[1], gone.node) == (3, other.nodes.id)
        await nodes.stop()

    aio.run(follow())


def test_a_decider_that_takes_no_turns_any_more_hands_over(two):
    decider, other = two
    inbox, sender = Inbox(9, 9), Sender()
    carried = []

    def carry_out(plan, facts):
        carried.append(plan)
        assert len(carried) == 1, "a defect behind the commit, where nothing is left to refuse"

    async def work():
        nodes = sender.nodes(decider, inbox)
        await nodes.members.beat()
        loop = TurnLoop(
            Storage(decider, 100), inbox, Clock(), engine_limits(Settings()), decider.nodes.id,
            turn_facts=9, turn_bytes=1 << 20, stall_ms=60_000, carry_out=carry_out, fail=lambda *_: None,
            refuse=lambda *_: None, observe=lambda *_: None, sending=set, nodes=nodes,
        )  # fmt: skip
        await loop.start()
        with pytest.raises(NotDeciding):
            other.recover(1)
        inbox.adopt(NodesSeen(loads={}))
        await aio.until(loop.stalled)
        other.recover(1)
        await nodes.stop()

    aio.run(work())


def test_letters_come_in_order_to_whom_they_are_for_and_go_when_they_are_read(two):
    decider, other = two
    for start in (1, 3):
        letters = [(other.nodes.id, "k", tid(n), "{}") for n in (start, start + 1)]
        decider.commit(posted(letters=[*letters, (decider.nodes.id, "k", tid(9), "{}")]))
    first = other.nodes.letters(0, 3)
    assert [letter.task_id for letter in first] == [tid(1), tid(2), tid(3)]
    (last,) = other.nodes.letters(first[-1].id, 3)
    assert last.task_id == tid(4)
    assert [letter.id for letter in other.nodes.letters(0, 9)] == [last.id], "those that were read are gone"
    decider.commit(posted(unread=[(other.nodes.id,)]))
    assert other.nodes.letters(0, 9) == []
    assert len(decider.nodes.letters(0, 9)) == 2


def test_the_right_to_decide_is_handed_over_at_once_and_what_comes_late_is_not_stored(two):
    decider, other = two
    with pytest.raises(NotDeciding):
        other.recover(1)
    decider.hand_over()
    other.recover(1)
    assert other.epoch > decider.epoch
    with pytest.raises(OutcomeUnknown, match="another node decides"):
        decider.commit(posted(letters=[(other.nodes.id, "k", tid(1), "{}")]))
    assert other.nodes.letters(0, 9) == []
