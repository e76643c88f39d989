"""Reads a request's body: counted while it comes, within the node's budget of bodies in flight."""

from __future__ import annotations

import asyncio
from typing import Protocol

from taskyard.api.problems import OVERLOADED, TOO_LARGE, UNSUPPORTED, Problem
from taskyard.api.request import Request

# How often a body that waits for the budget looks, in seconds.
_LOOK_S = 0.05


class Budget(Protocol):
    """The node's budget."""

    def reserve(self, size: int) -> bool: ...

    def count(self, size: int) -> None: ...

    def release(self, size: int) -> None: ...


class BodyTooLarge(Problem):
    """The body is over the limit, in bytes."""

    def __init__(self, limit: int) -> None:
        super().__init__(TOO_LARGE, f"the body is larger than {limit} bytes")


def check_encoding(headers: dict[bytes, bytes]) -> None:
    """Raises `Problem` for a compressed body."""
    encoding = headers.get(b"content-encoding")
    if encoding is not None and encoding.strip().lower() not in (b"", b"identity"):
        raise Problem(UNSUPPORTED, "Content-Encoding must be identity or absent: send the body uncompressed")


async def read_body(request: Request, limit: int, budget: Budget, wait_ms: int, first: int = 0) -> bytes:
    """The body. The caller gives its length back to the budget. Its `first` bytes are taken whatever the budget says.

    Raises `BodyTooLarge` for more than `limit` bytes, `Problem` (503) when the budget stays used up for `wait_ms`, and
    `HungUp`.
    """
    declared = request.headers.get(b"content-length")
    if declared is not None and declared.isdigit() and (len(declared) > 18 or int(declared) > limit):
        raise BodyTooLarge(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        while chunk := await request.chunk():
            if size + len(chunk) > limit:
                raise BodyTooLarge(limit)
            if size + len(chunk) <= first:
                budget.count(len(chunk))
            elif not budget.reserve(len(chunk)):
                await _room(budget, len(chunk), wait_ms)
            size += len(chunk)
            if request.whole and not request.held and not chunks:
                return chunk
            chunks.append(chunk)
        return b"".join(chunks)
    except BaseException:
        budget.release(size)
        raise


async def _room(budget: Budget, size: int, wait_ms: int) -> None:
    """Wait, without reading on, until the budget has room for `size` bytes."""
    loop = asyncio.get_running_loop()
    end = loop.time() + wait_ms / 1000
    while loop.time() < end:
        await asyncio.sleep(_LOOK_S)
        if budget.reserve(size):
            return
    raise Problem(OVERLOADED, "too many bodies are in flight (MEMORY_BUDGET); try again later")
