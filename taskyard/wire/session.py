"""A browser's session."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from taskyard.wire.base import Answer, Body, Time


class SignIn(Body):
    """A token to keep as a cookie."""

    token: Annotated[str, Meta(min_length=1, max_length=8192, description="As `taskyard token` makes it.")]


class Session(Answer):
    """Who is signed in."""

    sub: str
    roles: Annotated[list[str], Meta(description="Out of admin, user, service.")]
    exp: Annotated[Time, Meta(description="When the token expires.")]


class SignedOut(Answer):
    """The cookie is gone."""

    success: bool = True
