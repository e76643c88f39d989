"""Everything that can go wrong with a request, and its one translation into a status code and words."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from taskyard.domain.outcomes import Status
from taskyard.engine.plan import Refusal
from taskyard.host.errors import Overloaded
from taskyard.wire.base import Refused

Header = tuple[bytes, bytes]


class Kind(NamedTuple):
    """A status code and the short `error` that goes with it."""

    code: int
    error: str


BAD_REQUEST = Kind(400, "Bad request")
UNAUTHORIZED = Kind(401, "Unauthorized")
FORBIDDEN = Kind(403, "Forbidden: Admin role required")
NOT_FOUND = Kind(404, "Path not found")
TASK_NOT_FOUND = Kind(404, "Task not found")
SERVER_NOT_FOUND = Kind(404, "Server not found")
JOB_NOT_FOUND = Kind(404, "Bulk job not found")
BACKUP_NOT_FOUND = Kind(404, "Backup not found")
METHOD_NOT_ALLOWED = Kind(405, "Method not allowed")
TIMED_OUT = Kind(408, "Request timeout")
CONFLICT = Kind(409, "Conflict")
GONE = Kind(410, "Gone")
TOO_LARGE = Kind(413, "Body too large")
UNSUPPORTED = Kind(415, "Unsupported media type")
KEY_REUSED = Kind(422, "Idempotency key reused")
UPGRADE_REQUIRED = Kind(426, "Upgrade required")
TOO_MANY = Kind(429, "Too many requests")
BROKEN = Kind(500, "Internal server error")
OVERLOADED = Kind(503, "Service unavailable")

# What the engine refuses with -> what the client is told.
REFUSALS: dict[str, Kind] = {
    "bad_request": BAD_REQUEST,
    "forbidden": FORBIDDEN,
    "not_found": TASK_NOT_FOUND,
    "unknown_server": SERVER_NOT_FOUND,
    "conflict": CONFLICT,
    "already_ended": CONFLICT,
    "superseded": CONFLICT,
    "purged": GONE,
    "key_reused": KEY_REUSED,
    "subject_queue_full": TOO_MANY,
    "too_many_lanes": TOO_MANY,
    "queue_full": OVERLOADED,
}
_RETRY_AFTER_MS = 1000
_BARE = b"content-type: application/json\r\nx-content-type-options: nosniff\r\nx-request-id: none\r\n"
_encode = msgspec.json.Encoder().encode


class Problem(Exception):
    """A request is answered with an error. `status` is the state that forbids it; `headers` go with the answer."""

    def __init__(
        self,
        kind: Kind,
        details: str = "",
        *,
        status: Status | None = None,
        retry_after_ms: int | None = None,
        headers: tuple[Header, ...] = (),
    ) -> None:
        super().__init__(details)
        self.kind = kind
        self.details = details
        self.status = status
        self.headers = headers
        if kind.code in (429, 503):
            wait = _RETRY_AFTER_MS if retry_after_ms is None else retry_after_ms
            self.headers += ((b"retry-after", str(max(1, -(-wait // 1000))).encode()),)

    def shown(self, request_id: str) -> Refused:
        """The answer's body."""
        return Refused(
            error=self.kind.error,
            details=self.details or msgspec.UNSET,
            status=msgspec.UNSET if self.status is None else self.status.name,
            request_id=request_id,
        )

    def body(self, request_id: str) -> bytes:
        """The answer's body as JSON."""
        return _encode(self.shown(request_id))

    def bare(self, start: bytes) -> bytes:
        """The whole answer to what never became a request, after its `start`; the connection is closed after it."""
        body = self.body("none")
        lines = b"".join(name + b": " + value + b"\r\n" for name, value in self.headers)
        return b"%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (start, _BARE, lines, len(body), body)


def of_refusal(refusal: Refusal) -> Problem:
    """What the engine refused."""
    kind = REFUSALS[refusal.code]
    details = refusal.details
    if refusal.status is not None and refusal.status.name not in details:
        details = f"{details} (the task is {refusal.status.name})"
    return Problem(kind, details, status=refusal.status)


def of_overload(overload: Overloaded) -> Problem:
    """The node sheds work, or cannot do it now."""
    return Problem(OVERLOADED, f"{overload.reason}; try again later", retry_after_ms=overload.retry_after_ms)
