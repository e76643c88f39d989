"""The health machine by cells, from API.md's words: first check, one failed, three in a row, nothing in between."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskyard.domain.health import (
    FAILING_INTERVAL_MS,
    FIRST_INTERVAL_MS,
    STABLE_INTERVAL_MS,
    Health,
    State,
)

NOW = 1_000_000
INITIALIZING, ONLINE, DEGRADED, OFFLINE = State.INITIALIZING, State.ONLINE, State.DEGRADED, State.OFFLINE

# state before, checks (+ passed, - failed), the states after each of them
CELLS = [
    (INITIALIZING, "+", [ONLINE]),
    (INITIALIZING, "-", [OFFLINE]),
    (ONLINE, "+++", [ONLINE, ONLINE, ONLINE]),
    (ONLINE, "-", [DEGRADED]),
    (ONLINE, "---", [DEGRADED, DEGRADED, OFFLINE]),
    (ONLINE, "--+-", [DEGRADED, DEGRADED, DEGRADED, DEGRADED]),
    (ONLINE, "-+++", [DEGRADED, DEGRADED, DEGRADED, ONLINE]),
    (ONLINE, "-++-+++", [DEGRADED, DEGRADED, DEGRADED, DEGRADED, DEGRADED, DEGRADED, ONLINE]),
    (ONLINE, "-++---", [DEGRADED, DEGRADED, DEGRADED, DEGRADED, DEGRADED, OFFLINE]),
    (DEGRADED, "+++", [DEGRADED, DEGRADED, ONLINE]),
    (DEGRADED, "---", [DEGRADED, DEGRADED, OFFLINE]),
    (DEGRADED, "++-+++", [DEGRADED, DEGRADED, DEGRADED, DEGRADED, DEGRADED, ONLINE]),
    (OFFLINE, "+++", [OFFLINE, OFFLINE, ONLINE]),
    (OFFLINE, "++-+++", [OFFLINE, OFFLINE, OFFLINE, OFFLINE, OFFLINE, ONLINE]),
    (OFFLINE, "---", [OFFLINE, OFFLINE, OFFLINE]),
]


@pytest.mark.parametrize("heartbeats", [False, True], ids=["checks", "heartbeats"])
@pytest.mark.parametrize(("before", "checks", "after"), CELLS, ids=[f"{c[0]}{c[1]}" for c in CELLS])
def test_every_cell(before: State, checks: str, after: list[State], heartbeats: bool) -> None:
    health = Health(state=before)
    seen, now = [], NOW
    for check in checks:
        was = health.state
        now += 1000
        if check == "+":
            changed = health.passed(now, 0.5, checked=not heartbeats)
        else:
            changed = health.failed(now, 0.5, "broken", checked=not heartbeats)
        seen.append(health.state)
        assert changed is (health.state is not was)
        assert health.last_passed is (check == "+")
        assert health.last_error == (None if check == "+" else "broken")
        assert health.last_check == (None if heartbeats else now)
    assert seen == after


@settings(max_examples=200, deadline=None)
@given(checks=st.lists(st.booleans(), max_size=30))
def test_any_row_of_checks_agrees_with_the_words_of_the_contract(checks: list[bool]) -> None:
    health = Health()
    expected = INITIALIZING
    for index, passed in enumerate(checks):
        row = checks[: index + 1]
        three = len(row) >= 3 and len(set(row[-3:])) == 1
        if index == 0:
            expected = ONLINE if passed else OFFLINE
        elif expected is ONLINE and not passed:
            expected = OFFLINE if three else DEGRADED
        elif expected is not ONLINE and three:
            expected = ONLINE if passed else OFFLINE
        _ = health.passed(NOW, 0.5) if passed else health.failed(NOW, 0.5, "broken")
        assert health.state is expected


def test_the_first_row_of_three_includes_the_first_check() -> None:
    health = Health()
    health.passed(NOW, 0.5)
    assert health.state is ONLINE
    health = Health()
    health.failed(NOW, 0.5, "broken")
    for _ in range(2):
        health.passed(NOW, 0.5)
        assert health.state is OFFLINE
    health.passed(NOW, 0.5)
    assert health.state is ONLINE


def test_online_since_starts_with_each_return() -> None:
    health = Health()
    health.passed(NOW, 0.5)
    assert health.online_since == NOW
    health.passed(NOW + 10, 0.5)
    assert health.online_since == NOW
    health.failed(NOW + 20, 0.5, "broken")
    assert health.online_since is None
    for n in range(3):
        health.passed(NOW + 30 + n, 0.5)
    assert health.online_since == NOW + 32


def test_intervals_ten_seconds_at_first_five_when_failing_sixty_when_stable_with_jitter() -> None:
    health = Health()
    health.passed(NOW, 0.5)
    assert health.next_check - NOW == FIRST_INTERVAL_MS == 10_000
    health.failed(NOW, 0.5, "broken")
    assert health.next_check - NOW == FAILING_INTERVAL_MS == 5_000
    for _ in range(2):
        health.passed(NOW, 0.5)
        assert health.next_check - NOW == 5_000
    seen = []
    for _ in range(12):
        health.passed(NOW, 0.5)
        seen.append(health.next_check - NOW)
    assert seen[0] == 10_000
    assert seen == sorted(seen)
    assert seen[-1] == STABLE_INTERVAL_MS == 60_000
    low, high = Health(state=OFFLINE), Health(state=OFFLINE)
    low.failed(NOW, 0.0, "broken")
    high.failed(NOW, 0.999, "broken")
    assert 4_000 <= low.next_check - NOW < 5_000 < high.next_check - NOW <= 6_000


def test_suspicion_lowers_the_score_orders_one_check_and_degrades_at_most() -> None:
    health = Health()
    health.passed(NOW, 0.5)
    for bad in range(3):  # three bad inputs must not switch a fleet off
        before = health.score
        assert not health.suspect(NOW + 1 + bad)
        assert health.score < before
        assert health.next_check <= NOW + 1 + bad
        assert health.state is ONLINE
    changes = [health.suspect(NOW + 10) for _ in range(200)]
    assert sum(changes) == 1
    assert health.state is DEGRADED
    assert 0 <= health.score <= 100
    for state in (OFFLINE, INITIALIZING, DEGRADED):
        other = Health(state=state, score=1.0)
        assert not other.suspect(NOW)
        assert other.state is state


def test_lasting_suspicion_orders_one_check_in_five_seconds() -> None:
    health = Health()
    health.passed(NOW, 0.5)
    ordered = []
    for now in range(NOW, NOW + 30_000, 10):  # a hundred bad answers a second
        health.suspect(now)
        if health.next_check <= now:
            ordered.append(now - NOW)
            health.passed(now, 0.5)
    assert ordered == [0, 5_000, 10_000, 15_000, 20_000, 25_000]


def test_good_answers_give_the_score_back_and_passed_checks_the_state() -> None:
    health = Health(state=ONLINE)
    while health.state is ONLINE:
        health.suspect(NOW)
    for _ in range(3):
        health.passed(NOW, 0.5)
    assert health.state is ONLINE
    assert not health.suspect(NOW)  # not degraded again by the very next one
    for _ in range(200):
        health.good()
    assert 99 < health.score <= 100


def test_stale_is_offline_from_anywhere_and_needs_three_passed() -> None:
    for state in State:
        health = Health(state=state, online_since=NOW, passes=2)
        assert health.stale() is (state is not OFFLINE)
        assert health.state is OFFLINE
        assert health.online_since is None
        health.passed(NOW, 0.5)
        health.passed(NOW, 0.5)
        assert health.state is OFFLINE
        health.passed(NOW, 0.5)
        assert health.state is ONLINE
