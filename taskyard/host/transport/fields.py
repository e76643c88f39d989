"""Header fields of an answer: put together, measured, read. Knows no connection."""

from collections.abc import Sequence

VALUE_MAX = 256  # characters kept of a value
IDLE_MARGIN_S = 1.0  # closed so much earlier than the server's own Keep-Alive timeout, or at half of a shorter one


def merged(lines: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The fields by name in lower case; one that comes twice is one list (RFC 9110 §5.3)."""
    fields: dict[bytes, bytes] = {}
    for name, value in lines:
        name = name.lower()
        fields[name] = fields[name] + b", " + value if name in fields else value
    return fields


def size_of(lines: Sequence[tuple[bytes, bytes]]) -> int:
    """The bytes that these lines took."""
    return sum(len(name) + len(value) + 4 for name, value in lines)


def text(value: bytes) -> str:
    """A value as it is shown, cut at `VALUE_MAX`."""
    return value[:VALUE_MAX].decode("latin-1")


def idle_s(most_s: float, offer: bytes | None) -> float:
    """Seconds to keep an unused connection: so many, or less after a `Keep-Alive: timeout=<seconds>`."""
    if offer is None:
        return most_s
    for part in offer.lower().split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"timeout" and value.isdigit() and len(value) < 6:
            return min(most_s, max(int(value) / 2, int(value) - IDLE_MARGIN_S))
    return most_s
