"""The schedule: the same for the same seed, whatever a machine cannot do."""

from itertools import islice

from taskyard.prove.torture.schedule import DISK, FAULTS, ROUND, schedule


def test_a_seed_repeats_its_schedule() -> None:
    first, again, other = (list(islice(schedule(seed, 3), 50)) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_a_round_has_every_fault() -> None:
    assert {act.fault for act in islice(schedule(1, 3), len(ROUND))} == set(FAULTS)


def test_what_cannot_be_done_here_changes_nothing_else() -> None:
    everything = islice(schedule(3, 3), 3 * len(ROUND))
    rest = [act for act in everything if act.fault != DISK]
    assert list(islice(schedule(3, 3, without=frozenset({DISK})), len(rest))) == rest
