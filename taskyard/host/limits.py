"""The engine's numbers, each from one setting."""

from __future__ import annotations

from taskyard.engine.limits import Limits
from taskyard.settings import Settings


def engine_limits(settings: Settings) -> Limits:
    """The engine's numbers from the settings."""
    return Limits(
        max_queued=settings.max_queued,
        max_queued_per_sub=settings.max_queued_per_sub,
        max_lanes=settings.max_lanes,
        max_lanes_per_sub=settings.max_lanes_per_sub,
        max_lost=settings.max_lost,
        linger_ms=settings.linger,
        retry_budget=settings.retry_budget,
        elsewhere_ms=settings.elsewhere_wait,
        check_timeout_ms=settings.check_timeout,
        offline_grace_ms=settings.offline_grace,
        stale_ms=settings.server_stale_threshold,
        sweep_ms=settings.server_cleanup_interval,
        removal_grace_ms=settings.removal_grace,
        idempotency_ms=settings.idempotency_retention,
        recovery_spread_ms=settings.recovery_spread,
        recovery_grace_ms=settings.recovery_grace,
        window_entries=settings.window_entries,
        wake_entries=settings.wake_entries,
        payload_bytes=settings.payload_memory,
        dispatches_per_turn=settings.turn_dispatches,
        wakes_per_turn=settings.turn_wakes,
        failure_groups=settings.failure_groups,
        facet_values=settings.facet_values,
    )
