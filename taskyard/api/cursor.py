"""Cursors of lists: where the next page starts, opaque and with a check sum, good only for the subject that got it."""

from __future__ import annotations

import base64
import binascii
import hashlib

_SUM_BYTES = 6


def _sum(before: bytes, owner: str | None) -> bytes:
    scope = b"all" if owner is None else b"of " + owner.encode()
    return hashlib.sha256(before + b"\0" + scope).digest()[:_SUM_BYTES]


def pack(before: str, owner: str | None) -> str:
    """A cursor to the page below a task id."""
    data = before.encode()
    return base64.urlsafe_b64encode(_sum(data, owner) + data).decode().rstrip("=")


def unpack(cursor: str, owner: str | None) -> str:
    """The task id in a cursor. Raises ValueError for a damaged one, or another subject's."""
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        before = data[_SUM_BYTES:].decode("ascii")
    except (binascii.Error, ValueError):
        raise ValueError("is damaged") from None
    if not before or data[:_SUM_BYTES] != _sum(data[_SUM_BYTES:], owner):
        raise ValueError("is damaged, or belongs to another subject")
    return before
