"""Mutants of servers: slots, health, pauses and what operators wish."""

from __future__ import annotations

from typing import Any

from taskyard.domain.fleet import Fleet
from taskyard.domain.health import Health
from taskyard.domain.pool import Pool, RetryBudget
from taskyard.domain.server import Server
from taskyard.engine import matching, servers
from taskyard.engine.turn import Turn
from tests.simulation.mutant import Swap, around, found_only_by, mutant


@mutant
def avoid_ignored(swap: Swap) -> None:
    """A retry goes to the server where the task failed, though others are alive."""
    swap(Pool, "only", lambda pool, fleet, server_id: True)


@mutant
def elsewhere_for_ever(swap: Swap) -> None:
    """A retry waits for another server however long that one has no room."""
    swap(matching, "kept_from", lambda memory, pool, avoid, since, now: pool.avoided(memory.fleet, avoid))
    swap(matching, "_wake", lambda memory, at: None)


@mutant
def retries_for_ever_over_budget(swap: Swap) -> None:
    """The budget lets no retry out."""
    swap(RetryBudget, "allows", lambda budget, now, ratio: False)


@mutant
def one_slot_too_many(swap: Swap) -> None:
    """`maxConcurrent` + 1 attempts on a server."""

    def has_room(original: Any, server: Server, now: int) -> bool:
        server.max_concurrent += 1
        try:
            return bool(original(server, now))
        finally:
            server.max_concurrent -= 1

    around(swap, Server, "has_room", has_room)


@mutant
def pause_ignored(swap: Swap) -> None:
    """A server that asked to wait is not waited for."""
    swap(Server, "pause", lambda server, now, asked_ms: None)


@found_only_by("maintenance")
def maintenance_ignored(swap: Swap) -> None:
    """A server in maintenance goes on getting tasks."""
    tier = Server.tier.fget  # type: ignore[attr-defined]

    def wrong(server: Server) -> int:
        wish, server.maintenance = server.maintenance, False
        try:
            return int(tier(server))
        finally:
            server.maintenance = wish

    swap(Server, "tier", property(wrong))


@mutant
def offline_too_soon(swap: Swap) -> None:
    """Two failed checks in a row switch a server off."""

    def failed(original: Any, health: Health, *what: Any, **how: Any) -> bool:
        health.fails += health.fails == 1
        return bool(original(health, *what, **how))

    around(swap, Health, "failed", failed)


@mutant
def freed_slot_forgotten(swap: Swap) -> None:
    """Pools are not told of every server that has a slot again."""

    def refresh(original: Any, fleet: Fleet, server: Server, now: int) -> None:
        opened = fleet.opened
        original(fleet, server, now)
        if len(server.runs) == server.max_concurrent - 1:
            fleet.opened = opened

    around(swap, Fleet, "refresh", refresh)


@mutant
def offline_without_grace(swap: Swap) -> None:
    """The attempts of an offline server are given up at once."""

    def due(original: Any, turn: Turn, server: Server) -> None:
        server.heard_at -= turn.memory.limits.offline_grace_ms
        original(turn, server)
        server.heard_at += turn.memory.limits.offline_grace_ms

    around(swap, servers, "server_due", due)


@mutant
def degraded_as_good_as_online(swap: Swap) -> None:
    """Degraded servers and standbys get their share like any other."""
    tier = Server.tier.fget  # type: ignore[attr-defined]
    swap(Server, "tier", property(lambda server: min(0, tier(server))))


@found_only_by("removal")
def removal_ignored(swap: Swap) -> None:
    """A server that is to be removed goes on getting tasks as long as it is there."""
    tier = Server.tier.fget  # type: ignore[attr-defined]

    def wrong(server: Server) -> int:
        until, server.removing_until = server.removing_until, None
        try:
            return int(tier(server))
        finally:
            server.removing_until = until

    swap(Server, "tier", property(wrong))
