"""What the engine knows of other nodes: who sends an attempt, what dies with a node, and tasks that another stored."""

from pathlib import Path
from typing import Any

import pytest

from taskyard.domain.outcomes import Outcome, Status
from taskyard.engine.facts import CancelAsked, Ended, NodeGone, NodesSeen, Submitted
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Answer, Dispatch, Plan, TaskDone
from taskyard.engine.states import new_task_row
from tests.support.turns import Desk

HERE = "node-1"


@pytest.fixture
def desk(tmp_path: Path) -> Any:
    made = Desk(tmp_path / "data")
    yield made
    made.close()


def senders(desk: Desk) -> list[str]:
    return [effect.node for effect in desk.of(Dispatch)]


def stored(desk: Desk, **members: Any) -> Submitted:
    """A task that another node has stored, and its line."""
    spec = desk.spec(**members)
    plan = Plan(desk.now)
    lane = desk.engine.memory.fleet.lane(frozenset(spec.capabilities), spec.group, spec.pin)
    plan.writes.tasks.append(new_task_row(spec, lane.id))
    plan.writes.payloads.append((spec.id, '{"n":2}'))
    desk.store.commit(plan)
    return Submitted(spec=spec, payload="", stored=True, line=("two", 1))


def test_attempts_go_to_the_node_with_the_least_in_hand_and_the_decider_counts_double(desk: Desk) -> None:
    desk.server("s1")
    desk.take(NodesSeen(loads={HERE: 0, "two": 0, "three": 3}))
    desk.take(*(desk.submitted() for _ in range(6)))
    assert sorted(senders(desk)) == [HERE, HERE, "two", "two", "two", "two"]
    desk.take(NodesSeen(loads={}))
    desk.take(desk.submitted())
    assert senders(desk) == [HERE]


def test_a_node_where_a_client_waits_sends_the_task_itself(desk: Desk) -> None:
    desk.server("s1")
    desk.take(NodesSeen(loads={HERE: 0, "two": 90}))
    desk.take(stored(desk, run_async=False), desk.submitted(run_async=False))
    assert senders(desk) == ["two", HERE]


def test_what_a_dead_node_was_sending_is_lost_and_what_was_accepted_waits_on(desk: Desk) -> None:
    desk.server("s1")
    desk.take(NodesSeen(loads={HERE: 9, "two": 0}))
    sent, accepted = desk.submit(), desk.submit()
    assert senders(desk) == ["two"]
    desk.end(accepted, Outcome.ACCEPTED, http_status=202)
    desk.take(NodeGone(node="two"))
    assert desk.outcomes(sent) == [(1, "lost", 1)]
    assert (desk.status(accepted), desk.attempt_of(accepted)) == (Status.PROCESSING, 1)
    # The next attempt is sent by a node that lives; the late word on the first is of no use.
    assert desk.record(sent).run is not None
    assert desk.record(sent).run.node == HERE  # type: ignore[union-attr]
    desk.take(Ended(task_id=sent, attempt=1, outcome=Outcome.COMPLETED, result="1", http_status=200))
    assert desk.status(sent) is Status.PROCESSING


def test_a_task_that_another_node_stored_gets_its_place_and_is_sent_with_its_payload(desk: Desk) -> None:
    desk.server("s1")
    fact = stored(desk)
    assert desk.record(fact.spec.id)[1:3] == (None, None)
    desk.take(fact)
    assert desk.dispatched() == [(fact.spec.id, 1, "s1")]
    assert desk.bodies[fact.spec.id, 1] == '{"n":2}'


def test_one_that_was_acknowledged_elsewhere_is_not_refused_by_a_limit(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "data", Limits(max_queued=1, max_queued_per_sub=1))
    desk.submit()
    fact = stored(desk)
    desk.take(fact)
    assert desk.status(fact.spec.id) is Status.PENDING
    assert desk.engine.memory.queued == 2
    desk.close()


def test_a_limit_that_is_near_is_that_of_all_or_of_one_owner(tmp_path: Path) -> None:
    limits = Limits(max_queued=20, max_queued_per_sub=10, max_lanes=10, max_lanes_per_sub=5)
    desk = Desk(tmp_path / "data", limits)
    memory = desk.engine.memory

    def near() -> tuple[bool, list[str]]:
        return desk.engine.memory.is_near_full(0.8), desk.engine.memory.owners_near_full(0.8)

    assert near() == (False, [])
    for _ in range(7):
        desk.submit(owner="ann")
    assert near() == (False, [])
    last = desk.submit(owner="ann")
    assert near() == (False, ["ann"]), "of queued tasks"
    desk.take(CancelAsked(task_id=last, owner="ann", who="ann"))
    assert near() == (False, [])
    other = [desk.submit(owner="bob", capabilities=(f"c{n}",)) for n in range(4)]
    assert near() == (False, ["bob"]), "of different requirements"
    more = [desk.submit(owner=f"o{n}", capabilities=(f"o{n}",)) for n in range(3)]
    assert near() == (True, ["bob"]), "8 of 10 lanes"
    for task, owner in [(task, "bob") for task in other] + [(task, f"o{n}") for n, task in enumerate(more)]:
        desk.take(CancelAsked(task_id=task, owner=owner, who=owner))
    assert near() == (False, []), "lanes where nobody waits make room"
    assert len(memory.fleet.lanes) >= 8
    for _ in range(9):
        desk.submit(owner=f"p{desk.engine.memory.queued}")
    assert near() == (True, []), "16 of 20 tasks"
    desk.close()


def test_a_call_on_a_task_that_has_no_place_yet_waits_until_it_has(desk: Desk) -> None:
    fact = stored(desk)
    cancel = CancelAsked(task_id=fact.spec.id, owner="ann", who="ann")
    cancel.ref = 77
    desk.take(cancel, fact)
    (done,) = desk.of(Answer)
    assert done.ref == 77
    assert isinstance(done.result, TaskDone)
    assert desk.status(fact.spec.id) is Status.CANCELLED
    assert desk.engine.memory.queued == 0
