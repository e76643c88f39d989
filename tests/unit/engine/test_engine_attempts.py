"""How attempts end and what follows: the right-hand column of API.md §5's table, row by row."""

import itertools
from typing import Any

import pytest

from taskyard.domain.outcomes import Effect, Outcome, Status
from taskyard.engine.facts import CancelAsked, Ended, RetryAsked, SlotFreed, Unregistered
from taskyard.engine.limits import Limits
from taskyard.engine.plan import AttemptOver, Dispatch, Refusal, TaskDone
from tests.support.turns import Desk
from tests.unit.engine.conftest import Desks


def test_completed(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(payload='{"x": 1}')
    assert desk.bodies[task, 1] == '{"x": 1}'
    desk.advance(70)
    desk.complete(task, '{"y":2}')
    row = desk.record(task).task
    assert (row.status, row.attempts, row.failures, row.server_id) == (Status.COMPLETED, 1, 0, "s1")
    assert (row.error, row.started_at, row.completed_at) == (None, desk.now - 70, desk.now)
    assert desk.store.result(task, None) == '{"y":2}'
    assert desk.history(task) == []
    assert desk.active("s1") == 0


def test_failed_is_retried_elsewhere_up_to_max_retries_behind_a_backoff(desk: Desk) -> None:
    desk.server("s1")
    desk.server("s2")
    task = desk.submit(max_retries=2, backoff_base_ms=1000, backoff_cap_ms=1500)
    servers = []
    for wait in (500, 750):  # half the ceilings, as this desk's chance has it
        servers.append(desk.server_of(task))
        desk.fail(task)
        assert desk.status(task) is Status.PENDING
        desk.advance(wait - 1)
        assert desk.status(task) is Status.PENDING
        desk.advance(1)
        assert desk.status(task) is Status.PROCESSING
        assert desk.server_of(task) != servers[-1]
    desk.fail(task)
    row = desk.record(task).task
    assert (row.status, row.attempts, row.failures) == (Status.FAILED, 3, 3)
    assert (row.error, row.http_status) == ("broken", 500)
    assert desk.outcomes(task) == [(1, "failed", 1), (2, "failed", 1), (3, "failed", 1)]


def test_failed_queues_anew_behind_those_that_wait(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    first = desk.submit(backoff_base_ms=0)
    second, third = desk.submit(), desk.submit()
    desk.fail(first)
    assert desk.dispatched() == [(second, 1, "s1")]
    desk.complete(second)
    assert desk.dispatched() == [(third, 1, "s1")]
    desk.complete(third)
    assert desk.dispatched() == [(first, 2, "s1")]


def test_failed_is_retried_here_when_there_is_no_elsewhere(desk: Desk) -> None:
    desk.server("s1")
    desk.server("other", capabilities=("else",))
    task = desk.submit(capabilities=())
    desk.take(Unregistered(server_id="other", who="ops", admin=True))
    desk.fail(task)
    desk.advance(500)
    assert desk.server_of(task) == "s1"


def test_a_retry_waits_for_elsewhere_while_that_is_only_full_and_comes_back_when_it_dies(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.server("s2", max_concurrent=1)
    busy = desk.submit(pin="s2")
    assert desk.server_of(busy) == "s2"
    desk.fail(task)
    desk.advance(500)
    assert desk.status(task) is Status.PENDING
    other = desk.submit()  # the one that waits holds up nobody
    assert desk.server_of(other) == "s1"
    for _ in range(3):
        desk.check("s2", False)
    assert desk.server_of(task) == "s1"


def test_the_task_itself_is_wrong(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=5)
    desk.end(task, Outcome.FAILED, http_status=422, final=True, error="HTTP 422: no prompt", error_code="E7")
    row = desk.record(task).task
    assert (row.status, row.attempts, row.failures, row.error, row.error_code) == (
        Status.FAILED,
        1,
        1,
        "HTTP 422: no prompt",
        "E7",
    )
    assert desk.active("s1") == 0


def test_timeout_is_retried_like_a_failure_and_the_last_ends_the_task_as_timeout(desk: Desk) -> None:
    desk.server("s1", max_concurrent=5)
    task = desk.submit(max_retries=1, timeout_ms=2000)
    desk.advance(1999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.PENDING
    assert desk.aborted() == [(task, 1, None)]
    desk.advance(500)
    desk.advance(2000)
    row = desk.record(task).task
    assert (row.status, row.failures) == (Status.TIMEOUT, 2)
    assert "timeout" in str(row.error)
    assert desk.outcomes(task) == [(1, "timeout", 1), (2, "timeout", 1)]


def test_a_timeout_then_a_failure_ends_as_failed(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=1, timeout_ms=2000)
    desk.advance(2500)
    desk.fail(task)
    assert desk.status(task) is Status.FAILED


def test_the_backends_own_word_timeout_frees_the_slot_at_once(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    desk.end(task, Outcome.TIMEOUT)
    assert desk.status(task) is Status.TIMEOUT
    assert desk.active("s1") == 0
    assert desk.aborted() == []


def test_declined_uses_up_no_attempt_and_keeps_its_place(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    first = desk.submit(max_retries=0)
    second = desk.submit()
    desk.decline(first, pause_ms=7000)
    assert desk.status(first) is Status.PENDING
    desk.advance(6999)
    assert desk.status(first) is Status.PENDING
    desk.advance(1)
    assert desk.dispatched() == [(first, 2, "s1")]
    assert desk.status(second) is Status.PENDING
    desk.complete(first)
    row = desk.record(first).task
    assert (row.attempts, row.failures) == (2, 0)


def test_declined_keeps_the_place_within_its_priority_and_bars_no_other_server(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    first = desk.submit()
    desk.submit()
    desk.server("s2", max_concurrent=1)  # takes the second
    third = desk.submit()
    urgent = desk.submit(priority=9)
    desk.decline(first)
    assert desk.status(first) is Status.PENDING
    desk.server("s3", max_concurrent=2)
    assert [task for task, _, _ in desk.log_of_dispatches()[-2:]] == [urgent, first]
    assert desk.status(third) is Status.PENDING


def test_a_429_without_a_time_pauses_a_second_doubling_to_thirty_and_starts_anew_after_an_answer(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    waits = []
    for _ in range(7):
        before = desk.now
        desk.decline(task)
        for _ in range(100):
            if desk.status(task) is not Status.PENDING:
                break
            desk.advance(500)
        waits.append(desk.now - before)
    assert waits == [1000, 2000, 4000, 8000, 16000, 30000, 30000]
    desk.complete(task)
    task = desk.submit()
    desk.decline(task)
    desk.advance(1000)
    assert desk.attempt_of(task) == 2


def test_at_most_five_minutes_are_believed(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.decline(task, pause_ms=86_400_000)
    for _ in range(299):
        desk.advance(1000)
        desk.check("s1", True)
    assert desk.status(task) is Status.PENDING
    desk.advance(1000)
    assert desk.status(task) is Status.PROCESSING


def test_successive_declines_on_one_server_fold_into_one_entry_with_a_count(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    for _ in range(3):
        desk.decline(task, pause_ms=10)
        desk.advance(10)
    desk.end(task, Outcome.UNREACHED)
    desk.check("s1", True)
    desk.fail(task)
    assert [(row.attempt, row.last, row.outcome, row.count) for row in desk.history(task)] == [
        (1, 3, "declined", 3),
        (4, 4, "unreached", 1),
        (5, 5, "failed", 1),
    ]


def test_unreached_holds_the_server_until_a_check_passes(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    desk.end(task, Outcome.UNREACHED, error="connection refused")
    assert desk.checks_ordered() == ["s1"]
    assert desk.server_status("s1") == "degraded"  # counts as a failed check
    assert desk.status(task) is Status.PENDING
    desk.check("s1", False)
    assert desk.status(task) is Status.PENDING
    desk.check("s1", True)
    assert desk.attempt_of(task) == 2
    desk.complete(task)
    row = desk.record(task).task
    assert (row.status, row.attempts, row.failures) == (Status.COMPLETED, 2, 0)


def test_many_unreached_at_once_count_as_one_failed_check(desk: Desk) -> None:
    desk.server("s1")
    tasks = [desk.submit() for _ in range(5)]
    desk.take(*[desk.ended(task, Outcome.UNREACHED) for task in tasks])
    assert desk.server_status("s1") == "degraded"
    assert desk.checks_ordered() == ["s1"]


def test_a_server_whose_checks_pass_while_dispatches_do_not_reach_it_is_tried_ever_more_seldom(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    tried = [desk.now]
    for _ in range(7):
        desk.end(task, Outcome.UNREACHED)
        for _ in range(400):
            desk.advance(100)  # checks are answered, and pass, as time goes on
            if desk.status(task) is Status.PROCESSING:
                break
        tried.append(desk.now)
    waits = [after - before for before, after in itertools.pairwise(tried)]
    assert waits[0] <= 100  # at once, when a check has passed
    assert waits[1:] == [1000, 2000, 4000, 8000, 16000, 30000]
    desk.complete(task)
    task = desk.submit()
    desk.end(task, Outcome.UNREACHED)
    desk.advance(100)
    assert desk.status(task) is Status.PROCESSING  # an answer makes a fresh start


def test_unreached_goes_to_another_server_at_once(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    desk.server("s2")
    desk.end(task, Outcome.UNREACHED)
    assert desk.dispatched() == [(task, 2, "s2")]


def test_misconfigured_sets_the_server_aside_with_one_probe_a_minute(desk: Desk) -> None:
    desk.server("s1", max_concurrent=5)
    task, other = desk.submit(max_retries=0), None
    set_aside: dict[str, Any] = {"http_status": 401, "effect": Effect.SET_ASIDE, "error": "HTTP 401"}
    desk.end(task, Outcome.MISCONFIGURED, **set_aside)
    assert desk.engine.memory.fleet.servers["s1"].misconfigured
    other = desk.submit()
    for second in range(60):
        assert {desk.status(task), desk.status(other)} == {Status.PENDING}, second
        desk.advance(1000)
    assert desk.dispatched() == [(task, 2, "s1")]  # one probe, though two wait and five slots are free
    assert desk.status(other) is Status.PENDING
    desk.end(task, Outcome.MISCONFIGURED, **set_aside)
    desk.advance(59_000)
    assert desk.status(task) is Status.PENDING
    desk.advance(1000)
    assert desk.attempt_of(task) == 3
    desk.complete(task)
    assert desk.attempt_of(other) == 1  # a good answer puts the server back
    assert desk.record(task).task.failures == 0
    assert [(row.outcome, row.count) for row in desk.history(task)] == [("misconfigured", 2)]


def test_misconfigured_goes_to_another_server_at_once(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    desk.server("s2")
    desk.end(task, Outcome.MISCONFIGURED, http_status=403, effect=Effect.SET_ASIDE)
    assert desk.dispatched() == [(task, 2, "s2")]


def test_a_new_key_puts_a_server_back_that_was_set_aside(desk: Desk) -> None:
    desk.server("s1", api_key="old")
    task = desk.submit()
    desk.end(task, Outcome.MISCONFIGURED, http_status=401, effect=Effect.SET_ASIDE)
    assert desk.status(task) is Status.PENDING
    desk.take(desk.registered("s1", api_key="new"))
    assert desk.attempt_of(task) == 2


def test_lost_keeps_its_place_and_has_a_cap_of_its_own(desks: Desks) -> None:
    desk = desks(Limits(max_lost=2))
    desk.server("s1", max_concurrent=1)
    task = desk.submit(max_retries=1)
    later = desk.submit()
    for lost in (1, 2):
        desk.restart()
        assert desk.status(task) is Status.PENDING
        desk.advance(6000)
        desk.check("s1", True)
        assert (desk.attempt_of(task), desk.status(later)) == (lost + 1, Status.PENDING)
    desk.restart()
    row = desk.record(task).task
    assert (row.status, row.lost, row.failures) == (Status.FAILED, 3, 0)
    assert [(r.outcome, r.count) for r in desk.history(task)] == [("lost", 1)] * 3


def test_with_max_retries_0_the_first_lost_ends_the_task(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(max_retries=0)
    desk.restart()
    row = desk.record(task).task
    assert (row.status, row.lost) == (Status.FAILED, 1)
    assert row.error


def test_an_attempt_given_up_holds_its_slot_for_the_linger(desks: Desks) -> None:
    desk = desks(Limits(linger_ms=5000))
    desk.server("s1", max_concurrent=1, cancel_url="http://s1/cancel")
    task, waiting = desk.submit(), desk.submit()
    desk.take(CancelAsked(task_id=task, owner="ann", who="ann"))
    assert desk.aborted() == [(task, 1, "http://s1/cancel")]
    desk.advance(4999)
    assert (desk.status(waiting), desk.active("s1")) == (Status.PENDING, 1)
    desk.advance(1)
    assert desk.attempt_of(waiting) == 1


def test_a_backend_that_confirms_frees_the_slot_at_once(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1, cancel_url="http://s1/cancel")
    task, waiting = desk.submit(), desk.submit()
    desk.take(CancelAsked(task_id=task, owner="ann", who="ann"))
    desk.take(SlotFreed(task_id=task, attempt=1))
    assert desk.attempt_of(waiting) == 1
    desk.take(SlotFreed(task_id=waiting, attempt=1))  # a running attempt is no given-up one
    assert desk.active("s1") == 1


def test_a_linger_outlives_a_restart(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    task, waiting = desk.submit(), desk.submit()
    desk.take(CancelAsked(task_id=task, owner="ann", who="ann"))
    desk.advance(2000)
    desk.restart()
    desk.check("s1", True)
    assert (desk.active("s1"), desk.status(waiting)) == (1, Status.PENDING)
    desk.advance(3000)
    assert desk.attempt_of(waiting) == 1


def test_an_attempt_that_was_cut_off_lingers_and_one_that_was_answered_does_not(desk: Desk) -> None:
    desk.server("s1")
    cut, answered = desk.submit(), desk.submit()
    desk.end(cut, Outcome.FAILED, http_status=None, cut_off=True, final=True, error="over the limit")
    assert (desk.status(cut), desk.active("s1")) == (Status.FAILED, 2)
    desk.end(answered, Outcome.FAILED, http_status=500, error="HTTP 500")
    assert (desk.status(answered), desk.active("s1")) == (Status.PENDING, 1)
    desk.advance(5000)
    assert desk.attempt_of(answered) == 2
    assert desk.active("s1") == 1


def test_a_retry_goes_where_it_failed_when_there_is_no_room_elsewhere_for_long(desk: Desk) -> None:
    desk.server("free")
    task = desk.submit(backoff_base_ms=0)
    desk.server("full", max_concurrent=1)
    while desk.active("full") == 0:
        desk.submit(timeout_ms=172_800_000)
    desk.end(task, Outcome.FAILED, http_status=500)
    desk.advance(29_999)
    assert desk.status(task) is Status.PENDING
    desk.advance(1)
    assert desk.server_of(task) == "free"


def test_retries_that_succeed_make_room_for_others(desk: Desk) -> None:
    desk.server("s1", max_concurrent=50)
    tasks = [desk.submit(backoff_base_ms=0) for _ in range(50)]
    desk.take(*[desk.ended(task, Outcome.FAILED, http_status=500) for task in tasks])
    began = desk.now
    while running := [task for task in tasks if desk.status(task) is Status.PROCESSING]:
        desk.take(*[desk.ended(task, Outcome.COMPLETED, result="1") for task in running])
    assert {desk.status(task) for task in tasks} == {Status.COMPLETED}
    assert desk.now == began


def test_retries_that_fail_make_no_room(desk: Desk) -> None:
    desk.server("s1", max_concurrent=50)
    tasks = [desk.submit(backoff_base_ms=0) for _ in range(50)]
    desk.take(*[desk.ended(task, Outcome.FAILED, http_status=500) for task in tasks])
    while running := [task for task in tasks if desk.status(task) is Status.PROCESSING]:
        desk.take(*[desk.ended(task, Outcome.FAILED, http_status=500) for task in running])
    retries = sum(attempt > 1 for _, attempt, _ in desk.dispatched())
    assert retries - 1 < max(3, 0.2 * (50 + retries))


def test_an_accepted_attempt_survives_a_restart_and_a_dispatching_one_is_lost(desk: Desk) -> None:
    desk.server("s1")
    accepted, dispatching = desk.submit(), desk.submit()
    desk.end(accepted, Outcome.ACCEPTED, http_status=202)
    desk.restart()
    assert desk.attempt_of(accepted) == 1
    assert desk.status(dispatching) is Status.PENDING
    assert desk.outcomes(dispatching) == [(1, "lost", 1)]
    desk.advance(5000)
    assert desk.attempt_of(dispatching) == 2


def test_an_accepted_attempt_has_a_minute_at_least_after_a_restart(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(timeout_ms=10_000, max_retries=0)
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    desk.advance(9_000)
    desk.restart()
    desk.advance(59_999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.TIMEOUT


@pytest.mark.parametrize("restart", [False, True])
def test_a_task_counts_as_retried_once_however_often_it_is_reopened(desk: Desk, restart: bool) -> None:
    desk.server("s1")
    never = desk.submit(max_retries=0)
    desk.fail(never)
    desk.ask(RetryAsked(task_id=never, owner=None, who="ops"))
    desk.fail(never)
    task = desk.submit(max_retries=1)
    for _ in range(3):
        desk.fail(task)
        if restart:
            desk.restart()
        desk.advance(10_000)
        desk.fail(task)
        assert desk.status(task) is Status.FAILED
        desk.ask(RetryAsked(task_id=task, owner=None, who="ops"))
    assert desk.store.stats_total("yard", "").retried == 1


def test_a_node_that_starts_again_and_again_still_times_an_attempt_out(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(timeout_ms=10_000, max_retries=0)
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    began = desk.now
    while desk.status(task) is Status.PROCESSING:
        assert desk.now - began < 120_000
        desk.advance(4_000)
        desk.restart()
    assert desk.status(task) is Status.TIMEOUT
    assert desk.now - began >= 60_000


def test_a_restart_well_within_the_limit_spends_nothing_of_the_minute(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(timeout_ms=100_000, max_retries=0)
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    desk.restart()
    desk.advance(99_000)
    desk.restart()
    desk.advance(59_999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.TIMEOUT


@pytest.mark.parametrize("others", [0, 40])
def test_the_retry_budget_bounds_retries_to_a_share_of_dispatches(desk: Desk, others: int) -> None:
    desk.server("s1", max_concurrent=1000)
    for _ in range(others):
        desk.complete(desk.submit())
    tasks = [desk.submit(backoff_base_ms=0, max_retries=1) for _ in range(60)]
    desk.take(*[desk.ended(task, Outcome.FAILED, http_status=500) for task in tasks])
    retried = [task for task, attempt, _ in desk.dispatched() if attempt == 2]
    allowed = 0
    while allowed < max(3, 0.2 * (60 + others + allowed)):
        allowed += 1
    assert len(retried) == allowed
    assert desk.attempt_of(desk.submit()) == 1  # the budget holds up no first attempt
    desk.advance(200_000)
    assert all(desk.status(task) is Status.PROCESSING for task in tasks)  # the rest only waited


def test_the_retry_budget_lets_three_out_at_least(desks: Desks) -> None:
    desk = desks(Limits(retry_budget=0.0))
    desk.server("s1", max_concurrent=1000)
    tasks = [desk.submit(backoff_base_ms=0) for _ in range(10)]
    desk.take(*[desk.ended(task, Outcome.FAILED, http_status=500) for task in tasks])
    assert sum(attempt == 2 for _, attempt, _ in desk.dispatched()) == 3


def test_an_attempt_over_is_told_with_its_times(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.advance(40)
    answered_at = desk.now
    desk.end(task, Outcome.ACCEPTED, http_status=202, responded_at=answered_at)
    desk.advance(60)
    desk.end(task, Outcome.COMPLETED, result="1", responded_at=None)
    (over,) = desk.of(AttemptOver)
    assert (over.outcome, over.took_ms, over.response_ms) == (Outcome.COMPLETED, 100, 40)


def test_a_callback_too_large_to_read_ends_the_task_and_its_caller_is_answered(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit()
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    too_large: dict[str, Any] = {"outcome": Outcome.FAILED, "final": True, "error": "larger than RESULT_MAX_BYTES"}
    answer = desk.ask(Ended(task_id=task, attempt=1, **too_large))
    assert isinstance(answer, TaskDone)
    assert answer.status is desk.status(task) is Status.FAILED
    again = desk.ask(Ended(task_id=task, attempt=1, **too_large))
    assert isinstance(again, Refusal)
    assert again.code == "superseded"


def test_a_dispatch_says_how_long_the_task_waited(desk: Desk) -> None:
    task = desk.submit()
    desk.advance(1234)
    desk.server("s1")
    waited = [effect.waited_ms for effect in desk.log if isinstance(effect, Dispatch) and effect.task_id == task]
    assert waited == [1234]
