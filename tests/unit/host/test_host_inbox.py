"""The inbox: what waits, in which order it goes, what is shed, and the parts of a batch that no turn could take."""

import pytest

from taskyard.domain.outcomes import Outcome, Word
from taskyard.domain.task import Spec
from taskyard.engine.facts import CalledBack, CancelAsked, Ended, Fact, Submitted
from taskyard.host.errors import Overloaded
from taskyard.host.inbox import Inbox

MOST = 1_000_000


def submitted(ref: int) -> Submitted:
    return Submitted(ref=ref, spec=Spec(id=f"task_{ref}", owner="ann", type="t", created_at=0), payload="{}")


def cancel(ref: int) -> CancelAsked:
    return CancelAsked(ref=ref, task_id="task_1", owner="ann", who="ann")


def ended(ref: int) -> Ended:
    return Ended(ref=ref, task_id=f"task_{ref}", attempt=1, outcome=Outcome.COMPLETED)


def refs(facts: list[Fact]) -> list[int]:
    return [fact.ref for fact in facts]


def test_submissions_wait_behind_all_others() -> None:
    inbox = Inbox(100, 100)
    for fact in (submitted(1), ended(2), submitted(3), cancel(4)):
        inbox.put(fact)
    assert refs(inbox.take(3, MOST)) == [2, 4, 1]
    assert refs(inbox.take(3, MOST)) == [3]
    assert not inbox.filled.is_set()


def test_submissions_and_calls_are_shed_but_never_what_backends_say() -> None:
    inbox = Inbox(submissions_most=1, calls_most=1)
    inbox.put(submitted(1))
    inbox.put(cancel(2))
    with pytest.raises(Overloaded):
        inbox.put(submitted(3))
    with pytest.raises(Overloaded):
        inbox.put(cancel(4))
    for ref in range(5, 9):
        inbox.put(ended(ref))
        inbox.put(CalledBack(ref=ref + 10, task_id="task_1", attempt=1, word=Word.COMPLETED))
    assert len(inbox) == 10
    inbox.take(MOST, MOST)
    inbox.put(cancel(4))
    inbox.put(submitted(3))


def test_what_is_adopted_leaves_as_much_room_as_before_when_it_is_taken() -> None:
    inbox = Inbox(submissions_most=1, calls_most=1)
    for ref in range(3):
        inbox.adopt(cancel(ref))
    assert refs(inbox.take(MOST, MOST)) == [0, 1, 2]
    inbox.put(cancel(3))
    with pytest.raises(Overloaded):
        inbox.put(cancel(4))


def test_the_halves_of_a_batch_go_first_each_by_itself() -> None:
    inbox = Inbox(100, 100)
    inbox.put(ended(9))
    inbox.split([ended(1), ended(2), ended(3)])
    first = inbox.take(MOST, MOST)
    assert refs(first) == [1]
    assert refs(inbox.take(MOST, MOST)) == [2, 3]
    inbox.split([ended(2), ended(3)])
    assert [refs(inbox.take(MOST, MOST)) for _ in range(3)] == [[2], [3], [9]]
    assert not inbox.filled.is_set()


def test_an_end_that_waits_in_a_half_is_known_to_wait() -> None:
    inbox = Inbox(100, 100)
    inbox.put(ended(9))
    inbox.split([cancel(1), ended(2), ended(3)])
    assert inbox.ended() == {("task_2", 1), ("task_3", 1), ("task_9", 1)}
    assert len(inbox) == 4
    assert refs(inbox.take_all()) == [1, 2, 3, 9]
    assert len(inbox) == 0
