"""The reasons for waiting in words, English and Chinese: which sentence, and how its figures are written.

Knows codes and parameters alone. Both languages have the same sentences with the same places for figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from taskyard.engine.remedy import Kind
from taskyard.engine.why import Code, Reason

_SECOND_MS = 1000
_DAY_S = 86_400


class Language(NamedTuple):
    """Sentences by name; what a server or node in a state is said to do, and how servers are counted by it; and the
    ways to write a duration (seconds, minutes, hours, days), a list, a name, an aside, and that one or more have it."""

    sentences: Mapping[str, str]
    states: Mapping[str, str]
    counted: Mapping[str, str]
    units: tuple[str, str, str, str]
    joint: str
    quoted: str
    aside: str
    have: tuple[str, str]


ENGLISH = Language(
    {
        "scheduled": "Not before {clock} (in {span}).",
        "scheduled_lane": "They wait for their times.",
        "backoff": "Attempt {failures} of {allowed} failed on {server}{status}. Next try in {span}.",
        "backoff_timeout": "Attempt {failures} of {allowed} timed out on {server}. Next try in {span}.",
        "backoff_lost": "Its attempt on {server} was lost. Next try in {span}.",
        "no_servers": "No server is registered.",
        "no_capability": "No server has {missing}.",
        "no_capability_others": "No server has {missing}; {others}.",
        "no_combination": "No one server has all of {capabilities}. Closest: {closest} lacks {lacks}.",
        "no_group": "None in group {group} can; {elsewhere} elsewhere could.",
        "pinned": "Only {server} may take it, and it {state}.",
        "all_down": "All {count} that can are away: {states}.",
        "all_down_reason": "All {count} that can are away: {states} ({reason}).",
        "all_down_one": "The only one that can is away: {servers} {state}.",
        "all_down_one_reason": "The only one that can is away: {servers} {state} ({reason}).",
        "misconfigured": "{count} servers refuse our key: {servers}. They are set aside, one probe a minute.",
        "misconfigured_one": "{servers} refuses our key: set aside, one probe a minute.",
        "declined": "All {count} that can ask us to wait; the first is due in {span}.",
        "declined_part": "{able} can: {count} asked us to wait, {away} away. The first is due in {span}.",
        "declined_one": "{servers} asks us to wait; it is due in {span}.",
        "unreached": "{count} servers cannot be reached: {servers}. The first is checked again in {span}.",
        "unreached_one": "{servers} cannot be reached; checked again in {span}.",
        "avoiding": "Waits for another server than {server}, where it failed.",
        "retry_budget": "Retries are held back, for they must stay few beside new work; looked at again in {span}.",
        "full": "All {count} that can are full ({used} of {slots}).",
        "full_ahead": "All {count} that can are full ({used} of {slots}). {ahead} ahead.",
        "full_part": "{able} can: {count} full ({used} of {slots}), {away} away.",
        "full_part_ahead": "{able} can: {count} full ({used} of {slots}), {away} away. {ahead} ahead.",
        "full_one": "{servers}, the only one that can, is full ({used} of {slots}).",
        "full_one_ahead": "{servers}, the only one that can, is full ({used} of {slots}). {ahead} ahead.",
        "next": "A slot is free: it starts in the next turn.",
        "not_deciding": "No task is started: the node {state}.",
        "more_slots": "It would start now with {more} more slots on {server}.",
        "more_slots_one": "It would start now with one more slot on {server}.",
        "more_capability": "It would start now if {server} had {capability}.",
        "higher_priority": "It would start now at priority {priority}.",
        "end_maintenance": "It would start now if {server} came back from maintenance.",
    },
    {
        "removed": "is being removed",
        "draining": "is draining",
        "maintenance": "is in maintenance",
        "initializing": "waits for its first check",
        "offline": "is offline",
        "misconfigured": "refuses our key",
        "declined": "asks us to wait",
        "unreached": "cannot be reached",
        "full": "is full",
        "unknown": "is not registered",
        "unfit": "has not what it needs",
        "store_away": "cannot use its store",
        "stalled": "is stalled",
    },
    {
        "removed": "{} being removed",
        "draining": "{} draining",
        "maintenance": "{} in maintenance",
        "initializing": "{} waiting for a first check",
        "offline": "{} offline",
    },
    ("{}s", "{}m {}s", "{}h {}m", "{}d {}h"),
    ", ",
    "“{}”",
    " ({})",
    ("{count} has {name}", "{count} have {name}"),
)
CHINESE = Language(
    {
        "scheduled": "定于 {clock} 开始（{span}后）。",
        "scheduled_lane": "等待各自的开始时间。",
        "backoff": "第 {failures}/{allowed} 次尝试在 {server} 失败{status}，{span}后重试。",
        "backoff_timeout": "第 {failures}/{allowed} 次尝试在 {server} 超时，{span}后重试。",
        "backoff_lost": "在 {server} 的尝试已丢失，{span}后重试。",
        "no_servers": "还没有注册服务器。",
        "no_capability": "没有服务器具备{missing}。",
        "no_capability_others": "没有服务器具备{missing}；{others}。",
        "no_combination": "没有一台同时具备{capabilities}；最接近的 {closest} 缺{lacks}。",
        "no_group": "{group}组内没有能做的；其他组有 {elsewhere} 台。",
        "pinned": "指定了 {server}，而它{state}。",
        "all_down": "能做的 {count} 台都不可用：{states}。",
        "all_down_reason": "能做的 {count} 台都不可用：{states}（{reason}）。",
        "all_down_one": "唯一能做的 {servers} 不可用：{state}。",
        "all_down_one_reason": "唯一能做的 {servers} 不可用：{state}（{reason}）。",
        "misconfigured": "{count} 台服务器拒绝了密钥：{servers}。已搁置，每分钟探测一次。",
        "misconfigured_one": "{servers} 拒绝了密钥：已搁置，每分钟探测一次。",
        "declined": "能做的 {count} 台都要求稍候，最快 {span}后。",
        "declined_part": "能做的 {able} 台：{count} 台要求稍候，{away} 台不可用。最快 {span}后。",
        "declined_one": "{servers} 要求稍候，{span}后再派。",
        "unreached": "{count} 台服务器连不上：{servers}。最快 {span}后再检查。",
        "unreached_one": "连不上 {servers}，{span}后再检查。",
        "avoiding": "在 {server} 失败过，等另一台服务器。",
        "retry_budget": "重试暂缓，以免挤占新任务；{span}后再看。",
        "full": "能做的 {count} 台都满了（{used}/{slots}）。",
        "full_ahead": "能做的 {count} 台都满了（{used}/{slots}），前面有 {ahead} 个。",
        "full_part": "能做的 {able} 台：{count} 台满了（{used}/{slots}），{away} 台不可用。",
        "full_part_ahead": "能做的 {able} 台：{count} 台满了（{used}/{slots}），{away} 台不可用。前面有 {ahead} 个。",
        "full_one": "唯一能做的 {servers} 满了（{used}/{slots}）。",
        "full_one_ahead": "唯一能做的 {servers} 满了（{used}/{slots}），前面有 {ahead} 个。",
        "next": "有空位，下一轮就开始。",
        "not_deciding": "不再开始任务：节点{state}。",
        "more_slots": "若 {server} 再多 {more} 个槽位，它会立即开始。",
        "more_slots_one": "若 {server} 再多一个槽位，它会立即开始。",
        "more_capability": "若 {server} 具备{capability}，它会立即开始。",
        "higher_priority": "若优先级为 {priority}，它会立即开始。",
        "end_maintenance": "若 {server} 结束维护，它会立即开始。",
    },
    {
        "removed": "正在移除",
        "draining": "正在排空",
        "maintenance": "维护中",
        "initializing": "等待首次检查",
        "offline": "已离线",
        "misconfigured": "拒绝了密钥",
        "declined": "要求稍候",
        "unreached": "连不上",
        "full": "满了",
        "unknown": "没有注册",
        "unfit": "不具备所需",
        "store_away": "的存储不可用",
        "stalled": "停滞",
    },
    {
        "removed": "{} 台正在移除",
        "draining": "{} 台正在排空",
        "maintenance": "{} 台维护中",
        "initializing": "{} 台等待首次检查",
        "offline": "{} 台离线",
    },
    ("{} 秒", "{} 分 {} 秒", "{} 小时 {} 分", "{} 天 {} 小时"),
    "、",
    "“{}”",
    "（{}）",
    ("有 {count} 台具备{name}", "有 {count} 台具备{name}"),
)


def language(accepted: str | None) -> Language:
    """The language that an Accept-Language header (`None`: absent) likes best; English when it knows neither."""
    best, likes = ENGLISH, 0.0
    for part in (accepted or "").split(","):
        tag, _, quality = part.strip().partition(";")
        try:
            weight = float(quality.strip().removeprefix("q=")) if quality else 1.0
        except ValueError:
            continue
        known = {"en": ENGLISH, "zh": CHINESE}.get(tag.strip().lower().partition("-")[0])
        if known is not None and weight > likes:
            best, likes = known, weight
    return best


def told(reason: Reason, now: int, words: Language) -> str:
    """A reason as a sentence; `now` is int ms."""
    return words.sentences[sentence(reason)].format_map(_written(reason.params, now, words))


def would(kind: Kind, params: Mapping[str, Any], words: Language) -> str:
    """What would start a task, as a sentence."""
    written = dict(params)
    if "capability" in params:
        written["capability"] = words.quoted.format(params["capability"])
    return words.sentences[would_name(kind, params)].format_map(written)


def would_name(kind: Kind, params: Mapping[str, Any]) -> str:
    """The name of the sentence that fits a change."""
    return kind.value + ("_one" if kind is Kind.SLOTS and params["more"] == 1 else "")


def sentence(reason: Reason) -> str:
    """The name of the sentence that fits a reason's parameters."""
    code, params = reason.code, reason.params
    name = code.value
    if code is Code.SCHEDULED and params["at"] is None:
        return f"{name}_lane"
    if code is Code.BACKOFF:
        return name if params["outcome"] == "failed" else f"{name}_{params['outcome']}"
    if code is Code.NO_CAPABILITY and params["others"]:
        return f"{name}_others"
    if code in (Code.FULL, Code.DECLINED) and params["count"] < params["able"]:
        name += "_part"
    elif params.get("count") == 1:
        name += "_one"
    if code is Code.ALL_DOWN and params["reason"]:
        name += "_reason"
    if code is Code.FULL and params.get("ahead") is not None:
        name += "_ahead"
    return name


def _written(params: Mapping[str, Any], now: int, words: Language) -> dict[str, str]:
    """Each parameter as people read it."""

    def quoted(names: Sequence[str]) -> str:
        return words.joint.join(words.quoted.format(name) for name in names)

    ways: dict[str, Callable[[Any], str]] = {
        "missing": quoted,
        "capabilities": quoted,
        "lacks": quoted,
        "group": words.quoted.format,
        "reason": words.quoted.format,
        "servers": words.joint.join,
        "state": lambda state: words.states[state],
        "status": words.aside.format,
        "others": lambda others: words.joint.join(
            words.have[count > 1].format(count=count, name=words.quoted.format(name)) for name, count in others.items()
        ),
        "states": lambda states: words.joint.join(
            words.counted[state].format(count) for state, count in states.items()
        ),
    }
    written = {name: ways.get(name, str)(value) for name, value in params.items() if value is not None}
    written.setdefault("status", "")
    if "able" in params:
        written["away"] = str(params["able"] - params["count"])
    at = params.get("at")
    written["span"] = span(max(0, (now if at is None else at) - now), words)
    if at is not None:
        written["clock"] = _clock(at, now)
    if len(params.get("states", ())) == 1:
        written["state"] = words.states[next(iter(params["states"]))]
    return written


def span(ms: int, words: Language) -> str:
    """A duration in its two largest units, rounded up to a second: nobody waits for nothing."""
    seconds = -(-ms // _SECOND_MS)
    if seconds < 60:
        return words.units[0].format(seconds)
    if seconds < 3600:
        return words.units[1].format(seconds // 60, seconds % 60)
    if seconds < _DAY_S:
        return words.units[2].format(seconds // 3600, seconds % 3600 // 60)
    return words.units[3].format(seconds // _DAY_S, seconds % _DAY_S // 3600)


def _clock(at: int, now: int) -> str:
    """A time in UTC, with its day when that is another one than today's."""
    when, today = (datetime.fromtimestamp(ms / _SECOND_MS, UTC) for ms in (at, now))
    return when.strftime("%H:%M:%S UTC" if when.date() == today.date() else "%Y-%m-%d %H:%M:%S UTC")
