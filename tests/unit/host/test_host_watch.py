"""Who is dead: told by silence while this node looked, never by clocks or by a time when nobody could be heard."""

from taskyard.host.nodes.watch import Watch
from taskyard.store.nodes import NodeRow

SILENCE = 6_000
BEAT = 1_000
# The database's clock is minutes away from this machine's.
DATABASE = 1_900_000_000_000


class Looks:
    """A watch that looks each second at one other node, which spoke `silent` ms ago."""

    def __init__(self, dead: frozenset[str] = frozenset()) -> None:
        self.watch = Watch("me", SILENCE, lambda node: node in dead)
        self.now = 5_000

    def look(self, silent: int, after: int = BEAT) -> bool:
        """Whether the other node is taken for dead."""
        self.now += after
        rows = [
            NodeRow(name, name, "", "", 0, 0, 0, 0, "{}", quiet) for name, quiet in (("me", 99_999), ("other", silent))
        ]
        self.watch.look(self.now, DATABASE + self.now, rows)
        assert self.watch.gone <= {"other"}
        return "other" in self.watch.gone


def test_a_node_that_speaks_lives_and_one_that_falls_silent_is_gone_after_the_silence() -> None:
    looks = Looks()
    assert not any(looks.look(silent) for silent in (100, 900, 500, 20))
    assert [looks.look(20 + n * BEAT) for n in range(1, 8)] == [False] * 5 + [True] * 2
    assert not looks.look(10), "one that wakes is there again"


def test_silence_while_nobody_could_be_heard_kills_nobody() -> None:
    looks = Looks()
    looks.look(100)
    looks.look(100)
    # The database was away for 30 s: all are old now, and have as long as ever to speak.
    assert not looks.look(30_000, after=30_000)
    assert [looks.look(30_000 + n * BEAT) for n in range(1, 7)] == [False] * 5 + [True]


def test_one_that_was_silent_long_before_this_node_came_is_gone_after_two_beats() -> None:
    looks = Looks()
    assert [looks.look(60_000 + n * BEAT) for n in range(4)] == [False, False, False, True]


def test_one_that_was_never_heard_and_is_not_silent_for_long_has_its_time() -> None:
    looks = Looks()
    assert [looks.look(500 + n * BEAT) for n in range(7)] == [False] * 6 + [True]


def test_a_process_that_is_known_to_be_dead_is_gone_at_once() -> None:
    assert Looks(frozenset({"other"})).look(10)
