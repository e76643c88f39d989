"""The window against a plain sorted list that also holds what is outside memory."""

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from taskyard.domain.window import PLACE_LIMIT, Window, rank_of


@dataclass(eq=False)
class Entry:
    rank: int


class WindowMachine(RuleBasedStateMachine):
    """Arrivals, departures from anywhere, evictions and refills in any order; the store is a sorted list of ranks."""

    def __init__(self) -> None:
        super().__init__()
        self.window: Window[Entry] = Window()
        self.inside: dict[int, Entry] = {}
        self.stored: list[int] = []  # every queued rank, as the store has it
        self.place = 0

    @initialize(old=st.lists(st.tuples(st.integers(0, 10), st.integers(1, 1000)), max_size=30), cold=st.booleans())
    def start(self, old: list[tuple[int, int]], cold: bool) -> None:
        """A start finds everything in the store and nothing in memory."""
        self.place = 1000
        if cold:
            self.stored = sorted({rank_of(*pair) for pair in old})
            self.window = Window(tail=0)

    @rule(priority=st.integers(0, 10))
    def arrives(self, priority: int) -> None:
        self.place += 1
        self._add(rank_of(priority, self.place))

    @rule(priority=st.integers(0, 10), place=st.integers(1, 1000))
    def returns_to_its_place(self, priority: int, place: int) -> None:
        if rank_of(priority, place) not in self.stored:
            self._add(rank_of(priority, place))

    def _add(self, rank: int) -> None:
        self.stored = sorted([*self.stored, rank])
        if self.window.covers(rank):
            self.inside[rank] = entry = Entry(rank)
            self.window.add(entry)

    @precondition(lambda self: self.inside)
    @rule(data=st.data())
    def leaves(self, data: st.DataObject) -> None:
        rank = data.draw(st.sampled_from(sorted(self.inside)))
        self.window.remove(self.inside.pop(rank))
        self.stored.remove(rank)

    @precondition(lambda self: self.inside)
    @rule()
    def head_leaves(self) -> None:
        head = self.window.head()
        assert head is not None
        self.window.remove(head)
        del self.inside[head.rank]
        self.stored.remove(head.rank)

    @precondition(lambda self: len(self.stored) > len(self.inside))
    @rule(data=st.data())
    def leaves_the_store(self, data: st.DataObject) -> None:
        self.stored.remove(data.draw(st.sampled_from([rank for rank in self.stored if rank not in self.inside])))

    @precondition(lambda self: self.inside)
    @rule()
    def is_pushed_out(self) -> None:
        last = max(self.inside)
        assert self.window.evict() is self.inside.pop(last)

    @precondition(lambda self: self.window.tail is not None)
    @rule(limit=st.integers(1, 5))
    def is_refilled(self, limit: int) -> None:
        tail = self.window.tail
        assert tail is not None
        rows = [rank for rank in self.stored if rank >= tail][:limit]
        entries = [Entry(rank) for rank in rows]
        self.inside.update(zip(rows, entries, strict=True))
        self.window.refill(entries, complete=len(rows) < limit)

    @invariant()
    def memory_holds_the_exact_prefix(self) -> None:
        held = [entry.rank for level in self.window.levels() for entry in level]
        assert len(held) == len(self.window)
        assert held == sorted(self.inside)
        assert held == self.stored[: len(held)]
        assert [rank for rank in self.stored if self.window.covers(rank)] == held

    @invariant()
    def head_is_the_first_of_all(self) -> None:
        head = self.window.head()
        if head is not None:
            assert head.rank == self.stored[0]
            assert head is self.inside[head.rank]
        else:
            assert not self.stored or self.window.tail is not None


WindowMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestWindow = WindowMachine.TestCase


def test_rank_orders_by_priority_then_place_and_fits_a_store() -> None:
    pairs = [(priority, place) for priority in range(11) for place in (0, 1, 77, PLACE_LIMIT - 1)]
    by_rank = sorted(pairs, key=lambda pair: rank_of(*pair))
    assert by_rank == sorted(pairs, key=lambda pair: (-pair[0], pair[1]))
    assert min(rank_of(*pair) for pair in pairs) >= 0
    assert max(rank_of(*pair) for pair in pairs) < 1 << 53


def test_nothing_can_be_pushed_out_of_an_empty_window() -> None:
    with pytest.raises(IndexError):
        Window[Entry]().evict()
