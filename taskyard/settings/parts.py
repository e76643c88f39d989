"""What `model.py` builds on: how a setting is described, the tables within the settings, where a value came from."""

from typing import Annotated, Literal, NamedTuple

import msgspec

from taskyard.settings.units import BYTES, MS

SECOND, MINUTE, HOUR, DAY = MS["s"], MS["m"], MS["h"], MS["d"]
# Ten years: beyond it `createdAt` plus a duration still stays far below 2^53.
LONGEST = 3650 * DAY
KIB, MIB, GIB = BYTES["kib"], BYTES["mib"], BYTES["gib"]


def described(
    kind: str, doc: str, low: float | None = None, high: float | None = None, *, bare: bool = False, flag: bool = False
) -> msgspec.Meta:
    """What `kinds.py` reads it as, its line in the table, its range, and its names.

    `bare`: the wire contract writes this name in capitals, so it is also read without the prefix `TASKYARD_`; names
    such as HOST or PORT often mean something else in an environment. `flag`: `taskyard serve` has a flag for it.
    """
    return msgspec.Meta(ge=low, le=high, description=doc, extra={"kind": kind, "bare": bare, "flag": flag})


class RetryBackoff(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The pause before a retry: exponential from `base` up to `cap` (ms), with full jitter."""

    base: Annotated[int, described("duration", "The first pause at most.", 0, LONGEST)]
    cap: Annotated[int, described("duration", "No pause is longer.", 0, LONGEST)]


class TypeDefaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a submission of one type gets for a member that it leaves out; None: the global default."""

    priority: Annotated[int, described("whole", "Higher first.", 0, 10)] | None = None
    capabilities: Annotated[tuple[str, ...], described("words", "The server must have them all.")] | None = None
    group: Annotated[str, described("text", "The server must be in this group.")] | None = None
    timeout: Annotated[int, described("duration", "One attempt, dispatch to result.", 1, LONGEST)] | None = None
    ttl: Annotated[int, described("duration", "The whole task.", 1, LONGEST)] | None = None
    queue_timeout: Annotated[int, described("duration", "The wait for its first dispatch.", 1, LONGEST)] | None = None
    heartbeat_timeout: Annotated[int, described("duration", "Silence of an accepted attempt.", 1, LONGEST)] | None = (
        None
    )
    max_retries: Annotated[int, described("whole", "Retries after the first attempt.", 0, 100)] | None = None
    retry_backoff: RetryBackoff | None = None


class Source(NamedTuple):
    """Where a value came from: `flag` --port, `environment` PORT, `file` taskyard.toml:port, or `default`."""

    layer: Literal["default", "file", "environment", "flag"]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.layer} {self.name}".strip()
