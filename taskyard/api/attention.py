"""What needs a person, by rules, the worst first. Each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from taskyard.api.call import Call
from taskyard.wire.overview import ATTENTIONS, Attention
from taskyard.wire.why import Action

MOST = 5
_LANES_MOST = 50
_UNSERVED = ("no_servers", "no_capability", "no_combination", "no_group")
_DOWN = ("all_down", "misconfigured", "unreached")


def attention(call: Call, now: int) -> tuple[list[Attention], int]:
    """The worst of what needs a person, and how many more there are."""
    found = [*_node(call), *_lanes(call), *_servers(call)]
    found.sort(key=lambda entry: (ATTENTIONS.index(entry.code), now if entry.since is None else entry.since))
    return found[:MOST], max(0, len(found) - MOST)


def _node(call: Call) -> Iterator[Attention]:
    halted = call.node.halted()
    if halted is not None:
        yield Attention(code="stalled", params={"state": halted}, since=None, actions=[])


def _lanes(call: Call) -> Iterator[Attention]:
    for lane in call.node.waiting(_LANES_MOST).lanes:
        reason = lane.why.reason
        code = "lane_unserved" if reason.code in _UNSERVED else "lane_down" if reason.code in _DOWN else None
        if code is not None:
            params = {
                "capabilities": list(lane.capabilities),
                "group": lane.group or None,
                "serverId": lane.pin or None,
                "queued": lane.queued,
                "reason": reason.code,
                **{name: value for name, value in reason.params.items() if name not in ("capabilities", "group")},
            }
            yield Attention(code=code, params=params, since=lane.oldest_at, actions=[])


def _servers(call: Call) -> Iterator[Attention]:
    for view in call.node.servers():
        if view.removing_until is not None or view.maintenance_reason is not None:
            continue
        check = [Action(code="check_now", method="POST", path=f"/api/servers/{view.id}/check", body=None)]
        if view.misconfigured:
            yield Attention(code="server_misconfigured", params={"server": view.id}, since=None, actions=[])
        elif view.status == "offline":
            params = {"server": view.id, "error": view.check_error}
            yield Attention(code="server_offline", params=params, since=view.last_check, actions=check)
