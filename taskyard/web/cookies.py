"""Cookies: what a request carries, and the one that keeps a session. Knows nothing of what a session holds."""

from __future__ import annotations

from typing import Final

# The browser takes a `__Host-` cookie only over HTTPS, for this host alone and for all of its paths.
SESSION: Final = "taskyard"
SECURE_SESSION: Final = "__Host-taskyard"
LANGUAGE: Final = "taskyard-lang"
THEME: Final = "taskyard-theme"


def cookies(header: bytes | None) -> dict[str, str]:
    """The cookies of a `Cookie` header by name; the first of a name counts, what is no pair is passed over."""
    found: dict[str, str] = {}
    for pair in (header or b"").decode("latin-1").replace(",", ";").split(";"):
        name, sign, value = pair.strip().partition("=")
        if sign:
            found.setdefault(name, value.strip('"'))
    return found


def session_of(header: bytes | None) -> str | None:
    """The session's token, or `None` without a session."""
    given = cookies(header)
    return given.get(SECURE_SESSION) or given.get(SESSION) or None


def keep_session(token: str, seconds: int, *, secure: bool) -> bytes:
    """The `Set-Cookie` that keeps a token for so long."""
    name = SECURE_SESSION if secure else SESSION
    flags = "; Secure" if secure else ""
    return f"{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{flags}".encode("ascii")


def end_session() -> tuple[bytes, ...]:
    """The `Set-Cookie`s that end a session, however it was kept."""
    gone = "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
    return f"{SESSION}{gone}".encode(), f"{SECURE_SESSION}{gone}; Secure".encode()
