"""The topics: what each tells, from the calls that say the same when they are asked, and who shares it."""

from __future__ import annotations

from taskyard.api.attention import attention
from taskyard.api.call import Call
from taskyard.api.live.channel import Topic
from taskyard.api.overview import overview
from taskyard.api.why import LANES_MOST, lanes_shown
from taskyard.api.words import CHINESE, language
from taskyard.wire.events import AttentionPoint, FleetChange, FleetPoint, LanesPoint, OverviewPoint, YardPoint
from taskyard.wire.overview import Overview, WindowQuery

_SECONDS = WindowQuery(window="5m")
# Of one caller alone, and told by the page itself.
_PERSONAL = "sign_in_ends"


async def _overview(call: Call) -> OverviewPoint:
    seen = await overview(call, _SECONDS)
    assert isinstance(seen, Overview)
    series = seen.series
    # The last point is of the second that is not over.
    point = YardPoint(
        t=series.t[-2],
        submitted=series.submitted[-2],
        completed=series.completed[-2],
        failed=series.failed[-2],
        waiting=series.waiting[-1],
        running=series.running[-1],
        wait_p95=series.wait_p95[-2],
        run_p95=series.run_p95[-2],
    )
    shown = OverviewPoint(slots=seen.slots, servers=seen.servers, oldest=seen.oldest, point=point)
    if call.admin:
        shown.counts = seen.counts
    return shown


async def _attention(call: Call) -> AttentionPoint:
    found, more = attention(call, call.node.now())
    return AttentionPoint(attention=[entry for entry in found if entry.code != _PERSONAL], more=more)


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
        Topic("fleet", _everybody, _fleet, fleet_change),
        Topic("attention", _rights, _attention),
    )
}
