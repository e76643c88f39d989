"""Timers against a plain dict."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from taskyard.domain.timers import Timers

KEYS = st.integers(0, 12)
TIMES = st.integers(0, 30)


class TimersMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.timers: Timers[int] = Timers()
        self.model: dict[int, int] = {}

    @rule(key=KEYS, at=TIMES)
    def set(self, key: int, at: int) -> None:
        self.timers.set(key, at)
        self.model[key] = at

    @rule(key=KEYS, by_none=st.booleans())
    def drop(self, key: int, by_none: bool) -> None:
        if by_none:
            self.timers.set(key, None)
        else:
            self.timers.drop(key)
        self.model.pop(key, None)

    @rule(now=TIMES, most=st.integers(0, 4))
    def pop(self, now: int, most: int) -> None:
        popped = self.timers.pop_due(now, most)
        due = sorted(at for at in self.model.values() if at <= now)
        assert [self.model[key] for key in popped] == due[:most]
        for key in popped:
            del self.model[key]

    @invariant()
    def agrees_with_the_dict(self) -> None:
        assert len(self.timers) == len(self.model)
        assert self.timers.next_at() == min(self.model.values(), default=None)
        assert {key: self.timers.at(key) for key in range(13)} == {key: self.model.get(key) for key in range(13)}
        assert {key for key in range(13) if key in self.timers} == set(self.model)


TimersMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTimers = TimersMachine.TestCase


@settings(max_examples=20, deadline=None)
@given(st.lists(TIMES, min_size=300, max_size=400))
def test_one_key_moved_often_keeps_the_heap_small_and_right(times: list[int]) -> None:
    timers: Timers[str] = Timers()
    timers.set("other", 1000)
    for at in times:
        timers.set("moved", at)
    assert timers.at("moved") == times[-1]
    assert len(timers._heap) <= 64 + 2 * 2 + 1
    assert timers.pop_due(2000, 10) == ["moved", "other"]
