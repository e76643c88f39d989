"""The judge of times, on times that were made up."""

from taskyard.prove.torture.timeline import SLACK_MS, Event, Span, crowds, faults, first_dispatches, gone, stalls

LINGER_MS = 500
A, B, C = ("a", 1), ("b", 1), ("c", 1)


def got(at: int, attempt: tuple[str, int]) -> Event:
    return {"at": at, "event": "got", "task": attempt[0], "attempt": attempt[1], "server": "s", "busy": 1}


def left(at: int, attempt: tuple[str, int]) -> Event:
    return {"at": at, "event": "left", "task": attempt[0], "attempt": attempt[1], "server": "s"}


def excess(events: list[Event], over: dict[tuple[str, int], int], slots: int = 2) -> bool:
    return any(crowd.size > slots for crowd in crowds(events, gone(over, LINGER_MS), slots))


def test_as_many_as_slots_are_no_excess_and_one_more_is() -> None:
    assert not excess([got(1, A), got(2, B), left(3, A), got(3, C)], {})
    assert excess([got(1, A), got(2, B), got(3, C), left(3, A)], {})


def test_one_that_was_given_up_counts_for_its_linger() -> None:
    events = [got(1000, A), got(1000, B), got(3000, C)]
    assert excess(events, {A: 3000 - LINGER_MS + SLACK_MS + 1})
    assert not excess(events, {A: 3000 - LINGER_MS})


def test_what_ended_well_counts_until_its_backend_said_so() -> None:
    assert excess([got(1, A), got(2, B), got(3000, C), left(3001, A)], {B: 1}, slots=1)


def test_a_start_ends_with_the_first_attempt_that_began_after_it() -> None:
    ordeal = [{"at": at, "event": event} for at, event in ((0, "start"), (900, "kill"), (1000, "start"))]
    logs = [[got(300, A), got(1100, B)], [got(1400, C)]]
    # B had been sent before the kill, and came late.
    assert first_dispatches(ordeal, logs, {A: 290, B: 890, C: 1390}) == [300, 400]


def test_a_start_that_was_killed_before_its_first_dispatch_does_not_count() -> None:
    ordeal = [{"at": at, "event": event} for at, event in ((0, "start"), (900, "kill"), (1000, "start"))]
    assert first_dispatches(ordeal, [[got(1100, A)]], {A: 1100}) == [100]


def test_a_fault_lasts_until_the_node_works_again() -> None:
    events = [
        {"at": 10, "event": "fault", "what": "frozen"},
        {"at": 20, "event": "ready", "what": ""},
        {"at": 30, "event": "kill", "what": ""},
        {"at": 40, "event": "start", "what": ""},
        {"at": 90, "event": "ready", "what": ""},
    ]
    assert faults(events) == [Span(10, 20, "frozen"), Span(30, 90, "kill"), Span(40, 90, "start")]


def test_what_no_fault_covers_of_a_stall_is_told_apart() -> None:
    assert stalls([0, 50, 1050], [Span(100, 400, "frozen"), Span(300, 800, "kill")]) == [(1000, 300, "frozen, kill")]
    assert stalls([0, 1000], []) == [(1000, 1000, "nothing")]
