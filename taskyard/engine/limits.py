"""The numbers that bound the engine. The host fills them from its settings; the simulator from its scenario."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Times in ms, sizes in bytes, the rest counts; `retry_budget` is a share 0-1."""

    max_queued: int = 2_000_000
    max_queued_per_sub: int = 1_000_000
    max_lanes: int = 10_000
    max_lanes_per_sub: int = 5_000
    max_lost: int = 5
    linger_ms: int = 5_000
    retry_budget: float = 0.2
    elsewhere_ms: int = 30_000
    check_timeout_ms: int = 2_000
    offline_grace_ms: int = 30_000
    stale_ms: int = 300_000
    sweep_ms: int = 60_000
    removal_grace_ms: int = 30_000
    idempotency_ms: int = 86_400_000
    progress_interval_ms: int = 1_000
    recovery_spread_ms: int = 5_000
    recovery_grace_ms: int = 60_000
    window_entries: int = 20_000
    window_least: int = 64
    refill_bite: int = 1_000
    wake_entries: int = 20_000
    payload_bytes: int = 64 << 20
    dispatches_per_turn: int = 1_000
    wakes_per_turn: int = 1_000
    failure_groups: int = 200
    facet_values: int = 1_000
