"""Facts: everything that changes state, as plain data. What happened, never what to do about it.

`ref` is the host's own number for whoever waits for an answer; 0 when nobody does. `who` is the subject that acts,
`owner` restricts a call to that subject's tasks (`None`: an admin). Times and durations are int ms.
"""

from __future__ import annotations

from dataclasses import dataclass

from taskyard.domain.outcomes import Effect, Outcome, Word
from taskyard.domain.task import Spec


@dataclass(slots=True)
class Fact:
    """What all facts have. `line`: another node stored it, as (node, number); it is deleted with the turn's writes."""

    ref: int = 0
    line: tuple[str, int] | None = None


@dataclass(slots=True, kw_only=True)
class Submitted(Fact):
    """A client submitted a task. `key` and `key_hash` are set when it sent an idempotency key.

    `stored`: its client has the answer, and the store the task, its payload, tags and key: it cannot be refused.
    """

    spec: Spec
    payload: str
    key: str | None = None
    key_hash: str = ""
    stored: bool = False


@dataclass(slots=True, kw_only=True)
class Ended(Fact):
    """The dispatcher's word on an attempt: the backend's answer was judged, or there was none.

    `outcome` may be ACCEPTED. `final`: the task itself is wrong, retries are pointless. `pause_ms`: the wait that a
    `declined` asked for, `None` when it named none. `responded_at`: when the answer's head came. `cut_off`: the
    request was sent and no whole answer came, so the backend may still be at it.
    """

    task_id: str
    attempt: int
    outcome: Outcome
    final: bool = False
    effect: Effect = Effect.NONE
    pause_ms: int | None = None
    result: str | None = None
    error: str | None = None
    error_code: str | None = None
    error_details: str | None = None
    metadata: str | None = None
    http_status: int | None = None
    responded_at: int | None = None
    cut_off: bool = False


@dataclass(slots=True, kw_only=True)
class CalledBack(Fact):
    """A backend's callback. `attempt` comes from its proof; `None` (a service token): the latest attempt."""

    task_id: str
    attempt: int | None
    word: Word
    result: str | None = None
    progress: int | None = None
    message: str | None = None
    error: str | None = None
    error_code: str | None = None
    error_details: str | None = None
    metadata: str | None = None


@dataclass(slots=True, kw_only=True)
class Judged(Fact):
    """A verdict by hand: ends the task whatever its attempt does."""

    task_id: str
    owner: str | None
    who: str
    word: Word
    result: str | None = None
    error: str | None = None
    error_code: str | None = None
    error_details: str | None = None
    message: str | None = None
    metadata: str | None = None


@dataclass(slots=True, kw_only=True)
class CancelAsked(Fact):
    """Someone cancels a task."""

    task_id: str
    owner: str | None
    who: str


@dataclass(slots=True, kw_only=True)
class RetryAsked(Fact):
    """Someone queues an ended task again, or makes a waiting one due at once."""

    task_id: str
    owner: str | None
    who: str


@dataclass(slots=True, kw_only=True)
class PurgeAsked(Fact):
    """Someone erases an ended task's payload and result."""

    task_id: str
    owner: str | None
    who: str


@dataclass(slots=True, kw_only=True)
class SlotFreed(Fact):
    """A backend confirmed that it gave up a cancelled attempt."""

    task_id: str
    attempt: int


@dataclass(slots=True, kw_only=True)
class Registered(Fact):
    """A server registers, or an existing one is changed (`patch`: absent members keep their value).

    `server_id` is what the caller named; `made_id` is used when it named none and its predict URL is unknown.
    `None` members are absent; `api_key` is already encrypted.
    """

    server_id: str | None
    made_id: str
    who: str
    admin: bool
    patch: bool = False
    name: str | None = None
    predict: str | None = None
    health_url: str | None = None
    metrics_url: str | None = None
    cancel_url: str | None = None
    api_key: str | None = None
    capabilities: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    max_concurrent: int | None = None
    weight: int | None = None
    is_async: bool | None = None


@dataclass(slots=True, kw_only=True)
class Unregistered(Fact):
    """A server is removed: what runs may end for a while, the rest is queued again."""

    server_id: str
    who: str
    admin: bool


@dataclass(slots=True, kw_only=True)
class Beat(Fact):
    """A server's heartbeat. `status`: "healthy", "unhealthy", "draining" or `None`; `metrics` is JSON text."""

    server_id: str
    who: str
    admin: bool
    status: str | None = None
    active: int | None = None
    metrics: str | None = None


@dataclass(slots=True, kw_only=True)
class MaintenanceSet(Fact):
    """A server enters or leaves maintenance."""

    server_id: str
    who: str
    admin: bool
    on: bool
    reason: str | None = None


@dataclass(slots=True, kw_only=True)
class CheckAsked(Fact):
    """Someone wants a health check now; answered by the `Checked` that the host sends with the same `ref`."""

    server_id: str
    who: str
    admin: bool


@dataclass(slots=True, kw_only=True)
class Checked(Fact):
    """A health check ended. `error` says why it failed; `capabilities` are what a healthy server claims.

    `url` is what was asked: a check of an address that the server has left meanwhile tells nothing.
    """

    server_id: str
    passed: bool
    took_ms: int
    error: str | None = None
    capabilities: tuple[str, ...] | None = None
    url: str | None = None


@dataclass(slots=True, kw_only=True)
class AlgorithmSet(Fact):
    """The load-balancing policy is switched."""

    name: str
    who: str


@dataclass(slots=True, kw_only=True)
class Noted(Fact):
    """Someone is about to change much: it goes into the audit log first."""

    who: str
    action: str
    target: str
    details: str | None = None


@dataclass(slots=True, kw_only=True)
class DrainBegan(Fact):
    """The node is about to stop: nothing new is dispatched from now on."""


@dataclass(slots=True, kw_only=True)
class NodesSeen(Fact):
    """The nodes that can dispatch, this one included, and how much each of them has in hand; none: this one alone."""

    loads: dict[str, int]


@dataclass(slots=True, kw_only=True)
class NodeGone(Fact):
    """A node has died: what it was sending is lost."""

    node: str
