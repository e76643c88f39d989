"""Spreads: a quantile is near the true one, and nothing is lost when spreads are merged, written and read."""

from hypothesis import given
from hypothesis import strategies as st

from taskyard.domain.spread import Spread, lowest

VALUES = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


def spread(values: list[int]) -> Spread:
    made = Spread()
    made.add(values)
    return made


@given(VALUES, st.sampled_from([0.5, 0.95, 1.0]))
def test_a_quantile_is_off_by_an_eighth_at_most(values: list[int], share: float) -> None:
    found = spread(values).quantile(share)
    ordered = sorted(values)
    place = max(1, -(-int(share * len(values) * 1000) // 1000)) - 1
    near = ordered[max(0, place - 1) : place + 2]
    assert found is not None
    assert any(abs(found - value) <= value / 8 for value in near), (found, near)


@given(VALUES, VALUES)
def test_merged_written_and_read_it_counts_the_same(ours: list[int], theirs: list[int]) -> None:
    both = spread(ours)
    both.merge(spread(theirs))
    again = Spread.of(both.text())
    assert again.counts == both.counts == spread(ours + theirs).counts
    assert again.total == len(ours) + len(theirs)


@given(st.integers(0, 10**9))
def test_a_step_begins_where_the_one_before_ends(value: int) -> None:
    (step,) = spread([value]).counts
    assert lowest(step) <= value < lowest(step + 1)


def test_nothing_has_no_quantile() -> None:
    assert Spread().quantile(0.5) is None
    assert Spread.of("").counts == {}


def test_halving_keeps_the_shape() -> None:
    halved = spread([5] * 10 + [900])
    halved.halve()
    assert halved.counts == {5: 5}
