"""Series, failures, loads and facets: what they tell adds up to what they were told, crashes in between or not."""

import string
import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Server
from taskyard.domain.task import Spec
from taskyard.engine.facets import Facets
from taskyard.engine.failures import _VARYING, BLANK, LINE_MOST, Failures, pattern
from taskyard.engine.rows import FailureRow, SeriesRow
from taskyard.engine.runtimes import LEAST, RunTimes
from taskyard.engine.series import COARSE, STEPS, Series
from taskyard.engine.service import Service

T0 = 1_760_000_000_000

# --- series ----------------------------------------------------------------------------------------------------------

EVENTS = st.lists(
    st.tuples(st.integers(0, 40_000), st.integers(0, 5), st.integers(0, 5), st.booleans()), min_size=1, max_size=40
)


@given(EVENTS)
def test_coarse_spans_add_up_whenever_the_node_dies(events: list[tuple[int, int, int, bool]]) -> None:
    stored: dict[tuple[int, int], SeriesRow] = {}
    told: dict[tuple[int, int], list[int]] = {}
    now, series = T0, Series(T0)
    for passed, submitted, completed, dies in events:
        now += passed
        if dies:
            series = Series(now, list(stored.values()))
        runs = list(range(completed))
        for row in series.take(now, (submitted, completed, 0, 0, 0), [7] * submitted, runs, submitted, completed):
            stored[row.step, row.at] = row
        for step in STEPS:
            counts = told.setdefault((step, now - now % step), [0, 0])
            counts[0] += submitted
            counts[1] += completed
    for step in STEPS:
        present = series.present(step).row(step)
        seen = {key: row for key, row in stored.items() if key[0] == step} | {(step, present.at): present}
        for key, counts in told.items():
            if key[0] == step and any(counts):
                row = seen[key]
                assert [row.submitted, row.completed] == counts
                assert [row.waits.count(":"), sum(int(part.split(":")[1]) for part in row.runs.split(",") if part)] == [
                    bool(counts[0]),
                    counts[1],
                ]


def test_a_turn_with_nothing_to_tell_writes_nothing() -> None:
    series = Series(T0)
    assert len(series.take(T0, (0, 0, 0, 0, 0), [], [], 0, 0)) == 1, "that it began to count is told"
    assert series.take(T0 + 5, (0, 0, 0, 0, 0), [], [], 0, 0) == []
    assert series.take(T0 + COARSE, (0, 0, 0, 0, 0), [], [], 0, 0) == []
    assert {row.step for row in series.take(T0 + 2 * COARSE, (1, 0, 0, 0, 0), [], [], 1, 0)} == set(STEPS)


def test_the_last_second_is_known_and_a_still_one_has_its_counts() -> None:
    series = Series(T0)
    series.take(T0 + 100, (3, 0, 0, 0, 0), [], [], 3, 0)
    series.take(T0 + 1_100, (2, 1, 0, 0, 0), [], [], 4, 0)
    assert [series.second(T0 + at).submitted for at in (0, 1_000, 2_000)] == [3, 2, 0]
    assert series.second(T0 + 2_000).waiting == 4


# --- failures --------------------------------------------------------------------------------------------------------

WORDS = st.lists(st.text(string.ascii_lowercase, min_size=1, max_size=8), min_size=1, max_size=5)
HEX = "0123456789abcdef"


def varying(rng: Random) -> str:
    """Something that differs from task to task."""
    kind = rng.randrange(7)
    digits = "".join(rng.choice(HEX) for _ in range(32))
    match kind:
        case 0:
            return str(rng.randrange(10**9))
        case 1:
            return f"{rng.random() * 100:.3f}"
        case 2:
            return f"task_{digits}"
        case 3:
            return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
        case 4:
            return f"0x{digits[:12]}"
        case 5:
            return f"http://10.0.0.{rng.randrange(255)}:{rng.randrange(9999)}/run/{digits[:6]}?x={rng.randrange(99)}"
        case _:
            return f"/data/{digits[:5]}/part.{rng.randrange(99)}.bin"


@given(WORDS, st.integers(0, 2**32), st.integers(0, 2**32), st.text(max_size=30))
def test_errors_that_differ_in_what_varies_alone_have_one_pattern(
    words: list[str], ours: int, theirs: int, below: str
) -> None:
    shape = Random(ours)
    kinds = [shape.randrange(2**32) for _ in words]

    def error(seed: int) -> str:
        said = []
        for place, word in enumerate(words):
            kind = Random(kinds[place])
            which = kind.randrange(7)
            rng = Random(seed + place)
            while True:  # one of the same kind
                made = Random(rng.randrange(2**32))
                state = made.getstate()
                if made.randrange(7) == which:
                    made.setstate(state)
                    break
            said += [word, varying(made)]
        return " ".join(said) + "\n" + below

    one, other = pattern(error(ours)), pattern(error(theirs))
    assert one == other == " ".join(part for word in words for part in (word, BLANK))[:LINE_MOST]


@given(WORDS, WORDS)
def test_other_words_are_another_pattern(ours: list[str], theirs: list[str]) -> None:
    one, other = " ".join(ours), " ".join(theirs)
    assert (pattern(one) == pattern(other)) is (one == other)


@given(st.text(max_size=3000))
def test_any_text_has_a_pattern_that_is_short_and_stays(error: str) -> None:
    once = pattern(error)
    assert len(once) <= LINE_MOST
    assert "\n" not in once
    assert pattern(once) == once


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        ("CUDA out of memory: tried 2.50 GiB (GPU 3)", "CUDA out of memory: tried … GiB (GPU …)"),
        ("HTTP 503: upstream 10.1.2.3:9000 reset", "HTTP …: upstream … reset"),
        ("no such file: /var/lib/m/9.bin", "no such file: …"),
        ("-https://host/a?b=1 failed", "-… failed"),
        ("\n\n  first\tline  \nsecond", "first line"),
        ("either/or and deadbeef stay", "either/or and deadbeef stay"),
    ],
)
def test_patterns_read_well(error: str, wanted: str) -> None:
    assert pattern(error) == wanted


def test_what_varies_is_looked_for_in_a_time_that_grows_with_the_text() -> None:
    def looked(size: int) -> float:
        begun = time.thread_time()
        _VARYING.sub(BLANK, "a" * size)
        return time.thread_time() - begun

    short, long = (min(looked(size) for _ in range(3)) for size in (2_000, 32_000))
    assert long < 80 * short, "16 times as long a text, where its square is 256 times as much"


def fail(failures: Failures, now: int, owner: str, task: str, error: str, *, ends: bool) -> None:
    failures.attempt(now, owner, task, "ocr", "failed", 500, None, error, "gpu-1", 1000, None)
    if ends:
        failures.task(now, owner, task, "ocr", "failed", 500, None, error, alone=False)


def test_groups_go_on_after_a_crash_and_begin_anew_each_hour() -> None:
    failures = Failures(10)
    stored: dict[tuple[str, int, str], FailureRow] = {}
    for number in range(6):
        if number == 3:
            failures = Failures(
                10, [row for row in stored.values() if row.hour == max(r.hour for r in stored.values())]
            )
        now = T0 + number * 1_000_000  # the sixth is of the next hour or the one after
        fail(failures, now, "ann", f"task_{number}", f"no room for {number} bytes", ends=number % 2 == 0)
        for row in failures.rows():
            stored[row.owner, row.hour, row.id] = row
    assert len({row.id for row in stored.values()}) == 1
    assert sum(row.attempts for row in stored.values()) == 6
    assert sum(row.tasks for row in stored.values()) == 3
    assert {row.error for row in stored.values()} == {"no room for … bytes"}
    assert failures.rows() == []


def test_too_many_groups_go_into_one() -> None:
    failures = Failures(3)
    for number in range(10):
        fail(failures, T0, "ann", f"task_{number}", "word " * (number + 1), ends=True)
    rows = failures.rows()
    assert len(rows) == 4
    assert {row.outcome: row.tasks for row in rows if row.outcome == "other"} == {"other": 7}


# --- servers ---------------------------------------------------------------------------------------------------------


def test_a_servers_load_is_that_of_the_time_between() -> None:
    server = Server(id="s", name="s", predict="", health_url="", registered_at=T0, max_concurrent=4)
    service = Service(T0)
    begin = T0 // COARSE * COARSE
    none: dict[str, int] = {}
    service.take(T0 + 1_000, [server], none, {}, {}, last=False)
    server.runs = {object(), object()}  # type: ignore[arg-type]
    service.take(T0 + 2_000, [server], {"s": 2}, {("s", "ocr", Outcome.TIMEOUT): 1}, {}, last=False)
    server.runs = set()
    service.take(T0 + 6_000, [server], none, {}, {"s": (1, 0, 70, 1, 30)}, last=False)
    (row,) = service.take(T0 + 8_000, [server], none, {}, {}, last=True)
    assert (row.at, row.busy_ms, row.slot_ms) == (begin, 2 * 4_000, 4 * 7_000)
    assert (row.picks, row.completed, row.run_ms, row.outcomes) == (2, 1, 70, '{"ocr": [0, 0, 1, 0]}')
    again = Service(T0 + 9_000, [row])
    (later,) = again.take(T0 + 9_500, [server], {"s": 1}, {}, {}, last=True)
    assert (later.picks, later.busy_ms) == (3, row.busy_ms)


def test_a_change_of_status_is_told_once() -> None:
    service = Service(T0)
    told = [service.changed("s", status, None, T0 + n) for n, status in enumerate(("online", "online", "offline"))]
    assert [row and row.status for row in told] == ["online", None, "offline"]


# --- facets and run times --------------------------------------------------------------------------------------------


def test_a_value_is_told_once_an_hour_and_not_without_bound() -> None:
    facets = Facets(3)

    def values(now: int, tag: str) -> set[tuple[str, str, str]]:
        facets.note(now, Spec(id="t", type="ocr", owner="ann", created_at=now, tags=(tag,)))
        return {row[:3] for row in facets.rows(now)}

    both = {(field, owner, value) for field, value in (("type", "ocr"), ("tag", "a")) for owner in ("", "ann")}
    assert values(T0, "a") == both | {("owner", "", "ann")}
    assert values(T0, "a") == set()
    assert [len(values(T0, tag)) for tag in "bcde"] == [2, 2, 0, 0]
    assert ("type", "ann", "ocr") in values(T0 + 3_600_000, "a")


def test_run_times_say_nothing_of_a_few() -> None:
    times = RunTimes()
    times.learn("ocr", [100] * (LEAST - 1))
    assert times.p95("ocr") is None
    times.learn("ocr", [100])
    assert times.p95("ocr") in range(88, 113)
