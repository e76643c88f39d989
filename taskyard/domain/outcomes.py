"""Statuses, outcomes, and the tables that say what follows from each.

Three tables carry the rules; everything else reads them:

- `ANSWERS` and `judge`: a backend's HTTP answer -> the attempt's outcome.
- `AFTER`: an attempt's outcome -> what becomes of the task, its place and its slot.
- `WORDS`: a callback's word -> the attempt's outcome.

This module knows nothing of HTTP bodies, stores or clocks: the host parses, this decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class Status(IntEnum):
    """A task's status. The store keeps the number; the wire shows the name."""

    PENDING = 0
    PROCESSING = 1
    COMPLETED = 2
    FAILED = 3
    TIMEOUT = 4
    CANCELLED = 5

    @property
    def ended(self) -> bool:
        """Ended states are final but for a retry by hand."""
        return self >= Status.COMPLETED


class Outcome(StrEnum):
    """How an attempt ended. `ACCEPTED` is no end: the backend took the task and will call back."""

    ACCEPTED = "accepted"
    COMPLETED = "completed"
    FAILED = "failed"
    TIMEOUT = "timeout"
    DECLINED = "declined"
    UNREACHED = "unreached"
    MISCONFIGURED = "misconfigured"
    LOST = "lost"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class After:
    """What follows when an attempt ends with an outcome.

    - `ends`: the status that ends the task at once, or `None` when it goes back to the queue.
    - `exhausted`: the status that ends the task once its counter passes its limit.
    - `counter`: which counter the attempt uses up: "failures" (limit `maxRetries`), "lost" (limit `MAX_LOST`), or none.
    - `folds`: successive ones on one server make one history entry with a count.
    """

    ends: Status | None = None
    exhausted: Status | None = None
    counter: str | None = None
    folds: bool = False


AFTER: dict[Outcome, After] = {
    Outcome.COMPLETED: After(ends=Status.COMPLETED),
    Outcome.FAILED: After(exhausted=Status.FAILED, counter="failures"),
    Outcome.TIMEOUT: After(exhausted=Status.TIMEOUT, counter="failures"),
    Outcome.DECLINED: After(folds=True),
    Outcome.UNREACHED: After(folds=True),
    Outcome.MISCONFIGURED: After(folds=True),
    Outcome.LOST: After(exhausted=Status.FAILED, counter="lost"),
    Outcome.CANCELLED: After(ends=Status.CANCELLED),
}


class Effect(StrEnum):
    """What an answer says about the server that gave it."""

    NONE = "none"
    PAUSE = "pause"  # it asked us to wait
    SUSPECT = "suspect"  # lowers its score and orders one check
    SET_ASIDE = "set_aside"  # it refuses our key


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict on one answer; `final`: the task itself is wrong, and retries are pointless."""

    outcome: Outcome
    final: bool = False
    effect: Effect = Effect.NONE


ACCEPTED_WORDS = frozenset({"processing", "accepted", "queued", "pending"})
COMPLETED_WORDS = frozenset({"success", "completed"})
FAILED_WORDS = frozenset({"error", "failed"})

_ACCEPTED = Judgement(Outcome.ACCEPTED)
_COMPLETED = Judgement(Outcome.COMPLETED)
_FAILED = Judgement(Outcome.FAILED)
_DECLINED = Judgement(Outcome.DECLINED, effect=Effect.PAUSE)
_SUSPECT = Judgement(Outcome.FAILED, effect=Effect.SUSPECT)

# HTTP status -> judgement, for the codes with a row of their own; the rest goes by class in `judge`.
ANSWERS: dict[int, Judgement] = {
    202: _ACCEPTED,
    400: Judgement(Outcome.FAILED, final=True),
    401: Judgement(Outcome.MISCONFIGURED, effect=Effect.SET_ASIDE),
    403: Judgement(Outcome.MISCONFIGURED, effect=Effect.SET_ASIDE),
    408: _FAILED,
    413: Judgement(Outcome.FAILED, final=True),
    422: Judgement(Outcome.FAILED, final=True),
    425: _FAILED,
    429: _DECLINED,
}


def judge(http_status: int, word: str | None, *, asks_to_wait: bool, server_is_async: bool) -> Judgement:
    """Judge a complete, readable answer to a dispatch.

    `word` is the body's top-level `status` when that is a string; `asks_to_wait` says that the answer carries a
    `Retry-After` or its equivalent in the body. Words are compared without regard to case.
    """
    if http_status != 202 and 200 <= http_status < 300:
        lowered = word.strip().lower() if word is not None else ""
        if lowered in ACCEPTED_WORDS:
            return _ACCEPTED
        if lowered in COMPLETED_WORDS:
            return _COMPLETED
        if lowered in FAILED_WORDS:
            return _FAILED
        if lowered == "cancelled":
            return _DECLINED
        if lowered == "timeout":
            return Judgement(Outcome.TIMEOUT)
        return _ACCEPTED if server_is_async else _COMPLETED
    if http_status == 503 and asks_to_wait:
        return _DECLINED
    return ANSWERS.get(http_status, _SUSPECT)


class Word(StrEnum):
    """What a callback may say."""

    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEOUT = "TIMEOUT"
    CANCELLED = "CANCELLED"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"


# A callback's word -> the outcome it ends the attempt with; PROCESSING ends nothing.
WORDS: dict[Word, Outcome | None] = {
    Word.COMPLETED: Outcome.COMPLETED,
    Word.FAILED: Outcome.FAILED,
    Word.TIMEOUT: Outcome.TIMEOUT,
    Word.CANCELLED: Outcome.DECLINED,
    Word.PENDING: Outcome.DECLINED,
    Word.PROCESSING: None,
}

# A verdict by hand -> the status that ends the task.
VERDICTS: dict[Word, Status] = {
    Word.COMPLETED: Status.COMPLETED,
    Word.FAILED: Status.FAILED,
    Word.TIMEOUT: Status.TIMEOUT,
    Word.CANCELLED: Status.CANCELLED,
}


def backoff_ms(failures: int, base_ms: int, cap_ms: int, chance: float) -> int:
    """The wait before retry number `failures`, in ms: exponential with full jitter.

    `chance` is uniform in [0, 1). Source: "Exponential Backoff And Jitter", AWS Architecture Blog, 2015 (full jitter).
    """
    ceiling = min(cap_ms, base_ms << min(failures - 1, 40)) if failures > 0 else 0
    return int(chance * ceiling)
