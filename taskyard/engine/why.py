"""Why a queued task waits, as codes and figures, by the same predicates as the match that passed it over.

Nothing is recorded in a turn: what the match asks (`held_back`, `kept_from`, a server's gate) is asked again here,
for one task or lane, when somebody wants to know. The first reason in the order of `Code` is the reason, the rest is
beside it; but where servers are left out one after the other, the step after which none is left decides. Knows no
words and no HTTP; figures are int ms, counts and ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import Any

from taskyard.domain.fleet import Flow, Lane
from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Gate, Server
from taskyard.domain.task import Task
from taskyard.engine.funnel import GATES, SHOWN_MOST, Funnel, Kept, Left, Step, Survey
from taskyard.engine.matching import held_back, kept_from, next_budget
from taskyard.engine.memory import Memory


class Code(StrEnum):
    """The reasons, in order."""

    SCHEDULED = "scheduled"
    BACKOFF = "backoff"
    NO_SERVERS = "no_servers"
    NO_CAPABILITY = "no_capability"
    NO_COMBINATION = "no_combination"
    NO_GROUP = "no_group"
    PINNED = "pinned"
    ALL_DOWN = "all_down"
    MISCONFIGURED = "misconfigured"
    DECLINED = "declined"
    UNREACHED = "unreached"
    AVOIDING = "avoiding"
    RETRY_BUDGET = "retry_budget"
    FULL = "full"
    NEXT = "next"
    NOT_DECIDING = "not_deciding"


_BY_STEP = {
    Step.IN_SERVICE: Code.ALL_DOWN,
    Step.ALIVE: Code.ALL_DOWN,
    Step.TRUSTED: Code.MISCONFIGURED,
    Step.WILLING: Code.DECLINED,
    Step.REACHED: Code.UNREACHED,
    Step.FREE: Code.FULL,
}
# What is said of some servers though it is another step that leaves none: somebody may have to act.
_IN_PART = ((Code.MISCONFIGURED, Gate.MISCONFIGURED), (Code.UNREACHED, Gate.UNREACHED))
# What is said even of a task whose time has not come: it would not start then either.
LASTING = frozenset(
    (Code.NO_SERVERS, Code.NO_CAPABILITY, Code.NO_COMBINATION, Code.NO_GROUP, Code.PINNED, Code.ALL_DOWN)
)


@dataclass(slots=True)
class Reason:
    """One reason. `params` has the figures that words need: times (`at`) in ms, ids of servers, counts."""

    code: Code
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Why:
    """Why a task, or a lane's next task, waits: the reason, what else holds, and the funnel of its servers."""

    reason: Reason
    also: list[Reason]
    funnel: list[Left]


def why_task(memory: Memory, task: Task, now: int, halted: str | None) -> Why:
    """Why a queued task waits. `halted` says why no turns are taken, `None` when they are."""
    ready = why_ready(memory, task.lane, task.avoid, task.queued_at, Survey(memory.fleet, now), halted)
    if task.due_at is None:
        return ready
    also = [reason for reason in (ready.reason, *ready.also) if reason.code in LASTING]
    if halted is not None:
        also.append(Reason(Code.NOT_DECIDING, {"state": halted}))
    return Why(_time(task), also, ready.funnel)


def _time(task: Task) -> Reason:
    """The time that a task waits for."""
    if task.last_outcome is None:
        return Reason(Code.SCHEDULED, {"at": task.due_at})
    params = {
        "at": task.due_at,
        "outcome": task.last_outcome.value,
        "server": task.last_server,
        "failures": task.lost if task.last_outcome is Outcome.LOST else task.failures,
        "allowed": task.spec.max_retries + 1,
    }
    return Reason(Code.BACKOFF, params)


def why_lane(memory: Memory, lane: Lane, survey: Survey, halted: str | None, sleeper: Task | None) -> Why:
    """Why a lane's tasks wait: those of its fullest flow, or when none is ready `sleeper`, the first that comes due."""
    flow = fullest(lane)
    if flow is not None:
        head = flow.window.head()
        return why_ready(memory, lane, flow.avoid, survey.now if head is None else head.queued_at, survey, halted)
    ready = why_ready(memory, lane, "", survey.now, survey, halted)
    also = [reason for reason in (ready.reason, *ready.also) if reason.code in LASTING]
    return Why(Reason(Code.SCHEDULED, {"at": None}) if sleeper is None else _time(sleeper), also, ready.funnel)


def fullest(lane: Lane) -> Flow | None:
    """The flow with the most ready tasks, or `None` when the lane has none."""
    flows = [flow for flow in lane.flows.values() if flow.count]
    return max(flows, key=lambda flow: (flow.count, -flow.serial), default=None)


def why_ready(memory: Memory, lane: Lane, avoid: str, since: int, survey: Survey, halted: str | None) -> Why:
    """Why a ready task of a lane that failed last on the server `avoid` ('' for none) waits since `since`."""
    avoided = kept_from(memory, lane.pool, avoid, since, survey.now)
    avoiding = Reason(Code.AVOIDING, {"server": avoided, "at": since + memory.limits.elsewhere_ms})
    funnel = survey.funnel(lane, avoided)
    dry = funnel.dry
    found = [] if dry is None else [avoiding] if dry is Step.NOT_AVOIDED else _dried(lane, funnel, dry, survey)
    if held_back(memory, lane.pool, avoid, survey.now):
        found.append(Reason(Code.RETRY_BUDGET, {"at": next_budget(survey.now)}))
    if halted is not None:
        found.append(Reason(Code.NOT_DECIDING, {"state": halted}))
    if not found:
        found.append(Reason(Code.NEXT))
    if dry is not None:
        for code, gate in _IN_PART:
            if gate in funnel.gates and gate not in GATES.get(dry, ()):
                found.append(_of_servers(code, funnel.gates[gate]))
        if avoided and dry is not Step.NOT_AVOIDED:
            found.append(avoiding)
    return Why(found[0], found[1:], funnel.steps)


def _dried(lane: Lane, funnel: Funnel, dry: Step, survey: Survey) -> list[Reason]:
    """Why no server is left after a step, the last one excepted."""
    servers = survey.fleet.servers
    if dry is Step.REGISTERED:
        return [Reason(Code.NO_SERVERS)]
    if dry is Step.ABLE:
        return [_unable(lane, survey)]
    if dry is Step.IN_GROUP:
        able = sum(len(cls.servers) for cls in survey.fleet.classes.values() if cls.able(lane))
        return [Reason(Code.NO_GROUP, {"group": lane.group, "elsewhere": able})]
    if dry is Step.PINNED:
        return [Reason(Code.PINNED, {"server": lane.pin, "state": "unfit" if lane.pin in servers else "unknown"})]
    gates = {gate: kept for gate, kept in funnel.gates.items() if gate is not None}
    reasons = [] if not lane.pin else [Reason(Code.PINNED, {"server": lane.pin, "state": next(iter(gates)).value})]
    code = _BY_STEP[dry]
    if code is not Code.ALL_DOWN:
        (gate,) = GATES[dry]
        found = _of_servers(code, gates[gate])
        found.params["able"] = sum(len(kept.servers) for kept in gates.values())
        return [*reasons, found]
    states = {gate.value: len(kept.servers) for gate, kept in gates.items()}
    maintained = gates[Gate.MAINTENANCE].servers if Gate.MAINTENANCE in gates else []
    params = {
        "count": sum(states.values()),
        "servers": _some_ids(server for kept in gates.values() for server in kept.servers),
        "states": states,
        "reason": next((server.maintenance_reason for server in maintained if server.maintenance_reason), None),
    }
    return [*reasons, Reason(code, params)]


def _unable(lane: Lane, survey: Survey) -> Reason:
    """No server has all that the lane requires: what nobody has, else who lacks the least."""
    classes = [cls for cls in survey.fleet.classes.values() if cls.servers]
    have = {word: sum(len(cls.servers) for cls in classes if word in cls.capabilities) for word in lane.capabilities}
    missing = sorted(word for word, count in have.items() if not count)
    closest = min(classes, key=lambda cls: (len(lane.capabilities - cls.capabilities), min(cls.servers)))
    params = {"closest": min(closest.servers), "lacks": sorted(lane.capabilities - closest.capabilities)}
    if missing:
        others = {word: count for word, count in sorted(have.items()) if count}
        return Reason(Code.NO_CAPABILITY, {"missing": missing, "others": others} | params)
    return Reason(Code.NO_COMBINATION, {"capabilities": sorted(lane.capabilities)} | params)


def _of_servers(code: Code, kept: Kept) -> Reason:
    """What keeps some servers, with when that is looked at next or how full they are."""
    servers = kept.servers
    params: dict[str, Any] = {"count": len(servers), "servers": _some_ids(servers)}
    if code is Code.FULL:
        return Reason(code, params | {"used": kept.used, "slots": kept.slots})
    times: dict[Code, list[int | None]] = {
        Code.MISCONFIGURED: [server.probe_at for server in servers],
        Code.DECLINED: [server.paused_until for server in servers],
        Code.UNREACHED: [server.health.next_check for server in servers],
    }
    return Reason(code, params | {"at": min((at for at in times[code] if at is not None), default=None)})


def _some_ids(servers: Iterable[Server]) -> list[str]:
    return [server.id for server in islice(servers, SHOWN_MOST)]
