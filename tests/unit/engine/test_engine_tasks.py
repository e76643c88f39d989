"""What people do to tasks and what a task's own times do: API.md §3 and §4, as far as the engine decides."""

import pytest

from taskyard.domain.outcomes import Outcome, Status, Word
from taskyard.engine.facts import CancelAsked, DrainBegan, Judged, PurgeAsked, RetryAsked
from taskyard.engine.limits import Limits
from taskyard.engine.plan import Changed, Refusal, Result, SubmitDone, TaskDone
from taskyard.engine.rows import EndedTask, NewTask, TaskRow
from taskyard.store.port import Purged
from tests.support.turns import Desk
from tests.unit.engine.conftest import Desks


def done(result: Result) -> Status:
    assert isinstance(result, TaskDone), result
    return result.status


def code(result: Result) -> str:
    assert isinstance(result, Refusal), result
    return result.code


def cancel(desk: Desk, task: str, owner: str | None = "ann") -> Result:
    return desk.ask(CancelAsked(task_id=task, owner=owner, who=owner or "admin"))


def retry(desk: Desk, task: str, owner: str | None = "ann") -> Result:
    return desk.ask(RetryAsked(task_id=task, owner=owner, who=owner or "admin"))


def purge(desk: Desk, task: str, owner: str | None = "ann") -> Result:
    return desk.ask(PurgeAsked(task_id=task, owner=owner, who=owner or "admin"))


def ended_as(desk: Desk, status: Status) -> str:
    """A task that has ended so, on server s1."""
    if "s1" not in desk.engine.memory.fleet.servers:
        desk.server("s1")
    task = desk.submit(max_retries=0, ttl_ms=50_000)
    if status is Status.CANCELLED:
        cancel(desk, task)
    else:
        outcome = {
            Status.COMPLETED: Outcome.COMPLETED,
            Status.FAILED: Outcome.FAILED,
            Status.TIMEOUT: Outcome.TIMEOUT,
        }[status]
        desk.end(task, outcome, result="1" if status is Status.COMPLETED else None, error="no")
    assert desk.status(task) is status
    return task


# --- order -----------------------------------------------------------------------------------------------------------


def test_higher_priority_first_then_by_place_never_by_id_or_clock(desk: Desk) -> None:
    specs = [("task_c", 0), ("task_b", 5), ("task_a", 0), ("task_e", 10), ("task_d", 5)]
    for number, (task, priority) in enumerate(specs):
        desk.submit(id=task, priority=priority, created_at=desk.now - 1000 * number)
    desk.server("s1", max_concurrent=5)
    assert [task for task, _, _ in desk.log_of_dispatches()] == ["task_e", "task_b", "task_d", "task_c", "task_a"]


def test_one_global_order_over_different_requirements(desk: Desk) -> None:
    first = desk.submit(capabilities=("gpu",))
    second = desk.submit()
    third = desk.submit(capabilities=("gpu",))
    urgent = desk.submit(capabilities=("ocr",), priority=1)
    desk.server("s1", max_concurrent=4, capabilities=("gpu", "ocr"))
    assert [task for task, _, _ in desk.log_of_dispatches()] == [urgent, first, second, third]


def test_a_task_that_no_server_can_take_stays_pending_and_holds_up_nobody(desk: Desk) -> None:
    desk.server("s1", capabilities=("gpu",), groups=("east",))
    waiting = [
        desk.submit(capabilities=("gpu", "ocr"), priority=10),
        desk.submit(group="west", priority=10),
        desk.submit(pin="s2", priority=10),
    ]
    served = [desk.submit(capabilities=("gpu",)), desk.submit(group="east"), desk.submit(pin="s1")]
    assert {desk.status(task) for task in served} == {Status.PROCESSING}
    desk.advance(100_000)
    assert {desk.status(task) for task in waiting} == {Status.PENDING}
    desk.server("s2", capabilities=("ocr", "gpu"), groups=("west",))
    assert {desk.server_of(task) for task in waiting} == {"s2"}


@pytest.mark.parametrize("capacity", [3, 40])
def test_order_holds_when_memory_has_only_a_part_of_the_queue(desks: Desks, capacity: int) -> None:
    desk = desks(Limits(window_entries=8, window_least=2, refill_bite=3, payload_bytes=40))
    facts = [desk.submitted(priority=n * 7 % 11, payload=f'{{"n":{n}}}') for n in range(60)]
    desk.take(*facts)
    expected = sorted(range(60), key=lambda n: (-(n * 7 % 11), n))
    desk.restart()
    desk.server("s1", max_concurrent=capacity)
    order: list[str] = []
    while len(order) < 60:
        running = [task for task in desk.engine.memory.tasks.values() if task.run is not None]
        assert len(running) == min(capacity, 60 - len(order))
        running.sort(key=lambda task: task.rank)
        order.append(running[0].id)
        desk.complete(running[0].id)
    assert order == [facts[n].spec.id for n in expected]
    assert [desk.bodies[fact.spec.id, 1] for fact in facts] == [fact.payload for fact in facts]


def test_a_task_that_only_the_store_holds_is_not_overtaken_by_one_of_another_pool(desks: Desks) -> None:
    desk = desks(Limits(window_entries=8, window_least=2, refill_bite=2))
    urgent = [desk.submit(capabilities=("a",), priority=5) for _ in range(12)]
    others = [desk.submit(capabilities=("b",)) for _ in range(12)]
    desk.server("s2", capabilities=("b",), max_concurrent=1)  # so that lane b has a pool of its own
    assert desk.server_of(others[0]) == "s2"
    desk.server("s1", capabilities=("a", "b"), max_concurrent=10)
    running = [task for task, _, server_id in desk.log_of_dispatches() if server_id == "s1"]
    assert running == urgent[:10]


# --- time ------------------------------------------------------------------------------------------------------------


def test_run_at_is_not_before(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(run_at=desk.now + 5000)
    desk.advance(4999)
    assert desk.status(task) is Status.PENDING
    desk.advance(1)
    assert desk.status(task) is Status.PROCESSING


def test_a_run_at_in_the_past_is_now(desk: Desk) -> None:
    desk.server("s1")
    assert desk.attempt_of(desk.submit(run_at=desk.now - 5000)) == 1


def test_ttl_ends_a_queued_task_from_its_creation_or_run_at(desk: Desk) -> None:
    task, later = desk.submit(ttl_ms=5000), desk.submit(ttl_ms=5000, run_at=desk.now + 3000)
    desk.advance(4999)
    assert desk.status(task) is Status.PENDING
    desk.advance(1)
    assert desk.status(task) is Status.TIMEOUT
    assert "ttl" in str(desk.record(task).task.error)
    desk.advance(2999)
    assert desk.status(later) is Status.PENDING
    desk.advance(1)
    assert desk.status(later) is Status.TIMEOUT


@pytest.mark.parametrize("accepted", [False, True])
def test_ttl_cancels_a_running_attempt(desk: Desk, accepted: bool) -> None:
    desk.server("s1", cancel_url="http://s1/cancel")
    task = desk.submit(ttl_ms=5000, max_retries=9)
    if accepted:
        desk.end(task, Outcome.ACCEPTED, http_status=202)
    desk.advance(5000)
    assert desk.aborted() == [(task, 1, "http://s1/cancel")]
    assert desk.status(task) is Status.TIMEOUT
    assert desk.outcomes(task) == [(1, "cancelled", 1)]
    assert desk.record(task).task.server_id == "s1"


def test_ttl_counts_retries_in(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(ttl_ms=5000, backoff_base_ms=20_000, backoff_cap_ms=20_000)
    desk.fail(task)
    desk.advance(5000)
    assert desk.status(task) is Status.TIMEOUT


def test_a_ttl_holds_over_a_restart(desk: Desk) -> None:
    task = desk.submit(ttl_ms=5000)
    desk.advance(3000)
    desk.restart()
    desk.advance(1999)
    assert desk.status(task) is Status.PENDING
    desk.advance(1)
    assert desk.status(task) is Status.TIMEOUT


def test_queue_timeout_is_the_wait_for_the_first_dispatch_only(desk: Desk) -> None:
    task = desk.submit(queue_timeout_ms=5000)
    desk.advance(4999)
    desk.server("s1")
    desk.fail(task)
    desk.advance(60_000)
    assert desk.status(task) is Status.PROCESSING
    never = desk.submit(capabilities=("nobody has it",), queue_timeout_ms=5000)
    desk.advance(5000)
    assert desk.status(never) is Status.TIMEOUT
    assert "queueTimeout" in str(desk.record(never).task.error)


def test_times_beyond_what_memory_holds_come_all_the_same(desks: Desks) -> None:
    desk = desks(Limits(wake_entries=8))
    tasks = [desk.submit(ttl_ms=1000 * (1 + n * 7 % 40)) for n in range(40)]
    desk.restart()
    for second in range(1, 41):
        desk.advance(1000)
        over = [n for n in range(40) if 1 + n * 7 % 40 <= second]
        assert [n for n, task in enumerate(tasks) if desk.status(task) is Status.TIMEOUT] == over


# --- cancel ----------------------------------------------------------------------------------------------------------


def test_cancel_of_a_pending_and_of_a_processing_task(desk: Desk) -> None:
    pending = desk.submit(capabilities=("none",))
    assert done(cancel(desk, pending)) is Status.CANCELLED
    desk.server("s1")
    running = desk.submit()
    assert done(cancel(desk, running)) is Status.CANCELLED
    assert desk.aborted() == [(running, 1, None)]
    waiting = desk.submit(run_at=desk.now + 1000)
    assert done(cancel(desk, waiting)) is Status.CANCELLED
    desk.advance(2000)
    assert {desk.status(task) for task in (pending, running, waiting)} == {Status.CANCELLED}
    assert (desk.engine.memory.queued, desk.engine.memory.processing) == (0, 0)


@pytest.mark.parametrize("how", ["cancel", "verdict", "ttl"])
def test_what_a_stopped_attempt_had_reached_is_kept(desk: Desk, how: str) -> None:
    desk.server("s1")
    task = desk.submit(ttl_ms=5000)
    began = desk.now
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    desk.advance(2000)
    desk.call_back(task, Word.PROCESSING, 1, progress=60, message="page 6")
    if how == "cancel":
        cancel(desk, task)
    elif how == "verdict":
        desk.ask(Judged(task_id=task, owner="ann", who="ann", word=Word.FAILED))
    else:
        desk.advance(3000)
    row = desk.record(task).task
    assert Status(row.status).ended
    assert (row.server_id, row.started_at, row.progress, row.message) == ("s1", began, 60, "page 6")


def test_cancel_of_a_task_that_only_the_store_holds(desks: Desks) -> None:
    desk = desks(Limits(window_entries=4, window_least=2, refill_bite=2))
    tasks = [desk.submit() for _ in range(12)]
    gone = [task for task in tasks if task not in desk.engine.memory.tasks]
    assert gone
    assert done(cancel(desk, gone[0])) is Status.CANCELLED
    desk.server("s1", max_concurrent=20)
    assert [task for task, _, _ in desk.log_of_dispatches()] == [task for task in tasks if task != gone[0]]


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.TIMEOUT, Status.CANCELLED])
def test_an_ended_task_cannot_be_cancelled(desk: Desk, status: Status) -> None:
    refusal = cancel(desk, ended_as(desk, status))
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("already_ended", status)
    assert status.name in refusal.details


def test_submitted_and_cancelled_in_one_turn(desk: Desk) -> None:
    desk.server("s1")
    fact = desk.submitted()
    submitted, cancelled = desk.ask_all(fact, CancelAsked(task_id=fact.spec.id, owner="ann", who="ann"))
    assert isinstance(submitted, SubmitDone)
    assert done(cancelled) is Status.CANCELLED
    assert desk.dispatched() == []
    assert desk.status(fact.spec.id) is Status.CANCELLED


# --- retry -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reload", [False, True])
@pytest.mark.parametrize("status", [Status.FAILED, Status.TIMEOUT, Status.CANCELLED])
def test_retry_queues_again_with_full_retries_and_a_fresh_ttl(desk: Desk, status: Status, reload: bool) -> None:
    task = ended_as(desk, status)
    before = desk.record(task).task
    history = desk.outcomes(task)
    if reload:
        desk.restart()
    desk.advance(40_000)
    assert done(retry(desk, task)) is Status.PENDING
    assert (desk.attempt_of(task), desk.server_of(task)) == (2, "s1")  # attempt numbers go on
    record = desk.record(task)
    assert (record.task.error, record.task.completed_at, desk.store.result(task, None)) == (None, None, None)
    assert record.run is not None
    assert (record.run.failures, record.run.deadline) == (0, desk.now + 50_000)
    assert desk.outcomes(task) == history  # stays
    desk.complete(task, '"at last"')
    after = desk.record(task).task
    assert (after.status, after.attempts, after.failures) == (Status.COMPLETED, 2, 0)
    assert (after.created_at, before.created_at) == (before.created_at, after.created_at)
    assert desk.store.result(task, None) == '"at last"'


def test_retry_of_completed_or_running_or_ready_is_refused(desk: Desk) -> None:
    completed = ended_as(desk, Status.COMPLETED)
    assert code(retry(desk, completed)) == "conflict"
    running = desk.submit()
    assert code(retry(desk, running)) == "conflict"
    ready = desk.submit(capabilities=("none",))
    assert code(retry(desk, ready)) == "conflict"
    assert [desk.status(task) for task in (completed, running, ready)] == [
        Status.COMPLETED,
        Status.PROCESSING,
        Status.PENDING,
    ]


@pytest.mark.parametrize("reload", [False, True])
def test_retry_makes_one_that_waits_for_a_time_due_at_once(desk: Desk, reload: bool) -> None:
    desk.server("s1")
    scheduled = desk.submit(run_at=desk.now + 3_600_000)
    backing_off = desk.submit(backoff_base_ms=3_600_000, backoff_cap_ms=3_600_000)
    desk.fail(backing_off)
    if reload:
        desk.restart()
    for task in (scheduled, backing_off):
        assert done(retry(desk, task)) is Status.PENDING
        assert desk.status(task) is Status.PROCESSING
    assert desk.attempt_of(backing_off) == 2
    assert desk.outcomes(backing_off) == [(1, "failed", 1)]
    desk.fail(backing_off)
    desk.complete(scheduled)
    assert desk.record(scheduled).task.status == Status.COMPLETED


def test_ended_and_retried_in_one_turn(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    answer = desk.ended(task, Outcome.FAILED, http_status=500)
    again = RetryAsked(ref=77, task_id=task, owner="ann", who="ann")
    desk.take(answer, again)
    assert (desk.attempt_of(task), desk.status(task)) == (2, Status.PROCESSING)
    assert [effect.status for effect in desk.of(Changed) if effect.task_id == task] == [
        Status.FAILED,
        Status.PENDING,
        Status.PROCESSING,
    ]


def test_cancelled_retried_and_cancelled_in_one_turn(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    facts = [kind(task_id=task, owner="ann", who="ann") for kind in (CancelAsked, RetryAsked, CancelAsked, RetryAsked)]
    for number, fact in enumerate(facts, 1):
        fact.ref = number
    desk.take(*facts)
    assert desk.status(task) in (Status.PROCESSING, Status.PENDING)
    assert desk.engine.memory.queued + desk.engine.memory.processing == 1
    desk.restart()
    assert desk.engine.memory.queued + desk.engine.memory.processing == 1


# --- purge -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.COMPLETED, Status.FAILED, Status.TIMEOUT, Status.CANCELLED])
def test_purge_erases_payload_and_result_and_the_record_stays(desk: Desk, status: Status) -> None:
    task = ended_as(desk, status)
    assert done(purge(desk, task)) is status
    with pytest.raises(Purged):
        desk.store.payload(task, None)
    with pytest.raises(Purged):
        desk.store.result(task, None)
    assert desk.record(task).task.purged
    assert desk.status(task) is status
    assert done(purge(desk, task)) is status


def test_purge_of_a_live_task_is_refused(desk: Desk) -> None:
    desk.server("s1")
    for task in (desk.submit(), desk.submit(capabilities=("none",))):
        assert code(purge(desk, task)) == "conflict"
        assert desk.store.payload(task, None) == '{"n":1}'


def test_a_purged_task_cannot_be_retried(desk: Desk) -> None:
    task = ended_as(desk, Status.FAILED)
    purge(desk, task)
    assert code(retry(desk, task)) == "conflict"
    assert desk.status(task) is Status.FAILED


def test_purged_and_retried_in_one_turn(desk: Desk) -> None:
    task = ended_as(desk, Status.FAILED)
    desk.take(
        PurgeAsked(task_id=task, owner="ann", who="ann"),
        RetryAsked(ref=5, task_id=task, owner="ann", who="ann"),
    )
    assert desk.status(task) is Status.FAILED
    assert desk.record(task).task.purged


def test_retried_and_purged_in_one_turn(desk: Desk) -> None:
    task = ended_as(desk, Status.FAILED)
    first, second = desk.ask_all(
        RetryAsked(task_id=task, owner="ann", who="ann"), PurgeAsked(task_id=task, owner="ann", who="ann")
    )
    assert done(first) is Status.PENDING
    assert code(second) == "conflict"
    assert desk.store.payload(task, None) == '{"n":1}'


# --- whose -----------------------------------------------------------------------------------------------------------


def test_anothers_task_is_not_found_and_an_admin_may_all(desk: Desk) -> None:
    task = ended_as(desk, Status.FAILED)
    for act in (cancel, retry, purge):
        assert code(act(desk, task, owner="bob")) == "not_found"
        assert code(act(desk, "task_none")) == "not_found"
    assert done(retry(desk, task, owner=None)) is Status.PENDING
    assert done(cancel(desk, task, owner=None)) is Status.CANCELLED
    assert done(purge(desk, task, owner=None)) is Status.CANCELLED
    assert [(row.who, row.action) for row in desk.store.audit(10) if row.target == task] == [
        ("admin", "task.purge"),
        ("admin", "task.cancel"),
        ("admin", "task.retry"),
    ]


# --- idempotency -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["one turn", "two turns", "restart"])
def test_the_same_key_and_body_make_one_task(desk: Desk, how: str) -> None:
    first, second = (desk.submitted(key="k", key_hash="h") for _ in range(2))
    if how == "one turn":
        one, two = desk.ask_all(first, second)
    else:
        one = desk.ask(first)
        desk.advance(5000)
        if how == "restart":
            desk.restart()
        two = desk.ask(second)
    assert isinstance(one, SubmitDone)
    assert isinstance(two, SubmitDone)
    assert (one.replayed, two.replayed) == (False, True)
    assert (two.task_id, two.created_at) == (one.task_id, one.created_at) == (first.spec.id, first.spec.created_at)
    assert desk.engine.memory.queued == 1
    assert desk.store.task(second.spec.id, None) is None


@pytest.mark.parametrize("at_once", [False, True])
def test_another_body_under_the_same_key_is_refused_and_another_subject_has_keys_of_its_own(
    desk: Desk, at_once: bool
) -> None:
    facts = [
        desk.submitted(key="k", key_hash="h"),
        desk.submitted(key="k", key_hash="another"),
        desk.submitted(key="k", key_hash="another", owner="bob"),
    ]
    results = desk.ask_all(*facts) if at_once else [desk.ask(fact) for fact in facts]
    assert [code(r) if isinstance(r, Refusal) else type(r) for r in results] == [SubmitDone, "key_reused", SubmitDone]
    assert desk.engine.memory.queued == 2


def test_a_key_is_kept_24_hours(desk: Desk) -> None:
    day = 86_400_000
    first = desk.ask(desk.submitted(key="k", key_hash="h"))
    desk.now += day - 1
    assert isinstance(replayed := desk.ask(desk.submitted(key="k", key_hash="h")), SubmitDone)
    assert replayed.replayed
    desk.now += 1
    fresh = desk.ask(desk.submitted(key="k", key_hash="another"))
    assert isinstance(fresh, SubmitDone)
    assert isinstance(first, SubmitDone)
    assert not fresh.replayed
    assert fresh.task_id != first.task_id


def test_a_refused_submission_takes_no_key(desks: Desks) -> None:
    desk = desks(Limits(max_queued=1))
    first = desk.submit()
    assert code(desk.ask(desk.submitted(key="k", key_hash="h"))) == "queue_full"
    cancel(desk, first)
    again = desk.ask(desk.submitted(key="k", key_hash="other"))
    assert isinstance(again, SubmitDone)
    assert not again.replayed


# --- limits ----------------------------------------------------------------------------------------------------------


def test_max_queued_and_max_queued_per_sub(desks: Desks) -> None:
    desk = desks(Limits(max_queued=5, max_queued_per_sub=3))
    facts = [desk.submitted(owner="ann") for _ in range(4)]
    results = desk.ask_all(*facts)
    assert [isinstance(r, SubmitDone) for r in results] == [True, True, True, False]
    assert code(results[3]) == "subject_queue_full"
    for _ in range(2):
        desk.submit(owner="bob")
    assert code(desk.ask(desk.submitted(owner="bob"))) == "queue_full"
    desk.restart()
    assert code(desk.ask(desk.submitted(owner="bob"))) == "queue_full"
    desk.server("s1", max_concurrent=1)  # one runs and is queued no more
    assert isinstance(desk.ask(desk.submitted(owner="bob")), SubmitDone)
    assert code(desk.ask(desk.submitted(owner="bob"))) == "queue_full"
    assert (desk.engine.memory.queued, sum(desk.engine.memory.queued_by_owner.values())) == (5, 5)


def test_max_lanes_counts_those_with_tasks_only(desks: Desks) -> None:
    desk = desks(Limits(max_lanes=3))
    tasks = [desk.submit(capabilities=(f"c{n}",)) for n in range(3)]
    assert code(desk.ask(desk.submitted(capabilities=("c3",)))) == "too_many_lanes"
    assert isinstance(desk.ask(desk.submitted(capabilities=("c1",))), SubmitDone)
    cancel(desk, tasks[0])
    assert isinstance(desk.ask(desk.submitted(capabilities=("c3",))), SubmitDone)
    assert code(desk.ask(desk.submitted(capabilities=("c0",)))) == "too_many_lanes"


def test_one_subject_cannot_take_all_lanes(desks: Desks) -> None:
    desk = desks(Limits(max_lanes=5, max_lanes_per_sub=2))
    first = desk.submit(capabilities=("c0",))
    ended = desk.submit(capabilities=("c1",))
    cancel(desk, ended)
    desk.submit(capabilities=("c2",))
    refused = desk.ask(desk.submitted(capabilities=("c3",)))
    assert code(refused) == "too_many_lanes"
    assert "MAX_LANES_PER_SUB" in str(refused)
    assert code(retry(desk, ended)) == "too_many_lanes"
    assert isinstance(desk.ask(desk.submitted(capabilities=("c0",))), SubmitDone), "a lane that is there"
    for n in (3, 4):
        assert isinstance(desk.ask(desk.submitted(owner="bob", capabilities=(f"c{n}",))), SubmitDone)
    assert isinstance(desk.ask(desk.submitted(capabilities=("c4",))), SubmitDone), "one that another brought in"
    cancel(desk, first)
    assert code(desk.ask(desk.submitted(capabilities=("c5",)))) == "too_many_lanes", "its second task waits on"
    desk.server("s1", capabilities=("c2",))
    assert done(retry(desk, ended)) is Status.PENDING, "the only task of a lane runs"


def test_a_retry_by_hand_is_no_way_around_the_limits(desks: Desks) -> None:
    desk = desks(Limits(max_queued=3, max_queued_per_sub=2))
    ended = [desk.submit() for _ in range(2)]
    for task in ended:
        cancel(desk, task)
    others = [desk.submit() for _ in range(2)]
    assert code(retry(desk, ended[0])) == "subject_queue_full"
    desk.submit(owner="bob")
    cancel(desk, others[0])
    assert done(retry(desk, ended[0])) is Status.PENDING
    cancel(desk, others[1])
    desk.submit(owner="bob")
    assert code(retry(desk, ended[1])) == "queue_full"
    assert desk.status(ended[1]) is Status.CANCELLED
    assert (desk.engine.memory.queued, desk.engine.memory.queued_by_owner) == (3, {"ann": 1, "bob": 2})


def test_a_retry_or_a_look_at_an_ended_task_makes_no_lane_beyond_the_limit(desks: Desks) -> None:
    desk = desks(Limits(max_lanes=2))
    ended = desk.submit(capabilities=("c0",))
    cancel(desk, ended)
    waiting = [desk.submit(capabilities=(f"c{n}",)) for n in (1, 2)]
    assert code(retry(desk, ended)) == "too_many_lanes"
    assert code(desk.ask(desk.submitted(capabilities=("c0",)))) == "too_many_lanes"
    assert sum(1 for lane in desk.engine.memory.fleet.lanes.values() if lane.queued) == 2
    cancel(desk, waiting[0])
    assert done(retry(desk, ended)) is Status.PENDING
    assert sum(1 for lane in desk.engine.memory.fleet.lanes.values() if lane.queued) == 2


def test_a_running_task_whose_lane_made_room_comes_back_into_it(desks: Desks) -> None:
    desk = desks(Limits(max_lanes=1))
    desk.server("s1", capabilities=("a",))
    running = desk.submit(capabilities=("a",))
    waiting = desk.submit(capabilities=("b",))
    assert desk.status(waiting) is Status.PENDING
    desk.fail(running)
    desk.advance(1000)
    assert desk.attempt_of(running) == 2
    desk.restart()
    desk.advance(6000)
    assert desk.attempt_of(running) == 3


def test_when_the_node_drains_nothing_new_is_dispatched(desk: Desk) -> None:
    desk.server("s1")
    running = desk.submit()
    desk.take(DrainBegan())
    task = desk.submit()
    desk.advance(1000)
    assert desk.status(task) is Status.PENDING
    desk.complete(running)
    assert desk.status(running) is Status.COMPLETED
    desk.restart()
    assert desk.status(task) is Status.PROCESSING


# --- counters --------------------------------------------------------------------------------------------------------


def test_counters_written_with_the_facts(desk: Desk) -> None:
    ended = [ended_as(desk, status) for status in Status if status.ended]
    task = desk.submit(type="image")
    desk.fail(task)
    desk.advance(1000)
    desk.advance(100)
    desk.complete(task)
    desk.restart()
    yard = desk.store.stats_total("yard", "")
    counted = (yard.created, yard.completed, yard.failed, yard.cancelled, yard.timed_out, yard.retried)
    assert counted == (len(ended) + 1, 2, 1, 1, 1, 1)
    server = desk.store.stats_total("server", "s1")
    assert (server.attempts_ok, server.attempts_failed) == (2, 3)  # `failed` and `timeout` attempts
    image = desk.store.stats_total("type", "image")
    assert (image.created, image.completed, image.waits, image.run_ms) == (1, 1, 1, 600)


def test_an_ended_record_has_the_columns_of_its_two_rows() -> None:
    assert TaskRow._fields == (*NewTask._fields, *EndedTask._fields[:-1], "purged", "retried")
    assert EndedTask._fields[-1] == "id"
