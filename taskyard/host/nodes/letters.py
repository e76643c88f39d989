"""Facts and effects as JSON, on their way from node to node through the store. Knows neither of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from taskyard.domain.health import Health
from taskyard.domain.server import Server
from taskyard.engine.facts import CalledBack, Ended, Fact, SlotFreed, Submitted
from taskyard.engine.plan import (
    Abort,
    AlgorithmDone,
    Dispatch,
    NoteDone,
    Refusal,
    Result,
    ServerDone,
    SubmitDone,
    TaskDone,
)

SUBMITTED: Final = Submitted.__name__
DISPATCH, ABORT, VERDICT = "dispatch", "abort", "verdict"
encode: Final = msgspec.json.Encoder().encode
# What nodes tell the decider beside submissions, whose text is in the rows of their tasks.
_TOLD: Final[Mapping[str, msgspec.json.Decoder[Any]]] = {
    kind.__name__: msgspec.json.Decoder(kind) for kind in (Ended, CalledBack, SlotFreed)
}


class Target(msgspec.Struct, frozen=True, array_like=True):
    """What a node needs of a server to send it an attempt; `api_key` is encrypted."""

    predict: str
    max_concurrent: int
    is_async: bool
    api_key: str | None


class Parcel(msgspec.Struct, frozen=True):
    """An attempt to send, without its payload."""

    attempt: Dispatch
    target: Target


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a turn answered to line number `seq`."""

    seq: int
    refused: Refusal | None = None
    task: TaskDone | None = None


_parcel = msgspec.json.Decoder(Parcel).decode
_abort = msgspec.json.Decoder(Abort).decode
_verdict = msgspec.json.Decoder(Verdict).decode


def told(fact: Fact) -> tuple[str, str, int, str]:
    """A fact as a line: kind, task, attempt (0: none) and text. `TypeError` for one that must not be told so."""
    if isinstance(fact, Submitted):
        return SUBMITTED, fact.spec.id, 0, ""
    if not isinstance(fact, Ended | CalledBack | SlotFreed):
        raise TypeError(f"{type(fact).__name__} is for the decider alone")
    return type(fact).__name__, fact.task_id, fact.attempt or 0, encode(fact).decode()


def fact_of(kind: str, body: str) -> Fact:
    """The fact of a line that is no submission; its `ref` is 1 when an answer is wanted. Raises `ValueError`."""
    decoder = _TOLD.get(kind)
    if decoder is None:
        raise ValueError(f"a line of the unknown kind {kind}")
    fact: Fact = decoder.decode(body)
    return fact


def parcel(effect: Dispatch, server: Server) -> str:
    """An attempt for another node."""
    target = Target(server.predict, server.max_concurrent, server.is_async, server.api_key)
    effect.payload = None
    return encode(Parcel(effect, target)).decode()


def unpack(body: str) -> tuple[Dispatch, Server]:
    """An attempt to send, and its server as far as that takes. Raises `ValueError`."""
    found = _parcel(body)
    effect, target = found.attempt, found.target
    server = Server(
        id=effect.server_id,
        name=effect.server_id,
        predict=target.predict,
        health_url="",
        registered_at=0,
        health=Health(),
        max_concurrent=target.max_concurrent,
        is_async=target.is_async,
        api_key=target.api_key,
    )
    return effect, server


def abort_of(body: str) -> Abort:
    """An attempt to give up. Raises `ValueError`."""
    return _abort(body)


def verdict(seq: int, result: Result) -> str:
    """The answer to a line."""
    match result:
        case Refusal():
            return encode(Verdict(seq, refused=result)).decode()
        case TaskDone():
            return encode(Verdict(seq, task=result)).decode()
        case SubmitDone() | ServerDone() | AlgorithmDone() | NoteDone():
            raise TypeError(f"{type(result).__name__} answers no line")


def verdict_of(body: str) -> tuple[int, Result]:
    """A line's number and the answer to it. Raises `ValueError`."""
    found = _verdict(body)
    result = found.refused or found.task
    if result is None:
        raise ValueError("a verdict that says nothing")
    return found.seq, result
