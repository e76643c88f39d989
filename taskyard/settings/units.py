"""Durations and sizes as people write them. Durations are int milliseconds, sizes int bytes."""

import re

MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?\s*(?:ms|s|m|h|d|w)\s*)+", re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)", re.ASCII)
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmg]?i?b)", re.ASCII)
_WHOLE = re.compile(r"[+-]?\d+(?:_\d+)*", re.ASCII)
# An int beyond this cannot be kept exactly by every store (2^53 - 1).
MAX_INT = (1 << 53) - 1


def whole(raw: object) -> int:
    """An integer: 10, "10", "10_000" or 10.0. Raises ValueError."""
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("is not a whole number")
    if isinstance(raw, str):
        text = raw.strip()
        if not _WHOLE.fullmatch(text) or len(text) > 20:
            raise ValueError("is not a whole number")
        return int(text)
    if raw != raw or int(min(max(raw, -MAX_INT), MAX_INT)) != raw:
        raise ValueError("is not a whole number")
    return int(raw)


def duration(raw: object) -> int:
    """Milliseconds from 1500, "1500", "1.5s", "5m", "7d" or "1h30m". Raises ValueError."""
    if isinstance(raw, str):
        text = raw.strip().lower()
        if _DURATION.fullmatch(text):
            return _exact(sum(float(number) * MS[unit] for number, unit in _DURATION_PART.findall(text)))
    try:
        return whole(raw)
    except ValueError:
        raise ValueError("is not a duration (milliseconds, or a number with ms, s, m, h, d or w)") from None


def size(raw: object) -> int:
    """Bytes from 1024, "1024", "1KiB", "256 MiB" or "2GB". Raises ValueError."""
    if isinstance(raw, str):
        found = _SIZE.fullmatch(raw.strip().lower())
        if found and found[2] in BYTES:
            return _exact(float(found[1]) * BYTES[found[2]])
    try:
        return whole(raw)
    except ValueError:
        raise ValueError("is not a size (bytes, or a number with KiB, MiB, GiB, kB, MB or GB)") from None


def _exact(value: float) -> int:
    if value > MAX_INT:
        raise ValueError("is too large")
    return round(value)


def show_duration(ms: int) -> str:
    """The shortest exact way to write it: 90000 is "90s", 3600000 "1h"."""
    for unit in ("d", "h", "m", "s"):
        if ms and ms % MS[unit] == 0:
            return f"{ms // MS[unit]}{unit}"
    return f"{ms}ms" if ms else "0"


def show_size(count: int) -> str:
    """The shortest exact way to write it in binary units: 1048576 is "1MiB"."""
    for name, unit in (("GiB", BYTES["gib"]), ("MiB", BYTES["mib"]), ("KiB", BYTES["kib"])):
        if count and count % unit == 0:
            return f"{count // unit}{name}"
    return f"{count}B"
