"""API.md §5's table of answers, row by row and written from that page; what follows; back-off; the retry budget."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.outcomes import AFTER, WORDS, Effect, Outcome, Status, Word, backoff_ms, judge
from taskyard.domain.pool import RetryBudget

OK = (200, 201, 203, 204, 206, 299)
ACCEPTED_WORDS = ("processing", "accepted", "queued", "pending")
FINAL_WORDS = {
    "success": Outcome.COMPLETED,
    "completed": Outcome.COMPLETED,
    "error": Outcome.FAILED,
    "failed": Outcome.FAILED,
    "cancelled": Outcome.DECLINED,
    "timeout": Outcome.TIMEOUT,
}
SPELLINGS = (str.lower, str.upper, str.title)


def outcome(status: int, word: str | None = None, wait: bool = False, is_async: bool = False) -> Outcome:
    return judge(status, word, asks_to_wait=wait, server_is_async=is_async).outcome


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("status", OK)
def test_words_of_a_2xx(status: int, spelled: object, is_async: bool) -> None:
    assert callable(spelled)
    for word in ACCEPTED_WORDS:
        assert outcome(status, spelled(word), is_async=is_async) is Outcome.ACCEPTED
    for word, expected in FINAL_WORDS.items():
        verdict = judge(status, spelled(word), asks_to_wait=False, server_is_async=is_async)
        assert verdict.outcome is expected
        assert not verdict.final  # "error" is retried
        assert verdict.effect is (Effect.PAUSE if expected is Outcome.DECLINED else Effect.NONE)


@pytest.mark.parametrize("word", [None, "", "done", "ok", "healthy", "completedish"])
def test_a_2xx_otherwise_completes_or_is_accepted_by_a_server_registered_async(word: str | None) -> None:
    for status in OK:
        assert outcome(status, word) is Outcome.COMPLETED
        assert outcome(status, word, is_async=True) is Outcome.ACCEPTED


def test_202_is_accepted_whatever_it_says() -> None:
    for word in (None, "completed", "failed", "whatever"):
        assert outcome(202, word) is Outcome.ACCEPTED


@pytest.mark.parametrize("status", [408, 425, 500, 501, 502, 503, 504, 505, 507, 511, 520, 599])
def test_failures_are_retried(status: int) -> None:
    verdict = judge(status, None, asks_to_wait=False, server_is_async=False)
    assert (verdict.outcome, verdict.final) == (Outcome.FAILED, False)


@pytest.mark.parametrize("status", [400, 413, 422])
def test_the_task_itself_is_wrong(status: int) -> None:
    verdict = judge(status, "success", asks_to_wait=True, server_is_async=True)
    assert (verdict.outcome, verdict.final, verdict.effect) == (Outcome.FAILED, True, Effect.NONE)


@pytest.mark.parametrize(
    "status", [300, 301, 302, 304, 307, 308, 402, 404, 405, 406, 409, 410, 415, 418, 431, 451, 499]
)
def test_3xx_and_other_4xx_are_retried_elsewhere_and_make_suspicious(status: int) -> None:
    verdict = judge(status, None, asks_to_wait=False, server_is_async=False)
    assert (verdict.outcome, verdict.final, verdict.effect) == (Outcome.FAILED, False, Effect.SUSPECT)


def test_5xx_make_suspicious_and_the_listed_4xx_do_not() -> None:
    for status in (500, 501, 502, 503, 504, 599):
        assert judge(status, None, asks_to_wait=False, server_is_async=False).effect is Effect.SUSPECT
    for status in (408, 425):
        assert judge(status, None, asks_to_wait=False, server_is_async=False).effect is Effect.NONE


def test_asking_to_wait_declines() -> None:
    for wait in (False, True):
        verdict = judge(429, None, asks_to_wait=wait, server_is_async=False)
        assert (verdict.outcome, verdict.effect) == (Outcome.DECLINED, Effect.PAUSE)
    verdict = judge(503, None, asks_to_wait=True, server_is_async=False)
    assert (verdict.outcome, verdict.effect) == (Outcome.DECLINED, Effect.PAUSE)
    assert outcome(500, None, wait=True) is Outcome.FAILED


def test_a_refused_key_sets_the_server_aside() -> None:
    for status, word in itertools.product((401, 403), (None, "success")):
        verdict = judge(status, word, asks_to_wait=True, server_is_async=True)
        assert (verdict.outcome, verdict.final, verdict.effect) == (Outcome.MISCONFIGURED, False, Effect.SET_ASIDE)


def test_what_follows_an_outcome() -> None:
    assert set(AFTER) == set(Outcome) - {Outcome.ACCEPTED}
    assert {o: a.ends for o, a in AFTER.items() if a.ends} == {
        Outcome.COMPLETED: Status.COMPLETED,
        Outcome.CANCELLED: Status.CANCELLED,
    }
    assert {o for o, a in AFTER.items() if a.counter == "failures"} == {Outcome.FAILED, Outcome.TIMEOUT}
    assert AFTER[Outcome.TIMEOUT].exhausted is Status.TIMEOUT
    assert AFTER[Outcome.FAILED].exhausted is Status.FAILED
    assert {o for o, a in AFTER.items() if a.counter == "lost"} == {Outcome.LOST}
    assert AFTER[Outcome.LOST].exhausted is Status.FAILED
    assert {o for o, a in AFTER.items() if a.folds} >= {Outcome.DECLINED, Outcome.UNREACHED}
    assert not {Outcome.FAILED, Outcome.TIMEOUT} & {o for o, a in AFTER.items() if a.folds}


def test_words_of_a_callback() -> None:
    assert {word.value: outcome for word, outcome in WORDS.items()} == {
        "COMPLETED": Outcome.COMPLETED,
        "FAILED": Outcome.FAILED,
        "TIMEOUT": Outcome.TIMEOUT,
        "CANCELLED": Outcome.DECLINED,
        "PENDING": Outcome.DECLINED,
        "PROCESSING": None,
    }
    assert set(WORDS) == set(Word)


def test_ended_states() -> None:
    assert {status.name for status in Status if not status.ended} == {"PENDING", "PROCESSING"}


@settings(max_examples=300)
@given(
    failures=st.integers(0, 101),
    base=st.integers(0, 10**6),
    cap=st.integers(0, 10**9),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_backoff_is_full_jitter_under_an_exponential_ceiling(failures: int, base: int, cap: int, chance: float) -> None:
    ceiling = min(cap, base * 2 ** max(failures - 1, 0))
    wait = backoff_ms(failures, base, cap, chance)
    assert 0 <= wait <= ceiling
    if failures and ceiling:
        assert wait < ceiling
        assert abs(wait - chance * ceiling) <= 1


def test_backoff_reaches_its_ceilings() -> None:
    waits = [backoff_ms(n, 1000, 30_000, 0.999999) for n in range(1, 9)]
    assert waits == [999, 1999, 3999, 7999, 15999, 29999, 29999, 29999]
    assert [backoff_ms(n, 1000, 30_000, 0.0) for n in range(1, 9)] == [0] * 8


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(st.tuples(st.integers(0, 3000), st.booleans()), max_size=120),
    ratio=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
)
def test_the_retry_budget_against_a_plain_log(steps: list[tuple[int, bool]], ratio: float) -> None:
    """Retries of the last ten seconds (counted in whole seconds) against the dispatches of the same time."""
    budget = RetryBudget()
    now = 1_700_000_000_123
    log: list[tuple[int, bool]] = []
    for wait, retry in steps:
        now += wait
        recent = [was for at, was in log if at // 1000 > now // 1000 - 10]
        allowed = sum(recent) < max(3, ratio * len(recent))
        assert budget.allows(now, ratio) is allowed
        if retry and not allowed:
            continue
        budget.spend(now, retry=retry)
        log.append((now, retry))


def test_what_is_given_back_counts_no_more_and_what_is_forgotten_cannot_be() -> None:
    budget = RetryBudget()
    now = 1_700_000_000_000
    for _ in range(3):
        budget.spend(now, retry=True)
    assert not budget.allows(now + 9_000, 0.2)
    budget.give_back(now)
    assert budget.allows(now + 9_000, 0.2)
    budget.spend(now + 9_000, retry=True)
    budget.spend(now + 10_000, retry=True)
    budget.spend(now + 10_000, retry=True)
    budget.give_back(now)  # its second has passed; the same place counts another now
    assert not budget.allows(now + 10_000, 0.2)


def test_the_retry_budget_always_lets_three_out_and_a_fifth_of_many() -> None:
    budget = RetryBudget()
    now = 1_700_000_000_000

    def retries() -> int:
        out = 0
        while budget.allows(now, 0.2):
            budget.spend(now, retry=True)
            out += 1
        return out

    assert retries() == 3
    for _ in range(100):
        budget.spend(now, retry=False)
    out = 3 + retries()
    assert out == pytest.approx(0.2 * (100 + out), abs=1)
    now += 9_000
    assert retries() == 0
    now += 1_000
    assert retries() == 3
