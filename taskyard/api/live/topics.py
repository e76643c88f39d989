"""The topics: what each tells, from the calls that say the same when they are asked, and who shares it."""

from __future__ import annotations

from collections import Counter

import msgspec

from taskyard.api.attention import attention, trouble
from taskyard.api.call import Call
from taskyard.api.live.channel import Topic
from taskyard.api.overview import MIDDLE, counts_of, recent_spans
from taskyard.api.why import LANES_MOST, lanes_shown
from taskyard.api.words import CHINESE, language
from taskyard.host.port import NodeView
from taskyard.wire.events import (
    AttentionPoint,
    FleetChange,
    FleetPoint,
    LanesPoint,
    NodePoint,
    OverviewPoint,
    YardPoint,
)
from taskyard.wire.overview import Slots


async def _overview(call: Call) -> OverviewPoint:
    node = call.node
    point = node.figures.point()
    shown = OverviewPoint(
        slots=Slots(used=point.used, total=point.total),
        servers=dict(Counter(node.fleet().status)),
        oldest=point.oldest,
        point=YardPoint(
            t=point.at,
            submitted=point.submitted,
            completed=point.completed,
            failed=point.failed,
            waiting=point.waiting,
            running=point.running,
            wait_p95=point.wait_p95,
            run_p95=point.run_p95,
        ),
    )
    if call.admin:
        kept = await node.read(lambda store: store.stats(0, 1, "kept", ""))
        shown.counts = counts_of(kept, (point.waiting, point.running))
    return shown


async def _attention(call: Call) -> AttentionPoint:
    node, now = call.node, call.node.now()
    lately = node.figures.present(MIDDLE)
    troubles = await node.read(lambda store: trouble(store, node.settings, recent_spans(store, lately, now)))
    found, more = attention(call, now, troubles, personal=False)
    return AttentionPoint(attention=found, more=more)


async def _lanes(call: Call) -> LanesPoint:
    shown = lanes_shown(call.node.waiting(LANES_MOST), language(call.header(b"accept-language")))
    return LanesPoint(lanes=shown.lanes, other=shown.other)


async def _fleet(call: Call) -> FleetPoint:
    ids, status, active, slots, ms = call.node.fleet()
    return FleetPoint(id=ids, slots=slots, active=active, status=status, ms=ms)


def fleet_change(old: FleetPoint, new: FleetPoint) -> FleetChange | None:
    """The rows that changed, or `None` when servers came or went, or have other slots: places mean others then."""
    if old.id != new.id or old.slots != new.slots:
        return None
    before = zip(old.active, old.status, old.ms, strict=True)
    after = zip(new.active, new.status, new.ms, strict=True)
    changed = [at for at, (row, other) in enumerate(zip(before, after, strict=True)) if row != other]
    return FleetChange(
        i=changed,
        active=[new.active[at] for at in changed],
        status=[new.status[at] if new.status[at] != old.status[at] else None for at in changed],
        ms=[new.ms[at] for at in changed],
    )


async def _node(call: Call) -> NodePoint:
    nodes = call.node.nodes()
    decides = call.node.decider is None
    if not call.admin:
        return NodePoint(decides=decides)
    mine = next((view.name for view in nodes if view.is_self), call.node.name)
    return NodePoint(decides=decides, node=mine, decider=mine if decides else _decider(nodes), nodes=len(nodes))


def _decider(nodes: list[NodeView]) -> str | None:
    return next((view.name for view in nodes if view.role == "decider"), None)


def _rights(call: Call) -> bool:
    return call.admin


def _words(call: Call) -> bool:
    return language(call.header(b"accept-language")) is CHINESE


def _everybody(call: Call) -> None:
    return None


BY_NAME = {
    topic.name: topic
    for topic in (
        Topic("overview", _rights, _overview),
        Topic("lanes", _words, _lanes),
        Topic("fleet", _everybody, _fleet, fleet_change, msgspec.json.Decoder(FleetPoint).decode),
        Topic("attention", _rights, _attention),
        Topic("node", _rights, _node, own=True),
    )
}
