"""What happens to servers: registration, change, removal, heartbeats, checks, maintenance, and their timers."""

from __future__ import annotations

from urllib.parse import urlsplit

from taskyard.domain.health import Health, State
from taskyard.domain.policies import POLICIES
from taskyard.domain.server import Server
from taskyard.engine.attempts import lose
from taskyard.engine.facts import (
    AlgorithmSet,
    Beat,
    CheckAsked,
    Checked,
    MaintenanceSet,
    Registered,
    Unregistered,
)
from taskyard.engine.plan import AlgorithmDone, Check, Forget, ServerChanged, ServerDone
from taskyard.engine.turn import Turn


def find_server(turn: Turn, ref: int, server_id: str, who: str, admin: bool) -> Server | None:
    """The server if the caller may change it; otherwise the call is refused."""
    server = turn.memory.fleet.servers.get(server_id)
    if server is None:
        turn.refuse(ref, "unknown_server", f"Server {server_id} not found: it is not registered, or was removed.")
        return None
    if not admin and server.owner != who:
        turn.refuse(ref, "forbidden", f"Server {server_id} was registered by another; ask an admin.")
        return None
    return server


def registered(turn: Turn, fact: Registered) -> None:
    """Register a server, or change one that is known by its id or its predict URL."""
    fleet = turn.memory.fleet
    server = (
        fleet.servers.get(fact.server_id) if fact.server_id is not None else fleet.by_predict.get(fact.predict or "")
    )
    if server is None and fact.patch:
        turn.refuse(fact.ref, "unknown_server", f"Server {fact.server_id} not found: it is not registered.")
        return
    if server is not None and not fact.admin and server.owner != fact.who:
        turn.refuse(fact.ref, "forbidden", f"Server {server.id} was registered by another; ask an admin.")
        return
    created = server is None
    key_dropped = False
    if server is None:
        server = _new_server(turn, fact)
    else:
        key_dropped = _change(turn, server, fact)
    fleet.place(server)
    server.dirty = True
    if not fact.patch:
        server.removing_until = None
        server.draining = False
        server.heard_at = turn.now
        if server.health.state in (State.OFFLINE, State.DEGRADED):
            server.health = Health(score=server.health.score, next_check=turn.now)
    turn.touch_server(server)
    _order_check(turn, server)
    turn.audit(fact.who, "server.change" if not created else "server.register", server.id)
    turn.answer(fact.ref, ServerDone(server.id, server.status, created, key_dropped))


def _new_server(turn: Turn, fact: Registered) -> Server:
    assert fact.predict is not None
    assert fact.health_url is not None
    return Server(
        id=fact.server_id or fact.made_id,
        name=fact.name or fact.server_id or fact.made_id,
        predict=fact.predict,
        health_url=fact.health_url,
        metrics_url=fact.metrics_url,
        cancel_url=fact.cancel_url,
        api_key=fact.api_key,
        registered_at=turn.now,
        last_heartbeat=turn.now,
        heard_at=turn.now,
        online_booked_at=turn.now,
        owner=fact.who,
        capabilities=fact.capabilities or (),
        learns_capabilities=fact.capabilities is None,
        groups=fact.groups or (),
        max_concurrent=10 if fact.max_concurrent is None else fact.max_concurrent,
        weight=1 if fact.weight is None else fact.weight,
        is_async=bool(fact.is_async),
        health=Health(next_check=turn.now),
    )


def _change(turn: Turn, server: Server, fact: Registered) -> bool:
    """Apply what the caller sent; returns whether the old apiKey was dropped because an endpoint moved elsewhere."""
    before = {_origin(url) for url in _endpoints(server)}
    if fact.name is not None:
        server.name = fact.name
    if fact.predict is not None and fact.predict != server.predict:
        turn.memory.fleet.rename_predict(server, fact.predict)
    if fact.health_url is not None and fact.health_url != server.health_url:
        server.health_url = fact.health_url
        server.checking = False  # a check under way asks the old address
    if fact.metrics_url is not None:
        server.metrics_url = fact.metrics_url
    if fact.cancel_url is not None:
        server.cancel_url = fact.cancel_url
    if fact.capabilities is not None:
        server.capabilities = fact.capabilities
        server.learns_capabilities = False
    if fact.groups is not None:
        server.groups = fact.groups
    if fact.max_concurrent is not None:
        server.max_concurrent = fact.max_concurrent
    if fact.weight is not None:
        server.weight = fact.weight
    if fact.is_async is not None:
        server.is_async = fact.is_async
    moved = not {_origin(url) for url in _endpoints(server)} <= before
    dropped = moved and fact.api_key is None and server.api_key is not None
    if fact.api_key is not None or dropped:
        server.api_key = fact.api_key
    if fact.api_key is not None or moved:
        server.misconfigured = False
        server.probe_at = None
    return dropped


def _endpoints(server: Server) -> list[str]:
    urls = (server.predict, server.health_url, server.metrics_url, server.cancel_url)
    return [url for url in urls if url is not None]


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def unregistered(turn: Turn, fact: Unregistered) -> None:
    """Begin a server's removal: it gets nothing new, what runs may end for a while."""
    server = find_server(turn, fact.ref, fact.server_id, fact.who, fact.admin)
    if server is None:
        return
    if server.removing_until is None:
        server.removing_until = turn.now + turn.memory.limits.removal_grace_ms
        server.dirty = True
    turn.touch_server(server)
    turn.audit(fact.who, "server.remove", server.id)
    turn.answer(fact.ref, ServerDone(server.id, server.status))
    if not any(run.task is not None for run in server.runs):
        _remove(turn, server)


def _remove(turn: Turn, server: Server) -> None:
    """Forget a server; what it still runs is queued again."""
    memory = turn.memory
    for run in list(server.runs):
        if run.task is not None:
            lose(turn, run, "the server was removed")
        turn.free(run)
    memory.fleet.remove(server)
    memory.server_timers.drop(server)
    memory.shown_status.pop(server.id, None)
    memory.service.forget(server.id)
    turn.plan.writes.unregistered.append((server.id,))
    turn.plan.effects.append(ServerChanged(server.id, None, "removed"))
    turn.plan.effects.append(Forget(server.id))


def beat(turn: Turn, fact: Beat) -> None:
    """A server says how it is."""
    server = find_server(turn, fact.ref, fact.server_id, fact.who, fact.admin)
    if server is None:
        return
    now = turn.now
    server.last_heartbeat = server.heard_at = now
    server.dirty = True
    if fact.active is not None:
        server.reported_active = fact.active
    if fact.metrics is not None:
        server.reported_metrics = fact.metrics
    if fact.status == "healthy":
        server.draining = False
        server.let_go()
        server.health.passed(now, turn.rng.random(), checked=False)
    elif fact.status == "unhealthy":
        server.health.failed(now, turn.rng.random(), "its heartbeat said unhealthy", checked=False)
    elif fact.status == "draining":
        server.draining = True
    turn.touch_server(server)
    turn.answer(fact.ref, ServerDone(server.id, server.status))


def set_maintenance(turn: Turn, fact: MaintenanceSet) -> None:
    """An operator takes a server out of service, or puts it back."""
    server = find_server(turn, fact.ref, fact.server_id, fact.who, fact.admin)
    if server is None:
        return
    server.maintenance = fact.on
    server.maintenance_reason = fact.reason if fact.on else None
    server.dirty = True
    turn.touch_server(server)
    turn.audit(fact.who, "server.maintenance", server.id, ("on" if fact.on else "off"))
    turn.answer(fact.ref, ServerDone(server.id, server.status))


def check_asked(turn: Turn, fact: CheckAsked) -> None:
    """Someone wants a check now; the host answers through `Checked`."""
    server = find_server(turn, fact.ref, fact.server_id, fact.who, fact.admin)
    if server is not None:
        server.checking = True
        turn.plan.effects.append(Check(server.id, fact.ref))


def checked(turn: Turn, fact: Checked) -> None:
    """A health check ended."""
    server = turn.memory.fleet.servers.get(fact.server_id)
    if server is None:
        turn.refuse(fact.ref, "unknown_server", f"Server {fact.server_id} not found: it was removed meanwhile.")
        return
    if fact.url is not None and fact.url != server.health_url:
        turn.answer(fact.ref, ServerDone(server.id, server.status))
        return
    now = turn.now
    server.checking = False
    server.health.check_ms = fact.took_ms
    if fact.passed:
        server.let_go()
        server.heard_at = now
        server.health.passed(now, turn.rng.random())
        if server.learns_capabilities and fact.capabilities is not None and fact.capabilities != server.capabilities:
            server.capabilities = fact.capabilities
            server.dirty = True
            turn.memory.fleet.place(server)
    else:
        server.health.failed(now, turn.rng.random(), fact.error or "the check failed")
    turn.touch_server(server)
    turn.answer(fact.ref, ServerDone(server.id, server.status))


def server_due(turn: Turn, server: Server) -> None:
    """A server's time has come: a check, the end of a pause, of its removal, or of the grace after it went offline."""
    now, limits = turn.now, turn.memory.limits
    if server.removing_until is not None and server.removing_until <= now:
        _remove(turn, server)
        return
    if server.paused_until is not None and server.paused_until <= now:
        server.paused_until = None
    if server.health.next_check <= now:
        late = server.checking and server.health.next_check + 2 * limits.check_timeout_ms <= now
        if late:
            server.checking = False
            server.health.failed(now, turn.rng.random(), "the check did not end in time")
        _order_check(turn, server)
    if server.health.state is State.OFFLINE and server.heard_at + limits.offline_grace_ms <= now:
        for run in list(server.runs):
            if run.task is not None:
                lose(turn, run, f"server {server.id} went offline")
    turn.touch_server(server)


def _order_check(turn: Turn, server: Server) -> None:
    if not server.checking:
        server.checking = True
        server.health.next_check = turn.now
        turn.plan.effects.append(Check(server.id))


def sweep(turn: Turn) -> None:
    """Every now and then: servers that nobody heard of for long are offline; time online is booked."""
    memory, now = turn.memory, turn.now
    memory.sweep_at = now + memory.limits.sweep_ms
    for server in memory.fleet.servers.values():
        if max(server.heard_at, server.health.last_check or 0) + memory.limits.stale_ms <= now:
            server.health.stale()
        turn.touch_server(server)


def set_algorithm(turn: Turn, fact: AlgorithmSet) -> None:
    """Switch the load-balancing policy; holds from the next pick on and outlives a restart."""
    if fact.name not in POLICIES:
        details = f"algorithm: {fact.name!r} is unknown; use one of {', '.join(POLICIES)}."
        turn.refuse(fact.ref, "bad_request", details)
        return
    turn.memory.fleet.use_policy(fact.name)
    turn.plan.writes.settings.append(("algorithm", fact.name))
    turn.audit(fact.who, "algorithm.set", fact.name)
    turn.answer(fact.ref, AlgorithmDone(fact.name))
