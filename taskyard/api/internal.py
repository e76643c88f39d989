"""Calls between the nodes of a yard: who may make them, and how their bodies are read. Knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from taskyard.api.body import read_body
from taskyard.api.call import Call, Reply
from taskyard.api.problems import BAD_REQUEST, UNAUTHORIZED, Problem

T = TypeVar("T")


async def read_said(call: Call, most: int, decode: Callable[[bytes], T]) -> T:
    """What another node says, in `most` bytes at most. Raises `Problem` when no node of this yard calls, or not so."""
    node, request = call.node, call.request
    scheme, _, token = request.headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    if scheme != "Bearer" or not node.is_internal(token):
        raise Problem(UNAUTHORIZED, "only nodes of this yard may call this")
    raw = await read_body(request, most, node, node.settings.budget_wait)
    try:
        return decode(raw)
    except msgspec.MsgspecError as error:
        raise Problem(BAD_REQUEST, f"no node of this version says so: {error}") from None
    finally:
        node.release(len(raw))


def say(body: bytes = b"") -> Reply:
    """The answer to another node."""
    return Reply(body, b"application/octet-stream")
