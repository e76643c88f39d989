"""The engine's limits come from the settings, each from one, with the engine's own figures as defaults."""

import dataclasses

import msgspec

from taskyard.engine.limits import Limits
from taskyard.host.node import engine_limits
from taskyard.settings import Settings

# Shares of another limit, and what the wire contract fixes.
OWN = {"window_least", "refill_bite", "progress_interval_ms"}


def test_the_defaults_are_the_engines() -> None:
    assert engine_limits(Settings()) == Limits()


def test_each_limit_follows_one_setting() -> None:
    plain = dataclasses.asdict(engine_limits(Settings()))
    followed: dict[str, str] = {}
    for name in Settings.__struct_fields__:
        value = getattr(Settings(), name)
        if type(value) not in (int, float):
            continue
        other = msgspec.structs.replace(Settings(), **{name: value + 1})
        changed = {key for key, now in dataclasses.asdict(engine_limits(other)).items() if now != plain[key]}
        assert len(changed) <= 1, name
        followed |= dict.fromkeys(changed, name)
    assert set(plain) - set(followed) == OWN
