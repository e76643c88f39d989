"""Which pages of other origins may call, and the headers that tell a browser so. Never `*`, never credentials."""

from __future__ import annotations

import re
from collections.abc import Iterable

from taskyard.api.problems import Header

_LOCAL = re.compile(rb"https?://(localhost|127\.0\.0\.1)(:[0-9]{1,5})?")
_EXPOSED = b"X-Request-ID, Idempotent-Replayed, Retry-After, Location"
_REQUEST_HEADERS = (
    b"Authorization, Content-Type, Idempotency-Key, Prefer, X-Request-ID, X-Taskyard-Hops, traceparent, tracestate, "
    b"X-Server-ID"
)
_MAX_AGE_S = b"600"


class Cors:
    """`origins` may call; with `local`, pages of this machine on any port too."""

    def __init__(self, origins: Iterable[str], *, local: bool) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._local = local

    def allows(self, origin: bytes) -> bool:
        """Whether pages of this origin may call."""
        return origin in self._origins or (self._local and _LOCAL.fullmatch(origin) is not None)

    def headers(self, origin: bytes | None) -> list[Header]:
        """What every answer to this origin carries."""
        if origin is None:
            return []
        if not self.allows(origin):
            return [(b"vary", b"Origin")]
        return [
            (b"access-control-allow-origin", origin),
            (b"vary", b"Origin"),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def preflight(self, origin: bytes | None, methods: str) -> list[Header]:
        """What the answer to a preflight carries beyond `headers`."""
        if origin is None or not self.allows(origin):
            return []
        return [
            (b"access-control-allow-methods", methods.encode()),
            (b"access-control-allow-headers", _REQUEST_HEADERS),
            (b"access-control-max-age", _MAX_AGE_S),
        ]
