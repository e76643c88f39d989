"""Why tasks wait: the reason, the way to it and what would change it, for one task and for each lane."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from taskyard.api.call import Call, Problem
from taskyard.api.operation import NO_QUERY, USERS, NoQuery, Operation
from taskyard.api.problems import CONFLICT
from taskyard.api.tasks import no_task, task_id_of
from taskyard.api.views import status_of, words_of
from taskyard.api.words import Language, language, told, would
from taskyard.domain.outcomes import Outcome, Status
from taskyard.engine.funnel import Left
from taskyard.engine.position import Ahead
from taskyard.engine.remedy import Kind, Remedy
from taskyard.engine.rows import AttemptRow, Record
from taskyard.engine.why import Code, Reason
from taskyard.host.port import NodePort, ServerView, WaitingLanes, WaitingTask
from taskyard.store.port import Store
from taskyard.wire.base import Answer
from taskyard.wire.why import (
    Action,
    Estimate,
    FunnelStep,
    Lanes,
    LeftOut,
    OtherLanes,
    OtherReason,
    WaitingLane,
    Why,
    WouldStart,
)

LANES_MOST = 50
# What the store may be asked to count for a position: in so many flows, so many tasks in all. About 10 ms.
_FLOWS_MOST = 16
_COUNTED_MOST = 100_000
# A task that changes between the look into the store and that into memory is looked at again.
_LOOKS = 5


async def why(call: Call, _: NoQuery) -> Answer:
    """GET /api/task/{id}/why"""
    task_id, owner, node = task_id_of(call), call.owner, call.node

    def read(store: Store) -> tuple[Record, AttemptRow | None] | None:
        record = store.task(task_id, owner)
        if record is None:
            return None
        tried = record.queue is not None and record.queue.attempts
        return record, store.history(task_id)[-1] if tried else None

    for _look in range(_LOOKS):
        found = await node.read(read)
        if found is None:
            raise no_task(task_id)
        record, last = found
        status = status_of(record)
        waits = node.why(record) if status is Status.PENDING else status
        if isinstance(waits, Status):
            raise Problem(CONFLICT, _no_waiting(record, waits, node.now()), status=waits)
        if waits is not None:
            return await _shown(call, record, last, waits)
        await node.caught_up()
    raise Problem(CONFLICT, f"Task {task_id} changes just now; ask again.")


def _no_waiting(record: Record, status: Status, now: int) -> str:
    """Of a task that does not wait; of one that runs also when it was last heard of, and how long it may take."""
    told_of, run = f"Task {record.task.id} is {status.name}", record.run
    if run is not None and run.linger_until is None:
        until = datetime.fromtimestamp(run.limit_at / 1000, UTC)
        told_of += (
            f" on {run.server_id}: last heard of {(now - run.beat_at) // 1000} s ago, its attempt may take until "
            f"{until:%Y-%m-%d %H:%M:%S} UTC"
        )
    return f"{told_of}; why is asked of a task that waits."


async def _shown(call: Call, record: Record, last: AttemptRow | None, waits: WaitingTask) -> Why:
    node, now = call.node, call.node.now()
    words = language(call.header(b"accept-language"))
    reason, also, funnel = waits.why.reason, waits.why.also, waits.why.funnel
    before = None if waits.ahead is None else await _counted(node, waits.ahead)
    if reason.code is Code.FULL and before:
        reason.params["ahead"] = before
    if reason.code is Code.BACKOFF and last is not None and reason.params["outcome"] == Outcome.FAILED:
        reason.params["status"] = last.http_status
    outlook = await node.outlook(waits)
    return Why(
        id=record.task.id,
        as_of=now,
        code=reason.code,
        params=reason.params,
        text=told(reason, now, words),
        also=[OtherReason(code=other.code, params=other.params) for other in also],
        funnel=[_step(left) for left in funnel],
        position=None if before is None else before + 1,
        estimate=None if outlook.estimate is None else Estimate(p50=outlook.estimate.p50, p90=outlook.estimate.p90),
        would_start=None if outlook.remedy is None else _would_start(call, record, outlook.remedy, words),
        actions=list(_actions(node, record, [reason, *also], admin=call.admin)),
    )


async def _counted(node: NodePort, ahead: Ahead) -> int | None:
    """How many tasks are served before; `None` when there is too much to count."""
    if not ahead.outside:
        return ahead.known
    if len(ahead.outside) > _FLOWS_MOST:
        return None

    def read(store: Store) -> int:
        found = 0
        for outside in ahead.outside:
            found += store.ready_between(*outside, _COUNTED_MOST - found)
            if found == _COUNTED_MOST:
                break
        return found

    found = await node.read(read)
    return None if found == _COUNTED_MOST else ahead.known + found


def _would_start(call: Call, record: Record, found: Remedy, words: Language) -> WouldStart:
    """What would start it, and the call that does it: on servers an admin's, on the task its owner's."""
    params: dict[str, Any] = {}
    action = None
    server = call.node.server(found.server_id)
    if found.kind is Kind.PRIORITY:
        params = {"priority": record.task.priority + found.more}
        action = _again(record, params)
    else:
        params = {"server": found.server_id}
        if found.kind is Kind.SLOTS:
            params |= {"more": found.more}
        elif found.kind is Kind.CAPABILITY:
            params |= {"capability": found.capability}
        if server is not None and call.admin:
            action = _remedy(found, server)
    return WouldStart(code=found.kind, params=params, text=would(found.kind, params, words), action=action)


def _remedy(found: Remedy, server: ServerView) -> Action:
    """The call that changes a server."""
    if found.kind is Kind.SLOTS:
        return _change("raise_limit", server.id, {"maxConcurrent": server.max_concurrent + found.more})
    if found.kind is Kind.CAPABILITY:
        return _change("add_capability", server.id, {"capabilities": [*server.capabilities, found.capability]})
    path = f"/api/servers/{server.id}/maintenance"
    return Action(code="end_maintenance", method="POST", path=path, body={"maintenance": False})


def _step(left: Left) -> FunnelStep:
    return FunnelStep(
        step=left.step, count=left.count, servers=[LeftOut(id=server, code=code) for server, code in left.out]
    )


def _actions(node: NodePort, record: Record, reasons: list[Reason], *, admin: bool) -> Iterator[Action]:
    """What the caller may do about the reasons, the first one's first."""
    seen = set[tuple[str, str]]()
    for reason in reasons:
        for action in _for(node, record, reason):
            its_own = action.path.startswith("/api/task")
            if (admin or its_own) and (action.code, action.path) not in seen:
                seen.add((action.code, action.path))
                yield action


def _for(node: NodePort, record: Record, reason: Reason) -> Iterator[Action]:
    task, params = record.task, reason.params
    match reason.code:
        case Code.SCHEDULED:
            yield Action(code="run_now", method="POST", path=f"/api/task/{task.id}/retry", body=None)
        case Code.BACKOFF:
            yield Action(code="try_now", method="POST", path=f"/api/task/{task.id}/retry", body=None)
        case Code.NO_SERVERS:
            yield _register(record)
        case Code.NO_CAPABILITY | Code.NO_COMBINATION:
            closest = node.server(params["closest"])
            if reason.code is Code.NO_CAPABILITY:
                yield _register(record)
            if closest is not None:
                more = [*closest.capabilities, *params["lacks"]]
                yield _change("add_capability", closest.id, {"capabilities": more})
        case Code.NO_GROUP:
            yield _again(record, {"group": None})
        case Code.PINNED:
            if params["state"] in ("unknown", "unfit"):
                yield _again(record, {"serverId": None})
            else:
                yield Action(code="open_server", method="GET", path=f"/api/servers/{params['server']}", body=None)
        case Code.ALL_DOWN:
            for server_id in params["servers"]:
                yield from _bring_back(node, server_id)
        case Code.MISCONFIGURED:
            for server_id in params["servers"]:
                yield _change("fix_key", server_id, {"apiKey": None})
        case Code.UNREACHED:
            for server_id in params["servers"]:
                yield Action(code="check_now", method="POST", path=f"/api/servers/{server_id}/check", body=None)
        case Code.FULL:
            for server_id in params["servers"]:
                server = node.server(server_id)
                if server is not None:
                    yield _change("raise_limit", server_id, {"maxConcurrent": server.max_concurrent + 1})
            yield _register(record)
        case Code.NOT_DECIDING:
            yield Action(code="ready", method="GET", path="/ready", body=None)
        case Code.DECLINED | Code.AVOIDING | Code.RETRY_BUDGET | Code.NEXT:
            pass


def _change(code: str, server_id: str, body: dict[str, Any]) -> Action:
    return Action(code=code, method="PATCH", path=f"/api/servers/{server_id}", body=body)


def _again(record: Record, change: dict[str, Any]) -> Action:
    body = {"type": record.task.type, "resubmitOf": record.task.id, "payload": None} | change
    return Action(code="edit_task", method="POST", path="/api/task", body=body)


def _register(record: Record) -> Action:
    task = record.task
    body = {
        "name": None,
        "endpoints": {"predict": None, "health": None},
        "capabilities": words_of(task.capabilities),
        "groups": [task.group_name] if task.group_name else [],
    }
    return Action(code="register", method="POST", path="/api/servers", body=body)


def _bring_back(node: NodePort, server_id: str) -> Iterator[Action]:
    """What brings a server that is away back."""
    server = node.server(server_id)
    if server is None or server.removing_until is not None:
        return
    path = f"/api/servers/{server_id}"
    if server.status == "maintenance":
        yield Action(code="end_maintenance", method="POST", path=f"{path}/maintenance", body={"maintenance": False})
    elif server.status == "draining":
        yield Action(code="end_drain", method="POST", path=f"{path}/heartbeat", body={"status": "healthy"})
    else:
        yield Action(code="check_now", method="POST", path=f"{path}/check", body=None)


def lanes_shown(waiting: WaitingLanes, words: Language) -> Lanes:
    """Lanes as they are shown in a language."""
    return Lanes(
        as_of=waiting.as_of,
        lanes=[
            WaitingLane(
                capabilities=list(lane.capabilities),
                group=lane.group or None,
                server_id=lane.pin or None,
                queued=lane.queued,
                oldest_at=lane.oldest_at,
                code=lane.why.reason.code,
                params=lane.why.reason.params,
                text=told(lane.why.reason, waiting.as_of, words),
                funnel=[FunnelStep(step=left.step, count=left.count, servers=[]) for left in lane.why.funnel],
            )
            for lane in waiting.lanes
        ],
        other=OtherLanes(lanes=waiting.other_lanes, queued=waiting.other_queued),
    )


async def lanes(call: Call, _: NoQuery) -> Answer:
    """GET /api/lanes"""
    return lanes_shown(call.node.waiting(LANES_MOST), language(call.header(b"accept-language")))


OPERATIONS = (
    Operation(
        method="GET",
        path="/api/task/{id}/why",
        tag="Tasks",
        summary="Why a task waits",
        description=(
            "The first reason that holds, in words too (English or Chinese, by `Accept-Language`); what else holds; "
            "how many servers each step leaves for it; its place; and the calls that would change it, those that the "
            "caller may make. It asks what the scheduler asked when it passed the task over."
        ),
        handler=why,
        takes=NO_QUERY,
        answers=(Why,),
        roles=USERS,
        errors={404: "There is no such task, or it is another's.", 409: "It does not wait; names the status."},
    ),
    Operation(
        method="GET",
        path="/api/lanes",
        tag="Statistics",
        summary="What waits, and why",
        description=(
            "Queued tasks by what they require: the whole yard's, without owners, those that wait longest first. The "
            "reason is that of most of a lane's tasks."
        ),
        handler=lanes,
        takes=NO_QUERY,
        answers=(Lanes,),
    ),
)
