"""The reasons for waiting in words: which sentence fits which figures, and how these are written."""

import re
from collections.abc import Mapping
from typing import Any

import pytest

from taskyard.api.words import CHINESE, ENGLISH, Language, language, sentence, span, told, would, would_name
from taskyard.domain.server import Gate
from taskyard.engine.remedy import Kind
from taskyard.engine.why import Code, Reason

NOW = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC
AT = NOW + 12_000
ONE = {"count": 1, "able": 1, "servers": ["gpu-2"]}
TWO = {"count": 2, "able": 2, "servers": ["gpu-2", "gpu-3"]}
PART = {"count": 1, "able": 3, "servers": ["gpu-2"]}
SLOTS = {"used": 24, "slots": 24}
TRIED = {"at": AT, "server": "gpu-2", "failures": 2, "allowed": 4}
CLOSEST = {"closest": "gpu-3", "lacks": ["hdr"]}
# Code, parameters, English, Chinese.
SAID: list[tuple[str, dict[str, Any], str, str | None]] = [
    ("scheduled", {"at": AT}, "Not before 08:00:12 UTC (in 12s).", "定于 08:00:12 UTC 开始（12 秒后）。"),
    ("scheduled", {"at": NOW + 86_400_000}, "Not before 2027-01-16 08:00:00 UTC (in 1d 0h).", None),
    ("scheduled", {"at": None}, "They wait for their times.", "等待各自的开始时间。"),
    (
        "backoff",
        TRIED | {"outcome": "failed", "status": 503},
        "Attempt 2 of 4 failed on gpu-2 (503). Next try in 12s.",
        "第 2/4 次尝试在 gpu-2 失败（503），12 秒后重试。",
    ),
    ("backoff", TRIED | {"outcome": "failed"}, "Attempt 2 of 4 failed on gpu-2. Next try in 12s.", None),
    (
        "backoff",
        TRIED | {"outcome": "failed", "status": None},
        "Attempt 2 of 4 failed on gpu-2. Next try in 12s.",
        None,
    ),
    ("backoff", TRIED | {"outcome": "timeout"}, "Attempt 2 of 4 timed out on gpu-2. Next try in 12s.", None),
    ("backoff", TRIED | {"outcome": "lost"}, "Its attempt on gpu-2 was lost. Next try in 12s.", None),
    ("no_servers", {}, "No server is registered.", "还没有注册服务器。"),
    (
        "no_capability",
        CLOSEST | {"missing": ["8k"], "others": {"video": 4}},
        "No server has “8k”; 4 have “video”.",
        "没有服务器具备“8k”；有 4 台具备“video”。",
    ),
    ("no_capability", CLOSEST | {"missing": ["8k", "{x}"], "others": {}}, "No server has “8k”, “{x}”.", None),
    (
        "no_combination",
        CLOSEST | {"capabilities": ["4k", "hdr"]},
        "No one server has all of “4k”, “hdr”. Closest: gpu-3 lacks “hdr”.",
        "没有一台同时具备“4k”、“hdr”；最接近的 gpu-3 缺“hdr”。",
    ),
    ("no_group", {"group": "eu", "elsewhere": 3}, "None in group “eu” can; 3 elsewhere could.", None),
    ("pinned", {"server": "gpu-2", "state": "offline"}, "Only gpu-2 may take it, and it is offline.", None),
    (
        "all_down",
        TWO | {"count": 3, "states": {"offline": 2, "maintenance": 1}, "reason": "disk swap"},
        "All 3 that can are away: 2 offline, 1 in maintenance (“disk swap”).",
        "能做的 3 台都不可用：2 台离线、1 台维护中（“disk swap”）。",
    ),
    (
        "all_down",
        TWO | {"states": {"offline": 2}, "reason": None},
        "All 2 that can are away: 2 offline.",
        "能做的 2 台都不可用：2 台离线。",
    ),
    (
        "all_down",
        ONE | {"states": {"maintenance": 1}, "reason": "disk swap"},
        "The only one that can is away: gpu-2 is in maintenance (“disk swap”).",
        "唯一能做的 gpu-2 不可用：维护中（“disk swap”）。",
    ),
    (
        "all_down",
        ONE | {"states": {"draining": 1}, "reason": None},
        "The only one that can is away: gpu-2 is draining.",
        None,
    ),
    ("misconfigured", ONE | {"at": AT}, "gpu-2 refuses our key: set aside, one probe a minute.", None),
    (
        "misconfigured",
        TWO | {"at": AT},
        "2 servers refuse our key: gpu-2, gpu-3. They are set aside, one probe a minute.",
        "2 台服务器拒绝了密钥：gpu-2、gpu-3。已搁置，每分钟探测一次。",
    ),
    ("declined", TWO | {"at": NOW + 4_000}, "All 2 that can ask us to wait; the first is due in 4s.", None),
    ("declined", ONE | {"at": NOW + 4_000}, "gpu-2 asks us to wait; it is due in 4s.", None),
    (
        "declined",
        PART | {"at": NOW + 4_000},
        "3 can: 1 asked us to wait, 2 away. The first is due in 4s.",
        None,
    ),
    ("unreached", ONE | {"at": NOW + 3_000}, "gpu-2 cannot be reached; checked again in 3s.", None),
    (
        "unreached",
        TWO | {"at": None},
        "2 servers cannot be reached: gpu-2, gpu-3. The first is checked again in 0s.",
        None,
    ),
    ("avoiding", {"server": "gpu-2"}, "Waits for another server than gpu-2, where it failed.", None),
    ("full", TWO | SLOTS, "All 2 that can are full (24 of 24).", "能做的 2 台都满了（24/24）。"),
    ("full", TWO | SLOTS | {"ahead": 41}, "All 2 that can are full (24 of 24). 41 ahead.", None),
    ("full", ONE | SLOTS, "gpu-2, the only one that can, is full (24 of 24).", None),
    ("full", ONE | SLOTS | {"ahead": 1}, "gpu-2, the only one that can, is full (24 of 24). 1 ahead.", None),
    ("full", PART | SLOTS, "3 can: 1 full (24 of 24), 2 away.", None),
    ("full", PART | SLOTS | {"ahead": 2}, "3 can: 1 full (24 of 24), 2 away. 2 ahead.", None),
    ("next", {}, "A slot is free: it starts in the next turn.", "有空位，下一轮就开始。"),
    ("not_deciding", {"state": "draining"}, "No task is started: the node is draining.", None),
    (
        "retry_budget",
        {"at": NOW + 400},
        "Retries are held back, for they must stay few beside new work; looked at again in 1s.",
        None,
    ),
]


WOULD: list[tuple[Kind, dict[str, Any], str, str]] = [
    (Kind.SLOTS, {"server": "gpu-1", "more": 3}, "with 3 more slots on gpu-1.", "若 gpu-1 再多 3 个槽位"),
    (Kind.SLOTS, {"server": "gpu-1", "more": 1}, "with one more slot on gpu-1.", "若 gpu-1 再多一个槽位"),
    (Kind.CAPABILITY, {"server": "gpu-3", "capability": "8k"}, "if gpu-3 had “8k”.", "若 gpu-3 具备“8k”"),
    (Kind.PRIORITY, {"priority": 6}, "at priority 6.", "若优先级为 6"),
    (Kind.MAINTENANCE, {"server": "gpu-2"}, "if gpu-2 came back from maintenance.", "若 gpu-2 结束维护"),
]


@pytest.mark.parametrize(("kind", "params", "english", "chinese"), WOULD)
def test_what_would_start_it(kind: Kind, params: dict[str, Any], english: str, chinese: str) -> None:
    assert would(kind, params, ENGLISH) == f"It would start now {english}"
    assert would(kind, params, CHINESE) == f"{chinese}，它会立即开始。"


@pytest.mark.parametrize(("code", "params", "english", "chinese"), SAID)
def test_what_is_said(code: str, params: dict[str, Any], english: str, chinese: str | None) -> None:
    reason = Reason(Code(code), params)
    assert told(reason, NOW, ENGLISH) == english
    in_chinese = told(reason, NOW, CHINESE)
    assert in_chinese == (chinese or in_chinese)
    assert "{" not in in_chinese.replace("{x}", "")


def test_every_sentence_is_said_above() -> None:
    said = {sentence(Reason(Code(code), params)) for code, params, *_ in SAID}
    assert said | {would_name(kind, params) for kind, params, *_ in WOULD} == ENGLISH.sentences.keys()
    assert {kind for kind, *_ in WOULD} == set(Kind)


def test_both_languages_have_the_same_sentences_with_the_same_places() -> None:
    def places(texts: Mapping[str, str]) -> dict[str, list[str]]:
        return {name: sorted(re.findall(r"{(\w*)}", text)) for name, text in texts.items()}

    assert places(ENGLISH.sentences) == places(CHINESE.sentences)
    assert places(ENGLISH.states) == places(CHINESE.states)
    assert places(ENGLISH.counted) == places(CHINESE.counted)
    assert {gate.value for gate in Gate} <= ENGLISH.states.keys()
    assert ENGLISH.counted.keys() <= {gate.value for gate in Gate}


@pytest.mark.parametrize(
    ("accepted", "spoken"),
    [
        (None, ENGLISH),
        ("", ENGLISH),
        ("zh", CHINESE),
        ("zh-CN,zh;q=0.9,en;q=0.8", CHINESE),
        ("ZH-Hans", CHINESE),
        ("en;q=0.2, zh;q=0.1", ENGLISH),
        ("fr, zh;q=0.4", CHINESE),
        ("fr", ENGLISH),
        ("zh;q=0", ENGLISH),
        ("zh;q=x", ENGLISH),
    ],
)
def test_the_language_that_is_liked_best(accepted: str | None, spoken: Language) -> None:
    assert language(accepted) is spoken


@pytest.mark.parametrize(
    ("ms", "written"),
    [(0, "0s"), (1, "1s"), (59_001, "1m 0s"), (1_260_000, "21m 0s"), (11_520_000, "3h 12m"), (90_000_000, "1d 1h")],
)
def test_a_span_is_rounded_up(ms: int, written: str) -> None:
    assert span(ms, ENGLISH) == written
