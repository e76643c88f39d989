"""What came over the network must not steer a terminal, and scripts must get it whole."""

import json
import time

import pytest

from taskyard.cli import show, tasks, watch

HOSTILE = "a\x1b[31mb\x00\x07\x9b2J\u202ec\nd\te\x7f\ud800[bold]:smile:"


def test_clean_strips_what_steers() -> None:
    assert show.clean(HOSTILE) == "a[31mb2Jc d e[bold]:smile:"
    assert show.clean(None) == ""
    assert show.clean(0) == "0"
    assert show.clean("简体 中文 é") == "简体 中文 é"


def harmless(text: str) -> bool:
    return all(character == "\n" or character.isprintable() for character in text)


def test_tables_facts_and_lines_are_clean(capsys: pytest.CaptureFixture[str]) -> None:
    show.console.cache_clear()
    show.table(("id", "message"), [(HOSTILE, "online")], title=HOSTILE)
    show.facts({"message": HOSTILE, "absent": None})
    show.line(HOSTILE)
    show.note(HOSTILE)
    told = capsys.readouterr()
    assert harmless(told.out)
    assert harmless(told.err)
    assert told.out.count("a[31mb2Jc d e[bold]:smile:") == 4
    assert "absent" not in told.out


def test_a_whole_task_is_printed_clean(capsys: pytest.CaptureFixture[str]) -> None:
    show.console.cache_clear()
    attempt = {
        "attempt": 1,
        "serverId": HOSTILE,
        "outcome": "failed",
        "startedAt": 1,
        "endedAt": 2001,
        "error": HOSTILE,
    }
    names = ("id", "type", "message", "error", "errorDetails", "result", "serverId")
    task = dict.fromkeys(names, HOSTILE) | {"tags": [HOSTILE], "history": [attempt], "createdAt": 1_700_000_000_123}
    tasks._print(task)
    told = capsys.readouterr().out
    assert harmless(told)
    assert "2023-11-14 22:13:20.123 UTC" in told
    assert "2s" in told
    assert harmless(watch.state(task))


def test_a_running_task_says_when_it_was_last_heard_of_and_how_long_it_may_take(
    capsys: pytest.CaptureFixture[str],
) -> None:
    show.console.cache_clear()
    now = int(time.time() * 1000)
    running = {"id": "task_1", "status": "PROCESSING", "startedAt": now - 60_000, "timeout": 3_600_000}
    tasks._print(running | {"updatedAt": now - 30_500})
    told = " ".join(capsys.readouterr().out.split())
    assert "last heard of 3" in told  # 30 s, or some more on a busy machine
    assert f"may take until {show.moment(now - 60_000 + 3_600_000)}, 58m" in told
    tasks._print(running | {"status": "PENDING", "updatedAt": now})
    assert "heard of" not in capsys.readouterr().out


def test_a_message_on_the_way_is_no_news_of_a_task_that_has_ended() -> None:
    task = {"id": "task_1", "progress": 50, "message": "half-way", "error": None, "completedAt": None}
    assert {"50%", "half-way"} <= set(tasks._row(task))
    assert not {"50%", "half-way"} & set(tasks._row(task | {"completedAt": 5}))
    assert "it broke" in tasks._row(task | {"completedAt": 5, "error": "it broke"})


def test_json_is_escaped_and_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    show.json_line({"中": HOSTILE})
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert harmless(told)
    assert "中" in told
    assert json.loads(told) == {"中": HOSTILE}


def test_a_list_is_one_object_a_line_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    show.json_list(iter([{"a": 1}, {"a": "\n"}]))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"a": 1}, {"a": "\n"}]
    show.json_list([])
    assert capsys.readouterr().out == ""


def test_a_list_is_one_array_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    show.json_list(iter([{"a": 1}]))
    assert json.loads(capsys.readouterr().out) == [{"a": 1}]


@pytest.mark.parametrize(
    ("ms", "told"),
    [
        (0, "0s"),
        (-5, "0s"),
        (12, "0.012s"),
        (1500, "1.5s"),
        (59_999, "59s"),
        (61_000, "1m 1s"),
        (7_440_000, "2h 4m"),
        (435_600_000, "5d 1h"),
        (None, ""),
        ("x", ""),
        (True, ""),
    ],
)
def test_span(ms: object, told: str) -> None:
    assert show.span(ms) == told


def test_times_that_are_none() -> None:
    assert show.moment(None) == show.ago(None) == ""
    assert show.moment(10**30) == str(10**30)
    assert show.ago(time.time() * 1000 - 3_600_000) == "1h 0m"


def test_percent_and_words() -> None:
    assert (show.percent(0.25), show.percent(None)) == ("25%", "")
    assert (show.words(["a", "b\x1b"]), show.words("ab")) == ("a, b", "")


def test_a_funnel_shows_the_steps_that_leave_fewer() -> None:
    steps = [("registered", 14), ("able", 3), ("alive", 3), ("free", 0), ("not_avoided", 0)]
    shown = show.funnel([{"step": step, "count": count} for step, count in steps])
    assert shown == "14 registered → 3 able → 0 free"
    assert show.funnel([]) == ""


def test_failures_are_shown_of_those_allowed() -> None:
    assert watch.failures({"failures": 1, "maxRetries": 3}) == "1/4"
    assert watch.failures({}) == ""


def test_watching_without_a_terminal_tells_each_change_once(capsys: pytest.CaptureFixture[str]) -> None:
    with watch._watching() as look:
        for progress in (None, None, 40, 40, 80):
            look(
                {"id": "task_1", "status": "PROCESSING", "progress": progress, "serverId": "s", "message": "at\x1b it"}
            )
    assert capsys.readouterr().err.splitlines() == [
        "task_1  PROCESSING  on s  at it",
        "task_1  PROCESSING  40%  on s  at it",
        "task_1  PROCESSING  80%  on s  at it",
    ]
