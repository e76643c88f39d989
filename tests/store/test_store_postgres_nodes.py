"""What nodes tell each other through PostgreSQL: each line once and in order, one task a key, letters for who lives."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from random import Random

import psycopg
import pytest

from taskyard.domain.health import Health
from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Server
from taskyard.domain.task import Spec
from taskyard.engine.facts import Ended, NodeGone, NodesSeen, Submitted
from taskyard.engine.plan import Dispatch, Lookup, Plan, Post, Snapshot, SubmitDone, Writes
from taskyard.engine.recovery import recover
from taskyard.host.clock import Clock
from taskyard.host.errors import Overloaded
from taskyard.host.inbox import Inbox
from taskyard.host.loop import TurnLoop
from taskyard.host.node import engine_limits
from taskyard.host.nodes import lines as lines_module
from taskyard.host.nodes.intake import Intake
from taskyard.host.nodes.letters import DISPATCH, parcel, told
from taskyard.host.nodes.mailbox import Mailbox
from taskyard.host.nodes.nodes import Nodes
from taskyard.host.nodes.outgoing import Hands
from taskyard.host.nodes.threads import Threads
from taskyard.host.storage import Storage
from taskyard.host.waiters import Waiters
from taskyard.settings import Settings
from taskyard.store.move.server_source import ServerSource
from taskyard.store.move.sides import Mark
from taskyard.store.nodes import KeyTaken, Line, NodeRow
from taskyard.store.port import NotDeciding, OutcomeUnknown, StoreError, Unusable
from taskyard.store.postgres.store import PostgresStore
from tests.store.making import T0, ended_task, key_row, new_task, plan, tid
from tests.store.simulated import Simulated
from tests.support import aio
from tests.support.nodes import until
from tests.support.postgres import empty

SETTINGS = Settings()
MUCH = 1 << 20
KB = 1000


@pytest.fixture
def pair(database):
    """The same on PostgreSQL, for tests that look into it themselves."""
    empty(database)
    with ExitStack() as stack:
        made = [stack.enter_context(closing(PostgresStore(database))) for _ in range(2)]
        made[0].recover(1)
        yield made


@pytest.fixture(params=["postgres", "simulated"])
def two(request, tmp_path):
    """The store of a decider, and that of another node."""
    with ExitStack() as stack:
        if request.param == "postgres":
            url = request.getfixturevalue("database")
            empty(url)
            made = [stack.enter_context(closing(PostgresStore(url))) for _ in range(2)]
        else:
            shared = stack.enter_context(closing(Simulated(tmp_path / "data")))
            made = [shared.open() for _ in range(2)]
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
    assert decider.task(tid(1), None)[1:3] == (None, None)
    assert decider.nodes.records([tid(1)])[tid(1)].task.id == tid(1)
    other.nodes.take_in(Writes(), [line(other, 2), line(other, 3)])
    mine = other.nodes.id
    assert decider.nodes.writers() == [mine]
    assert [found.seq for found in decider.nodes.lines({mine: 0, "nobody": 0}, 2, MUCH).lines] == [1, 2]
    assert [found.seq for found in decider.nodes.lines({mine: 2}, 9, MUCH).lines] == [3]
    assert decider.nodes.ends_reported() == {(tid(1), 1)}
    decider.commit(posted(taken=[(mine, 1), (mine, 2)]))
    with pytest.raises(OutcomeUnknown, match="taken already"):
        decider.commit(posted(taken=[(mine, 3), (mine, 2)]))
    assert [found.seq for found in decider.nodes.lines({mine: 0}, 9, MUCH).lines] == [3], (
        "nothing of the failed turn is done"
    )


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
        limits = {"most": 9, "most_bytes": 9_999, "batch": 9, "page": 9_999, "key_ms": 1_000}
        intake = Intake(other.nodes, threads, lambda: old.expires_at + 1, **limits, stored=lambda _: None)
        intake.seq = number
        intake.start()
        spec = Spec(id=tid(number), owner=old.owner, type="t", created_at=created_at)
        try:
            return await intake.put(Submitted(spec=spec, payload="{}", key=old.key, key_hash=old.hash))
        finally:
            await intake.stop(9)
            await threads.close()

    assert aio.run(submit(2, old.expires_at - 1)) == SubmitDone(tid(1), old.created_at, replayed=True)
    assert aio.run(submit(3, old.expires_at)) == SubmitDone(tid(3), old.expires_at)


class Sender:
    """What a decider's `Nodes` needs of the rest of a node, which sends nothing here."""

    hold_back = None

    def __init__(self):
        self.ended, self.changed = Waiters(), Waiters()
        self.memory = recover(Snapshot(), engine_limits(SETTINGS), "me", T0, Random(1))[0].memory

    def nodes(self, store, inbox, settings=SETTINGS):
        hands = Hands(None, None, set, lambda: self.memory, lambda: "http://n")
        return Nodes(settings, store, Clock(), inbox, self, hands, name="n", version="1")

    def stored(self, fact):
        pass


def end_told(store, seq, result=None):
    return Line(
        store.nodes.id, seq, *told(Ended(task_id=tid(seq), attempt=1, outcome=Outcome.COMPLETED, result=result))
    )


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
        assert nodes.intake.drained < 3, "some lines are still to be read"
        other.nodes.leave()
        for _ in range(2):
            await nodes.members.beat()
        while await nodes.lines.read():
            await nodes.members.beat()
        await nodes.members.beat()
        assert nodes.intake.drained == 3
        facts = [fact for fact in inbox.take_all() if not isinstance(fact, NodesSeen)]
        (gone,) = [place for place, fact in enumerate(facts) if isinstance(fact, NodeGone)]
        assert facts[gone].node == other.nodes.id
        assert [fact.line[1] for fact in facts[:gone] if fact.line[0] == other.nodes.id] == [1, 2, 3]
        assert len(facts) == 7
        await nodes.stop()

    aio.run(follow())


def test_what_is_read_in_bulk_has_so_many_bytes_and_one_thing_at_least(two):
    decider, other = two
    mine, theirs = decider.nodes.id, other.nodes.id
    for store in two:
        store.nodes.take_in(Writes(), [end_told(store, seq, "7" * 3 * KB) for seq in (1, 2, 3)])

    def lines(*nodes, after=0, most=9, most_bytes):
        found = decider.nodes.lines(dict.fromkeys(nodes, after), most, most_bytes)
        return [(line.node, line.seq) for line in found.lines], found.more

    # Node by node; of whom there may be more is said.
    both = {mine, theirs}
    assert lines(mine, theirs, most_bytes=1) == ([(mine, 1)], both)
    assert lines(theirs, mine, most_bytes=1) == ([(theirs, 1)], both)
    assert lines(theirs, "nobody", mine, after=1, most_bytes=9 * KB) == ([(theirs, 2), (theirs, 3), (mine, 2)], {mine})
    assert lines(mine, after=1, most_bytes=5 * KB)[0] == [(mine, 2), (mine, 3)]
    assert lines(mine, after=1, most_bytes=7 * KB) == ([(mine, 2), (mine, 3)], set())
    assert lines(mine, theirs, most=4, most_bytes=MUCH) == ([(mine, 1), (mine, 2), (mine, 3), (theirs, 1)], {theirs})
    assert lines(mine, theirs, most=7, most_bytes=MUCH)[1] == set()
    # Letters, the payloads of their tasks, and what clients wait for.
    decider.commit(posted(letters=[(theirs, "k", tid(n), "7" * 3 * KB) for n in (1, 2, 3)]))
    assert [letter.task_id for letter in other.nodes.letters(0, 9, 4 * KB)] == [tid(1), tid(2)]
    assert [letter.task_id for letter in other.nodes.letters(0, 9, 1)] == [tid(1)]
    tasks = (1, 2, 3)
    decider.commit(
        plan(
            tasks=[new_task(n) for n in tasks],
            payloads=[(tid(n), "7" * 3 * KB) for n in tasks],
            ended=[ended_task(n) for n in tasks],
            results=[(tid(n), "7" * 3 * KB) for n in tasks],
        )
    )
    gone = tid(99)
    assert list(other.nodes.payloads([gone, tid(3), tid(2), tid(1)], 4 * KB)) == [gone, tid(3), tid(2)]
    assert list(other.nodes.payloads([tid(3), tid(1)], 1)) == [tid(3)]
    assert other.nodes.payloads([gone], 1) == {gone: None}
    assert len(other.nodes.ends([tid(n) for n in tasks], 4 * KB)) == 2
    assert [(row.id, len(result)) for row, result in other.nodes.ends([tid(3)], 1)] == [(tid(3), 3 * KB)]


def test_attempts_to_send_come_with_their_payloads_page_by_page(two):
    decider, other = two
    server = Server(
        id="s1", name="s1", predict="http://s1", health_url="", registered_at=0, health=Health(), max_concurrent=1
    )
    tasks = (1, 2, 3)
    decider.commit(
        plan(tasks=[new_task(n) for n in tasks], payloads=[(tid(n), str(n) * 3 * KB) for n in tasks if n != 1])
    )
    letters = [(other.nodes.id, DISPATCH, tid(n), parcel(attempt(n), server)) for n in tasks]
    decider.commit(posted(letters=letters))
    sent, pages = [], []

    def may_read():
        pages.append(len(sent))
        return len(sent) < 2

    async def read():
        threads = Threads()
        mailbox = Mailbox(
            other.nodes, threads, may_read=may_read, dispatch=lambda effect, _: sent.append(effect), abort=None,
            decided=None, tell=None, busy=bool, poll_s=1, page=2 * KB,
        )  # fmt: skip
        await mailbox.read()
        # Where the next page would have come, this node must send no more.
        assert [(effect.task_id, effect.payload) for effect in sent] == [(tid(1), None), (tid(2), "2" * 3 * KB)]
        assert pages == [0, 0, 2]
        sent.clear()
        await mailbox.read()
        assert [(effect.task_id, effect.payload) for effect in sent] == [(tid(3), "3" * 3 * KB)]
        await threads.close()

    aio.run(read())


def attempt(number):
    return Dispatch(
        task_id=tid(number), attempt=1, server_id="s1", node="", type="t", priority=0, capabilities=(), run_async=True,
        limit_at=2 * T0, timeout_ms=T0, hops=0, traceparent=None, waited_ms=0, payload=None,
    )  # fmt: skip


def test_a_decider_reads_no_more_lines_than_it_has_room_for(two):
    decider, other = two
    inbox = Inbox(9, 9)
    lines = [end_told(other, seq, "7" * 3 * KB) for seq in range(1, 7)]
    other.nodes.take_in(Writes(), lines)

    async def follow():
        nodes = Sender().nodes(decider, inbox, Settings(node_page=4 * KB, node_backlog=8 * KB))
        await nodes.members.beat()
        nodes.decides(Snapshot())
        await nodes.began()
        assert await nodes.lines.read() == 2
        assert await nodes.lines.read() == 0, "facts of 12 KB wait"
        facts = [fact.line for fact in inbox.take_all() if fact.line]
        assert facts == [(other.nodes.id, seq) for seq in (1, 2, 3, 4)]
        nodes.lines.taken(facts)
        assert not nodes.lines.all_of(other.nodes.id)
        assert await nodes.lines.read() == 2
        assert await nodes.lines.read() == 0
        assert len([fact for fact in inbox.take_all() if fact.line]) == 2
        nodes.lines.taken([(other.nodes.id, 5), (other.nodes.id, 6)])
        await nodes.lines.read()
        assert nodes.lines.all_of(other.nodes.id)
        await nodes.stop()

    aio.run(follow())


def end(number, size):
    return Ended(task_id=tid(number), attempt=1, outcome=Outcome.COMPLETED, result="7" * size)


def submission(number, size):
    return Submitted(spec=Spec(id=tid(number), owner="ann", type="t", created_at=T0), payload="7" * size)


@contextmanager
def taking_in(store, **limits):
    """An intake, and the threads of its node."""
    threads = Threads()
    given = {"most": 9, "most_bytes": MUCH, "batch": 9, "page": MUCH, "key_ms": 1_000, "stored": lambda _: None}
    yield Intake(store.nodes, threads, lambda: T0, **given | limits), threads


def test_what_a_node_takes_in_is_bounded_by_bytes_but_one_is_taken_whatever_its_size(pair, database):
    _, other = pair

    async def take_in():
        with taking_in(other, most_bytes=8 * KB, page=4 * KB) as (intake, threads):
            large = intake.put(submission(1, 20 * KB))
            with pytest.raises(Overloaded):
                intake.put(submission(2, 1))
            for number in (3, 4, 5, 6):
                intake.tell(end(number, 3 * KB))  # come what may
            intake.start()
            assert await large == SubmitDone(tid(1), T0)
            await aio.until(lambda: intake.stored_up_to == 5)
            await intake.put(submission(7, 1))
            await intake.stop(9)
            await threads.close()

    aio.run(take_in())
    with psycopg.connect(database) as connection:
        found = connection.execute("SELECT array_agg(seq ORDER BY seq) FROM inbox GROUP BY xmin::text ORDER BY 1")
        assert [batch for (batch,) in found] == [[1], [2, 3], [4, 5], [6]]


def test_a_node_that_leaves_has_stored_all_before(pair, database):
    """What is being stored at the moment of leaving is waited for: the decider must not find it after the death."""
    _, other = pair

    async def leave():
        with taking_in(other) as (intake, threads):
            intake.start()
            with psycopg.connect(database) as blocking:
                blocking.execute("LOCK TABLE inbox IN SHARE MODE")
                intake.tell(end(1, 1))
                await aio.until(lambda: waiting_for_locks(database) == 1)
                leaving = asyncio.create_task(intake.stop(0))
                done, _ = await asyncio.wait([leaving], timeout=0.1)
                assert not done
            await leaving
            await threads.close()

    aio.run(leave())
    assert other.nodes.ends_reported() == {(tid(1), 1)}


def waiting_for_locks(database):
    with psycopg.connect(database) as connection:
        ((count,),) = connection.execute("SELECT count(DISTINCT pid) FROM pg_locks WHERE NOT granted")
        return count


@pytest.fixture
def leaving(pair, database):
    """A database that `taskyard move` is about to leave, and a node that has started on it in that very moment."""
    decider, other = pair
    decider.hand_over()
    with closing(ServerSource(database, ())) as source:
        source.hold()
        yield source, other.nodes


def test_a_node_that_starts_as_a_move_begins_takes_nothing_in(leaving):
    source, nodes = leaving
    source.begin(Mark("m", "elsewhere", T0))
    for call in (lambda: nodes.beat(NodeRow("n", *"nuv", *4 * [0], "{}", 0)), lambda: taken_in(nodes)):
        with pytest.raises(StoreError, match="moved elsewhere"):
            call()
    assert nodes.writers() == []
    source.release()
    taken_in(nodes)


def taken_in(nodes):
    nodes.take_in(Writes(), [Line(nodes.id, 1, "Ended", tid(1), 1, "{}")])


def test_a_move_does_not_begin_over_what_is_just_being_taken_in(leaving, database):
    source, nodes = leaving
    with ThreadPoolExecutor(2) as pool:
        with psycopg.connect(database) as blocking:
            blocking.execute("LOCK TABLE inbox IN SHARE MODE")
            taking = pool.submit(taken_in, nodes)
            until(lambda: waiting_for_locks(database) == 1)
            beginning = pool.submit(source.begin, Mark("m", "elsewhere", T0))
            until(lambda: waiting_for_locks(database) == 2 or beginning.done())
        taking.result(60)
        with pytest.raises(Unusable, match="1 things that nodes took in"):
            beginning.result(60)
    nodes.beat(NodeRow("n", *"nuv", *4 * [0], "{}", 0))  # the mark is not there


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
    first = other.nodes.letters(0, 3, MUCH)
    assert [letter.task_id for letter in first] == [tid(1), tid(2), tid(3)]
    (last,) = other.nodes.letters(first[-1].id, 3, MUCH)
    assert last.task_id == tid(4)
    assert [letter.id for letter in other.nodes.letters(0, 9, MUCH)] == [last.id], "those that were read are gone"
    decider.commit(posted(unread=[(other.nodes.id,)]))
    assert other.nodes.letters(0, 9, MUCH) == []
    assert len(decider.nodes.letters(0, 9, MUCH)) == 2


def test_the_right_to_decide_is_handed_over_at_once_and_what_comes_late_is_not_stored(two):
    decider, other = two
    with pytest.raises(NotDeciding):
        other.recover(1)
    decider.hand_over()
    other.recover(1)
    assert other.epoch > decider.epoch
    with pytest.raises(OutcomeUnknown, match="another node decides"):
        decider.commit(posted(letters=[(other.nodes.id, "k", tid(1), "{}")]))
    # Nor does it see what the other one has done: that would not fit to what it knows.
    with pytest.raises(StoreError):
        decider.lookup(Lookup(tasks=[tid(1)]))
    assert other.lookup(Lookup(tasks=[tid(1)])).tasks == {}
    assert other.nodes.letters(0, 9, MUCH) == []
