"""A submission that waits for its task's end and is passed on: the decider takes it in, and its own node waits for the
end, so that no connection between nodes is held as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from taskyard.api.call import Call, Reply
from taskyard.api.views import read_task
from taskyard.api.waiting import WAITING
from taskyard.domain.outcomes import Status

_encode = msgspec.json.Encoder().encode


class _Asked(msgspec.Struct):
    """What a submission says of waiting."""

    is_async: bool | None = msgspec.field(name="async", default=None)
    wait: int | None = None


class _Taken(msgspec.Struct):
    """What the decider answers."""

    id: str
    status: str
    warnings: list[str] | msgspec.UnsetType = msgspec.UNSET


_asked = msgspec.json.Decoder(_Asked).decode
_taken = msgspec.json.Decoder(_Taken).decode


def wait_of(raw: bytes, most: int) -> int | None:
    """For how many ms at most a submission wants to wait, `most` at most; `None` when it does not, or is none."""
    try:
        asked = _asked(raw)
    except (msgspec.MsgspecError, RecursionError):
        return None  # the decider says what is wrong with it
    if asked.is_async is not False:
        return None
    return most if asked.wait is None else min(asked.wait, most)


async def waited(call: Call, wait: int, taking: Callable[[], Awaitable[Reply]]) -> Reply:
    """The decider's answer, once the task has ended or `wait` ms are over; `taking` has the decider take it in.

    Raises `Problem`, `HungUp` and what `taking` does.
    """
    subject = call.who.sub
    WAITING.enter(subject, call.node.settings.waiting_calls_per_sub)
    try:
        reply = await taking()
        if reply.status != 200:
            return reply
        taken = _taken(reply.body)
        if Status[taken.status].ended:
            return reply  # a decider of the version before has waited itself
        await call.watch(asyncio.ensure_future(call.node.wait_ended(taken.id, wait)))
    finally:
        WAITING.leave(subject)
    shown = await call.node.read(lambda store: read_task(store, taken.id, subject))
    if shown is None:  # it ended, and retention has removed it meanwhile
        return reply
    task, _ = shown
    task.warnings = taken.warnings
    return replace(reply, body=_encode(task))
