"""Callbacks and the fence: every sentence of API.md §6 that the engine decides."""

from typing import Any

import pytest

from taskyard.domain.outcomes import Outcome, Status, Word
from taskyard.engine.facts import CalledBack, CancelAsked, Judged, RetryAsked
from taskyard.engine.plan import Refusal, Result, TaskDone
from tests.support.turns import Desk


def accepted(desk: Desk, **members: object) -> str:
    """A task whose first attempt waits for its callback."""
    if "s1" not in desk.engine.memory.fleet.servers:
        desk.server("s1")
    task = desk.submit(**members)
    desk.end(task, Outcome.ACCEPTED, http_status=202)
    assert desk.status(task) is Status.PROCESSING
    return task


def taken(result: Result, status: Status) -> None:
    assert isinstance(result, TaskDone), result
    assert result.status is status


def refused(result: Result, code: str, status: Status | None) -> None:
    assert isinstance(result, Refusal), result
    assert (result.code, result.status) == (code, status)


def test_completed_ends_the_attempt_and_the_task(desk: Desk) -> None:
    task = accepted(desk)
    taken(desk.call_back(task, Word.COMPLETED, 1, result='{"a":1}', metadata='{"m":1}'), Status.COMPLETED)
    assert desk.store.result(task, "ann") == '{"a":1}'
    assert desk.record(task).task.result_metadata == '{"m":1}'
    assert desk.active("s1") == 0


def test_completed_without_a_result_is_null(desk: Desk) -> None:
    task = accepted(desk)
    taken(desk.call_back(task, Word.COMPLETED, 1), Status.COMPLETED)
    assert desk.store.result(task, "ann") == "null"


def test_failed_is_retried_while_retries_are_left(desk: Desk) -> None:
    task = accepted(desk, max_retries=1)
    taken(desk.call_back(task, Word.FAILED, 1, error="no", error_code="E1", error_details="[1]"), Status.PENDING)
    assert desk.outcomes(task) == [(1, "failed", 1)]
    assert desk.history(task)[0].error == "no"
    desk.advance(1000)
    assert desk.attempt_of(task) == 2
    taken(desk.call_back(task, Word.FAILED, 2, error="no", error_code="E1", error_details="[1]"), Status.FAILED)
    row = desk.record(task).task
    assert (row.error, row.error_code, row.error_details, row.attempts, row.failures) == ("no", "E1", "[1]", 2, 2)


def test_timeout_ends_it_as_timeout(desk: Desk) -> None:
    task = accepted(desk, max_retries=0)
    taken(desk.call_back(task, Word.TIMEOUT, 1), Status.TIMEOUT)
    assert desk.outcomes(task) == [(1, "timeout", 1)]


@pytest.mark.parametrize("word", [Word.CANCELLED, Word.PENDING])
def test_cancelled_and_pending_hand_the_task_back_with_a_pause(desk: Desk, word: Word) -> None:
    task = accepted(desk, max_retries=0)
    taken(desk.call_back(task, word, 1), Status.PENDING)
    assert desk.outcomes(task) == [(1, "declined", 1)]
    desk.advance(999)
    assert desk.status(task) is Status.PENDING  # the pause of a decline without a time: 1 s
    desk.advance(1)
    assert desk.attempt_of(task) == 2
    assert desk.record(task).run is not None
    desk.complete(task)
    assert desk.record(task).task.failures == 0


def _wait_for_the_next_attempt(desk: Desk, task: str) -> int:
    before = desk.now
    while desk.status(task) is Status.PENDING:
        desk.advance(500)
    return desk.now - before


def test_tasks_handed_back_pause_ever_longer_until_a_callback_ends_one_otherwise(desk: Desk) -> None:
    task = accepted(desk)
    waits = []
    for _ in range(4):
        desk.call_back(task, Word.CANCELLED)
        waits.append(_wait_for_the_next_attempt(desk, task))
        desk.end(task, Outcome.ACCEPTED, http_status=202)
    assert waits == [1000, 2000, 4000, 8000]
    desk.call_back(task, Word.COMPLETED)
    task = accepted(desk)
    desk.call_back(task, Word.CANCELLED)
    assert _wait_for_the_next_attempt(desk, task) == 1000


def test_processing_reports_progress_clamped_and_a_message(desk: Desk) -> None:
    task = accepted(desk)
    for progress, shown in ((150, 100), (-3, 0), (40, 40)):
        desk.advance(1000)
        taken(desk.call_back(task, Word.PROCESSING, 1, progress=progress, message=f"at {shown}"), Status.PROCESSING)
        run = desk.record(task).run
        assert run is not None
        assert (run.progress, run.message) == (shown, f"at {shown}")


def test_progress_is_kept_at_most_once_a_second_and_the_last_one_counts_at_the_end(desk: Desk) -> None:
    task = accepted(desk)
    desk.advance(2000)
    for progress in (10, 20, 30):
        desk.call_back(task, Word.PROCESSING, 1, progress=progress)
    run = desk.record(task).run
    assert run is not None
    assert run.progress == 10
    desk.call_back(task, Word.COMPLETED, 1)
    assert desk.record(task).task.progress == 30


def test_processing_renews_the_heartbeat_timeout_and_never_the_timeout(desk: Desk) -> None:
    task = accepted(desk, heartbeat_timeout_ms=1000, timeout_ms=3500, max_retries=0)
    for _ in range(4):
        desk.advance(800)
        taken(desk.call_back(task, Word.PROCESSING, 1), Status.PROCESSING)
    desk.advance(299)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)  # 3500 ms after the dispatch
    assert desk.status(task) is Status.TIMEOUT
    assert "(timeout)" in str(desk.record(task).task.error)


def test_silence_beyond_the_heartbeat_timeout(desk: Desk) -> None:
    task = accepted(desk, heartbeat_timeout_ms=1000, max_retries=0)
    desk.advance(600)
    desk.call_back(task, Word.PROCESSING, 1)
    desk.advance(999)
    assert desk.status(task) is Status.PROCESSING
    desk.advance(1)
    assert desk.status(task) is Status.TIMEOUT
    assert "heartbeatTimeout" in str(desk.record(task).task.error)


def test_the_heartbeat_timeout_does_not_run_before_the_backend_accepted(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(heartbeat_timeout_ms=1000)
    desk.advance(5000)
    assert desk.status(task) is Status.PROCESSING


def test_one_that_comes_before_the_dispatch_answer_is_taken(desk: Desk) -> None:
    desk.server("s1", max_concurrent=1)
    task, other = desk.submit(), desk.submit()
    taken(desk.call_back(task, Word.COMPLETED, 1, result="1"), Status.COMPLETED)
    assert desk.dispatched() == [(other, 1, "s1")]
    desk.end(task, Outcome.ACCEPTED, 1, http_status=202)
    assert desk.status(task) is Status.COMPLETED
    assert desk.active("s1") == 1
    desk.end(other, Outcome.ACCEPTED, http_status=202)


def test_both_in_one_turn_in_either_order(desk: Desk) -> None:
    desk.server("s1")
    for callback_first in (True, False):
        task = desk.submit()
        answer = desk.ended(task, Outcome.ACCEPTED, 1, http_status=202)
        callback = CalledBack(task_id=task, attempt=1, word=Word.COMPLETED, result="7")
        desk.take(*((callback, answer) if callback_first else (answer, callback)))
        assert desk.status(task) is Status.COMPLETED
        assert desk.store.result(task, None) == "7"
        assert desk.active("s1") == 0


@pytest.mark.parametrize("word", [Word.COMPLETED, Word.FAILED, Word.TIMEOUT])
def test_the_same_final_status_again_is_agreed_to_and_the_first_result_stays(desk: Desk, word: Word) -> None:
    task = accepted(desk, max_retries=0)
    status = Status[word.name]
    taken(desk.call_back(task, word, 1, result="1" if word is Word.COMPLETED else None, error="first"), status)
    taken(desk.call_back(task, word, 1, result="2" if word is Word.COMPLETED else None, error="second"), status)
    if word is Word.COMPLETED:
        assert desk.store.result(task, None) == "1"
    else:
        assert desk.record(task).task.error == "first"


def test_twice_in_one_turn(desk: Desk) -> None:
    task = accepted(desk)
    facts = [CalledBack(task_id=task, attempt=1, word=Word.COMPLETED, result=str(n)) for n in range(3)]
    for result in desk.ask_all(*facts):
        taken(result, Status.COMPLETED)
    assert desk.store.result(task, None) == "0"


def test_another_final_status_than_the_first_is_refused_with_the_tasks_status(desk: Desk) -> None:
    task = accepted(desk)
    taken(desk.call_back(task, Word.COMPLETED, 1, result="1"), Status.COMPLETED)
    for word in set(Word) - {Word.COMPLETED}:
        refused(desk.call_back(task, word, 1), "already_ended", Status.COMPLETED)
    assert desk.store.result(task, None) == "1"


def test_the_same_failed_again_while_the_task_waits_for_its_retry(desk: Desk) -> None:
    task = accepted(desk)
    taken(desk.call_back(task, Word.FAILED, 1), Status.PENDING)
    taken(desk.call_back(task, Word.FAILED, 1), Status.PENDING)
    refused(desk.call_back(task, Word.TIMEOUT, 1), "superseded", Status.PENDING)
    refused(desk.call_back(task, Word.PROCESSING, 1), "superseded", Status.PENDING)
    assert desk.outcomes(task) == [(1, "failed", 1)]


@pytest.mark.parametrize("reload", [False, True])
def test_a_late_completed_is_taken_while_no_newer_attempt_was_dispatched(desk: Desk, reload: bool) -> None:
    task = accepted(desk, timeout_ms=1000, backoff_base_ms=60_000, backoff_cap_ms=60_000)
    desk.advance(1000)
    assert desk.status(task) is Status.PENDING
    assert desk.outcomes(task) == [(1, "timeout", 1)]
    if reload:
        desk.restart()
    taken(desk.call_back(task, Word.COMPLETED, 1, result="9"), Status.COMPLETED)
    assert desk.store.result(task, None) == "9"
    assert desk.record(task).task.server_id == "s1"
    assert desk.engine.memory.queued == 0
    taken(desk.call_back(task, Word.COMPLETED, 1, result="10"), Status.COMPLETED)
    assert desk.store.result(task, None) == "9"


def test_a_late_completed_ends_the_task_and_leaves_the_attempt_counted_as_given_up(desk: Desk) -> None:
    task = accepted(desk, timeout_ms=1000, backoff_base_ms=600_000, backoff_cap_ms=600_000)
    desk.advance(1500)
    assert desk.outcomes(task) == [(1, "timeout", 1)]
    counted = desk.store.stats_total("server", "s1")
    assert (counted.attempts_ok, counted.attempts_failed, counted.run_ms) == (0, 1, 0)
    taken(desk.call_back(task, Word.COMPLETED, 1), Status.COMPLETED)
    assert desk.store.stats_total("server", "s1") == counted._replace(online_ms=1500)
    assert desk.store.stats_total("yard", "").completed == 1
    assert desk.engine.memory.fleet.servers["s1"].averages == {}


def test_a_late_completed_of_an_older_attempt_is_refused(desk: Desk) -> None:
    task = accepted(desk, timeout_ms=1000)
    desk.server("s2")
    desk.advance(2000)
    assert (desk.attempt_of(task), desk.server_of(task)) == (2, "s2")
    refused(desk.call_back(task, Word.COMPLETED, 1, result="9"), "superseded", Status.PROCESSING)
    assert desk.status(task) is Status.PROCESSING
    taken(desk.call_back(task, Word.COMPLETED, 2, result="10"), Status.COMPLETED)
    refused(desk.call_back(task, Word.COMPLETED, 1, result="9"), "superseded", Status.COMPLETED)
    assert desk.store.result(task, None) == "10"


def test_a_late_word_of_an_older_attempt_frees_the_slot_that_it_lingers_in(desk: Desk) -> None:
    task = accepted(desk, timeout_ms=1000)
    desk.server("s2")
    desk.advance(2000)
    assert desk.active("s1") == 1
    refused(desk.call_back(task, Word.FAILED, 1), "superseded", Status.PROCESSING)
    assert desk.active("s1") == 0
    assert desk.active("s2") == 1


def test_the_dispatch_answer_of_a_superseded_attempt_changes_nothing(desk: Desk) -> None:
    desk.server("s1")
    task = desk.submit(timeout_ms=1000)
    desk.server("s2")
    desk.advance(2000)
    assert desk.attempt_of(task) == 2
    desk.end(task, Outcome.COMPLETED, 1, result='"late"')
    assert desk.status(task) is Status.PROCESSING
    desk.complete(task, '"right"')
    assert desk.store.result(task, None) == '"right"'


def test_a_task_that_ended_otherwise_refuses_so_that_the_backend_stops(desk: Desk) -> None:
    task = accepted(desk)
    desk.take(CancelAsked(task_id=task, owner="ann", who="ann"))
    for word in Word:
        refused(desk.call_back(task, word, 1, result="1"), "already_ended", Status.CANCELLED)


def test_without_a_proof_a_service_speaks_of_the_latest_attempt(desk: Desk) -> None:
    task = accepted(desk, timeout_ms=1000)
    desk.server("s2")
    desk.advance(2000)
    assert desk.attempt_of(task) == 2
    taken(desk.call_back(task, Word.COMPLETED, None, result="2"), Status.COMPLETED)
    assert desk.record(task).task.server_id == "s2"


def test_a_service_cannot_end_a_task_that_was_never_dispatched(desk: Desk) -> None:
    task = desk.submit()
    for word in Word:
        refused(desk.call_back(task, word, None, result="1"), "conflict", Status.PENDING)
    assert desk.status(task) is Status.PENDING


def test_an_unknown_task(desk: Desk) -> None:
    refused(desk.call_back("task_none", Word.COMPLETED, 1), "not_found", None)


# --- the verdict by hand --------------------------------------------------------------------------------------------


def verdict(desk: Desk, task: str, word: Word, owner: str | None = "ann", **members: Any) -> Result:
    return desk.ask(Judged(task_id=task, owner=owner, who=owner or "admin", word=word, **members))


@pytest.mark.parametrize("word", [Word.COMPLETED, Word.FAILED, Word.TIMEOUT, Word.CANCELLED])
@pytest.mark.parametrize("running", [False, True])
def test_a_verdict_by_hand_ends_the_task_from_pending_and_processing(desk: Desk, word: Word, running: bool) -> None:
    task = accepted(desk) if running else desk.submit()
    taken(verdict(desk, task, word, result="5", error="by hand"), Status[word.name])
    assert desk.aborted() == ([(task, 1, None)] if running else [])
    row = desk.record(task).task
    assert row.status == Status[word.name]
    assert desk.store.result(task, None) == ("5" if word is Word.COMPLETED else None)
    assert desk.engine.memory.queued == 0
    assert desk.engine.memory.processing == 0


def test_failed_by_hand_is_final_and_retried_by_retry_only(desk: Desk) -> None:
    task = accepted(desk, max_retries=5)
    taken(verdict(desk, task, Word.FAILED), Status.FAILED)
    desk.advance(600_000)
    assert desk.status(task) is Status.FAILED
    taken(desk.ask(RetryAsked(task_id=task, owner="ann", who="ann")), Status.PENDING)


def test_the_attempts_later_completed_is_refused_and_changes_nothing(desk: Desk) -> None:
    for word in (Word.FAILED, Word.CANCELLED, Word.TIMEOUT, Word.COMPLETED):
        task = accepted(desk)
        taken(verdict(desk, task, word, result="1"), Status[word.name])
        refused(desk.call_back(task, Word.COMPLETED, 1, result="2"), "already_ended", Status[word.name])
        assert desk.store.result(task, None) == ("1" if word is Word.COMPLETED else None)


def test_a_verdict_of_another_or_an_impossible_one(desk: Desk) -> None:
    task = desk.submit()
    refused(verdict(desk, task, Word.COMPLETED, owner="bob"), "not_found", None)
    refused(verdict(desk, task, Word.PROCESSING), "bad_request", None)
    refused(verdict(desk, task, Word.PENDING), "bad_request", None)
    taken(verdict(desk, task, Word.FAILED, owner=None), Status.FAILED)
    refused(verdict(desk, task, Word.COMPLETED), "already_ended", Status.FAILED)


def test_whichever_of_cancel_and_result_arrived_first_wins(desk: Desk) -> None:
    for cancel_first in (True, False):
        task = accepted(desk)
        cancel = CancelAsked(task_id=task, owner="ann", who="ann")
        callback = CalledBack(task_id=task, attempt=1, word=Word.COMPLETED, result="1")
        facts = (cancel, callback) if cancel_first else (callback, cancel)
        first, second = desk.ask_all(*facts)
        ended = Status.CANCELLED if cancel_first else Status.COMPLETED
        taken(first, ended)
        refused(second, "already_ended", ended)
        assert desk.status(task) is ended
