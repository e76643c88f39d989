"""What an operation of the API is. Routes, roles, validation and the OpenAPI document are all made from these."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from taskyard.api.call import Call, Reply
from taskyard.host.port import Decider
from taskyard.tokens import Principal
from taskyard.wire.base import Answer, Body, Query
from taskyard.wire.reader import Reader

Handler = Callable[[Call, Any], Awaitable[Answer | Reply]]

ANYONE = frozenset({"admin", "user", "service"})
USERS = frozenset({"admin", "user"})
SERVICES = frozenset({"admin", "service"})
ADMINS = frozenset({"admin"})


class NoBody(Body):
    """Nothing is expected."""


class NoQuery(Query):
    """Nothing is expected."""


NO_BODY = Reader(NoBody)
NO_QUERY = Reader(NoQuery)


def decider_alone(decider: Decider, who: Principal) -> bool:
    """It takes what only the decider's memory knows, or a turn."""
    return False


def any_node(decider: Decider, who: Principal) -> bool:
    """The store has all that it takes."""
    return True


def any_with_room(decider: Decider, who: Principal) -> bool:
    """Every node takes tasks in; near a limit the decider, which counts them."""
    return not (decider.careful or who.sub in decider.owners)


def backends_word(decider: Decider, who: Principal) -> bool:
    """Every node takes a backend's word, but a verdict by hand is the decider's to carry out."""
    return "service" in who.roles


@dataclass(frozen=True, slots=True)
class Example:
    """A request body that works, shown in the docs."""

    summary: str
    value: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call.

    `path` has variable parts in braces; `aliases` are other paths with the same meaning, `also` other methods on all of
    them. `roles` is `None` when no token is needed. `takes` reads the body (POST, PUT, PATCH) or else the query.
    `before` runs before the body is read, `too_large` when the body is over the limit (a result's, with `results`).
    `errors` are the status codes beyond those that every call can have, with what they mean here. `anywhere` says
    whether a node that does not decide answers it itself; all else under /api is passed on to the one that does. With
    `waits` its caller may ask to wait for the end of the task that it submits.
    """

    method: str
    path: str
    tag: str
    summary: str
    description: str
    handler: Handler
    takes: Reader[Any]
    answers: tuple[type[Answer], ...] = ()
    media: str = "application/json"
    roles: frozenset[str] | None = ANYONE
    aliases: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    before: Callable[[Call], Awaitable[None]] | None = None
    too_large: Callable[[Call], Awaitable[None]] | None = None
    results: bool = False
    errors: dict[int, str] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    hidden: bool = False
    upgrades: bool = False
    anywhere: Callable[[Decider, Principal], bool] = decider_alone
    waits: bool = False

    @property
    def is_the_nodes(self) -> bool:
        """Whether it speaks of the node that is asked, and not of the yard."""
        return not self.path.startswith("/api/") and not self.upgrades

    @property
    def has_body(self) -> bool:
        """Whether a body is read."""
        return self.method in ("POST", "PUT", "PATCH")
