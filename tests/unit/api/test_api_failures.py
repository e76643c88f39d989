"""Groups of failures: those of hours that are over and of the present ones make the same as all at once."""

import json
import random

import pytest

from taskyard.api.failures import TRENDS, Group, grouped, ranked
from taskyard.engine.rows import FailureRow

HOUR_MS = 3_600_000
NOW = 489_000 * HOUR_MS + 1_234_567


def row(chance: random.Random, owner: str, hour: int, group: int) -> FailureRow:
    minutes = {str(minute): [chance.randrange(3), chance.randrange(1, 4)] for minute in chance.sample(range(60), k=40)}
    servers = {f"gpu-{number}": chance.randrange(1, 9) for number in chance.sample(range(9), k=3)}
    at = hour * HOUR_MS + chance.randrange(HOUR_MS)
    return FailureRow(
        owner, hour, f"fail_{group}", "ocr", "failed", 500, None, f"no {owner} {hour}",
        sum(tasks for tasks, _ in minutes.values()), 9, json.dumps(minutes), json.dumps(servers),
        json.dumps([f"task_{chance.randrange(10**6):06}" for _ in range(2)]), at - 5, at, None, None,
    )  # fmt: skip


def told(group: Group) -> tuple[object, ...]:
    return (
        group.latest.id, group.latest.last_at, group.latest.error, group.first_at, group.tasks, group.trend,
        group.servers(), group.latest_tasks(),
    )  # fmt: skip


@pytest.mark.parametrize("window", TRENDS)
@pytest.mark.parametrize("seed", range(5))
def test_hours_that_are_over_may_be_grouped_apart(window: str, seed: int) -> None:
    chance = random.Random(seed)
    points, step = TRENDS[window]
    begin = (NOW // step - points + 1) * step
    present = NOW // HOUR_MS
    rows = [
        row(chance, owner, hour, group)
        for hour in range(present - 25, present + 1)
        for owner in ("ann", "bob")
        for group in range(6)
        if chance.random() < 0.7
    ]
    whole = [told(group) for group in ranked(grouped(rows, begin, points, step))]
    assert len(whole) > 1
    fresh = present - 1
    before = grouped([row for row in rows if row.hour < fresh], begin, points, step)
    kept = {name: told(group) for name, group in before.items()}
    for _ in range(2):
        after = grouped([row for row in rows if row.hour >= fresh], begin, points, step, before)
        assert [told(group) for group in ranked(after)] == whole
    assert {name: told(group) for name, group in before.items()} == kept, "they stay for the next who asks"
