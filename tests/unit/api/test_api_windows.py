"""Points of a window and strips of health: a gap is a gap, and what was still is still."""

import random

import pytest

from taskyard.api.strips import FleetStrips, Spans, strip_of
from taskyard.api.windows import POINTS, begin_of, points_of
from taskyard.engine.rows import HealthRow, SeriesRow

STATUSES = ("online", "offline", "degraded", "maintenance", "draining", "initializing")
STEP = 1_000
NOW = 1_760_000_000_500
BEGIN = begin_of(NOW, STEP)


def row(at: int, since: int, waiting: int = 0, submitted: int = 1) -> SeriesRow:
    return SeriesRow(STEP, at, since, submitted, 0, 0, 0, 0, "", "", waiting, 0)


def told(points: list[SeriesRow | None]) -> list[tuple[int, int] | None]:
    return [None if point is None else (point.submitted, point.waiting) for point in points]


def test_the_last_point_is_the_one_that_is_not_over() -> None:
    assert BEGIN + (POINTS - 1) * STEP <= NOW < BEGIN + POINTS * STEP


def test_a_still_time_has_its_counts_and_a_time_without_a_node_has_none() -> None:
    at = [BEGIN + n * STEP for n in range(POINTS)]
    before = row(BEGIN - 50 * STEP, BEGIN - 99 * STEP, waiting=7)
    first = row(at[3], BEGIN - 99 * STEP, waiting=9)  # the same node had been counting all the time
    second = row(at[10], at[8] + 1)  # another one, that began within the ninth
    points = told(points_of([before, first, second], row(at[-1], at[8] + 1, waiting=2, submitted=5), BEGIN))
    assert points[:4] == [(0, 7)] * 3 + [(1, 9)]
    assert points[4:9] == [None] * 5
    assert points[9:11] == [(0, 9), (1, 0)]
    assert points[11:-1] == [(0, 0)] * (POINTS - 12)
    assert points[-1] == (5, 2)


def test_a_new_yard_has_nothing_before_its_first_second() -> None:
    points = told(points_of([], row(BEGIN + 200 * STEP, BEGIN + 200 * STEP, waiting=1), BEGIN))
    assert points[:201] == [None] * 200 + [(1, 1)]
    assert points[201:] == [(0, 1)] * (POINTS - 201)


def test_a_present_second_replaces_what_the_store_has_of_it() -> None:
    points = points_of([row(BEGIN, 0)], row(BEGIN, 0, submitted=8), BEGIN)
    assert points[0] is not None
    assert points[0].submitted == 8


def strip(*changes: tuple[int, str], watched: str = "yyyyyy") -> str:
    rows = [HealthRow("s", 1000 + at, status, None) for at, status in changes]
    return strip_of(rows, [letter == "y" for letter in watched], 1000, 100)


def test_a_letter_is_the_worst_status_of_its_time() -> None:
    assert strip((-5, "online")) == "oooooo"
    assert strip((-900, "offline"), (-5, "online")) == "oooooo"
    assert strip((0, "online"), (250, "offline"), (299, "online")) == "ooxooo"
    assert strip((0, "online"), (250, "degraded"), (450, "maintenance"), (460, "online")) == "ooddd" + "o"
    assert strip((0, "online"), (200, "draining")) == "oorrrr"


def test_where_nobody_looked_there_is_no_letter() -> None:
    assert strip() == "------"
    assert strip((250, "online")) == "--oooo"
    assert strip((0, "online"), watched="ynnyyn") == "o--oo-"


@pytest.mark.parametrize("seed", range(20))
def test_strips_that_are_kept_and_what_came_since_are_those_of_all_changes(seed: int) -> None:
    chance = random.Random(seed)
    servers = [f"gpu-{number}" for number in range(5)]
    changes = [
        HealthRow(chance.choice(servers), at, chance.choice(STATUSES), None)
        for at in sorted(chance.sample(range(900, 1_600), k=40))
    ]
    watched = [chance.random() < 0.9 for _ in range(6)]
    known, overlap = sorted(chance.choices(range(len(changes)), k=2), reverse=True)
    kept = FleetStrips(Spans(1000, 100, 6), changes[:known])
    for _ in range(2):
        found = kept.of(servers, changes[overlap:], watched)
        assert found == [
            strip_of([change for change in changes if change.server_id == server], watched, 1000, 100)
            for server in servers
        ]
