"""What needs a person, by rules, the worst first. Each with what to do about it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from taskyard.api.call import Call
from taskyard.api.registration import is_local
from taskyard.domain.health import State
from taskyard.engine.rows import SeriesRow
from taskyard.engine.why import Code
from taskyard.host.port import ServerView, WaitingLane
from taskyard.settings import Settings
from taskyard.store.port import Store
from taskyard.wire.overview import ATTENTIONS, Attention
from taskyard.wire.why import Action

MOST = 5
_LANES_MOST = 50
_UNSERVED = (Code.NO_SERVERS, Code.NO_CAPABILITY, Code.NO_COMBINATION, Code.NO_GROUP)
_DOWN = (Code.ALL_DOWN, Code.MISCONFIGURED, Code.UNREACHED, Code.PINNED)
# Below so many ends in 5 minutes a share says nothing.
_ENDS_LEAST = 20
# A queue grows when it is so much longer than 5 minutes ago, and was longer after half of that.
_GROWTH = 1.2
_HOUR_MS = 3_600_000
_SIGN_IN_MS = 30 * 60_000


@dataclass(slots=True)
class Trouble:
    """What only the store and the disk can tell. `free` is room in bytes, where that is too little."""

    tight: str | None
    free: int | None
    ended: int
    failed: int
    grown_from: int | None
    waiting: int
    since: int


def trouble(store: Store, settings: Settings, lately: Sequence[SeriesRow]) -> Trouble:
    """Look for it; `lately` are the spans of 12 s of the last 5 minutes, by age; none of a yard that is idle."""
    free = None
    if settings.database is None:
        room = shutil.disk_usage(settings.data_path).free
        free = room if room < settings.disk_low else None
    ended = sum(row.completed + row.failed + row.timed_out for row in lately)
    first, middle, last = (lately[place].waiting if lately else 0 for place in (0, len(lately) // 2, -1))
    grows = len(lately) > 2 and first < middle < last and last >= first * _GROWTH
    return Trouble(
        tight=store.tight(),
        free=free,
        ended=ended,
        failed=sum(row.failed + row.timed_out for row in lately),
        grown_from=first if grows else None,
        waiting=last,
        since=lately[0].at if lately else 0,
    )


def attention(
    call: Call,
    now: int,
    troubles: Trouble | None = None,
    views: Sequence[ServerView] | None = None,
    *,
    personal: bool = True,
) -> tuple[list[Attention], int]:
    """The worst of what needs a person, and how many more there are.

    Without `troubles`, of what memory knows; `views` are all servers, those that are being removed excepted. Not
    `personal`: without what is of the caller alone, which nobody else is to be told.
    """
    if views is None:
        views = [view for view in call.node.servers() if view.removing_until is None]
    found = [*_node(call, views), *_lanes(call), *_servers(call, now, views)]
    if personal:
        found += _caller(call, now)
    if troubles is not None:
        found += _told(call, troubles)
    found.sort(key=lambda entry: (ATTENTIONS.index(entry.code), now if entry.since is None else entry.since))
    if not call.admin:  # only an admin may make these calls
        for entry in found:
            entry.actions = [action for action in entry.actions if action.method == "GET"]
    return found[:MOST], max(0, len(found) - MOST)


def _entry(code: str, params: dict[str, Any], since: int | None, *actions: Action) -> Attention:
    return Attention(code=code, params=params, since=since, actions=list(actions))


def _look(code: str, path: str) -> Action:
    return Action(code=code, method="GET", path=path, body=None)


def _node(call: Call, views: Sequence[ServerView]) -> Iterator[Attention]:
    halted = call.node.halted()
    if halted is not None:
        yield _entry("stalled", {"state": halted}, None, _look("ready", "/ready"))
    base = call.node.settings.public_base()
    away = [view.id for view in views if not is_local(view.predict)]
    if away and is_local(base):
        url = {"url": base} if call.admin else {}
        yield _entry("callback_url", {"servers": away[:20], "count": len(away)} | url, None)


def _told(call: Call, troubles: Trouble) -> Iterator[Attention]:
    node = call.node
    if troubles.tight is not None or troubles.free is not None:
        yield _entry("disk_low", {"freeBytes": troubles.free, "full": troubles.tight is not None}, None)
    share = troubles.failed / troubles.ended if troubles.ended >= _ENDS_LEAST else 0.0
    if share >= node.settings.attention_failing and troubles.failed:
        params = {"failed": troubles.failed, "ended": troubles.ended, "share": round(share, 4)}
        yield _entry("failing", params, troubles.since, _look("failures", "/api/failures?window=5m"))
    _, slots = node.figures.slots()
    if troubles.grown_from is not None and troubles.waiting > max(slots, _ENDS_LEAST):
        params = {"from": troubles.grown_from, "to": troubles.waiting, "slots": slots}
        yield _entry("queue_growing", params, troubles.since, _look("lanes", "/api/lanes"))


def _lanes(call: Call) -> Iterator[Attention]:
    for lane in call.node.waiting(_LANES_MOST).lanes:
        reason = lane.why.reason
        unfit = reason.code is Code.PINNED and reason.params.get("state") in ("unknown", "unfit")
        if reason.code in _UNSERVED or unfit:
            yield _entry("lane_unserved", _lane(lane), lane.oldest_at, *_serve(lane))
        elif reason.code in _DOWN:
            checks = [_check(server) for server in reason.params.get("servers", ())]
            yield _entry("lane_down", _lane(lane), lane.oldest_at, *checks)


def _lane(lane: WaitingLane) -> dict[str, Any]:
    return {
        "lane": {
            "capabilities": list(lane.capabilities),
            "group": lane.group or None,
            "serverId": lane.pin or None,
        },
        "queued": lane.queued,
        "reason": lane.why.reason.code,
        "reasonParams": lane.why.reason.params,
    }


def _serve(lane: WaitingLane) -> Iterator[Action]:
    body: dict[str, Any] = {
        "name": None,
        "endpoints": {"predict": None, "health": None},
        "capabilities": list(lane.capabilities),
        "groups": [lane.group] if lane.group else [],
    }
    yield Action(code="register", method="POST", path="/api/servers", body=body)


def _check(server_id: str) -> Action:
    return Action(code="check_now", method="POST", path=f"/api/servers/{server_id}/check", body=None)


def _servers(call: Call, now: int, views: Sequence[ServerView]) -> Iterator[Attention]:
    for view in views:
        changes = call.node.figures.changes(view.id)
        since = changes[-1].at if changes else None
        look = _look("open_server", f"/api/servers/{view.id}")
        if view.misconfigured:
            fix = Action(code="fix_key", method="PATCH", path=f"/api/servers/{view.id}", body={"apiKey": None})
            yield _entry("server_misconfigured", {"server": view.id, "name": view.name}, None, fix, look)
        elif view.status == State.OFFLINE.value:
            # What a check said may name the endpoint, which is not for users.
            error = {"error": view.check_error} if call.admin else {}
            yield _entry("server_offline", {"server": view.id, "name": view.name} | error, since, _check(view.id), look)
        recent = [change.at for change in changes if change.at > now - _HOUR_MS]
        if len(recent) >= call.node.settings.attention_flapping:
            params = {"server": view.id, "name": view.name, "changes": len(recent)}
            yield _entry("server_flapping", params, recent[0], look)


def _caller(call: Call, now: int) -> Iterator[Attention]:
    ends = int(call.who.expires_s * 1000)
    if 0 < ends < now + _SIGN_IN_MS:
        yield _entry("sign_in_ends", {"at": ends}, None)
