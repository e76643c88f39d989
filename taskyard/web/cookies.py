"""Cookies: what a request carries, and the one that keeps a session. Knows nothing of what a session holds."""

from __future__ import annotations

from typing import Final

# The browser takes a `__Host-` cookie only over HTTPS, for this host alone and for all of its paths.
SESSION: Final = "taskyard"
SECURE_SESSION: Final = "__Host-taskyard"
LANGUAGE: Final = "taskyard-lang"
THEME: Final = "taskyard-theme"
_GONE = "=; Path=/; Max-Age=0; HttpOnly; SameSite=Strict"
_PLAIN_GONE = f"{SESSION}{_GONE}".encode()


def cookies(header: bytes | None) -> dict[str, str]:
    """The cookies of a `Cookie` header by name; the first of a name counts, what is no pair is passed over."""
    found: dict[str, str] = {}
    for pair in (header or b"").decode("latin-1").replace(",", ";").split(";"):
        name, sign, value = pair.strip().partition("=")
        if sign:
            found.setdefault(name, value.strip('"'))
    return found


def session_of(header: bytes | None, *, secure_only: bool) -> str | None:
    """The session's token, or `None` without a session.

    `secure_only`: the plain cookie is none, for another host of the same domain can set it.
    """
    given = cookies(header)
    return given.get(SECURE_SESSION) or (None if secure_only else given.get(SESSION)) or None


def keep_session(token: str, seconds: int, *, secure: bool) -> tuple[bytes, ...]:
    """The `Set-Cookie`s that keep a token for so long; a secure one in place of a plain one."""
    flags = f"; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict"
    if secure:
        return f"{SECURE_SESSION}={token}{flags}; Secure".encode("ascii"), _PLAIN_GONE
    return (f"{SESSION}={token}{flags}".encode("ascii"),)


def end_session() -> tuple[bytes, ...]:
    """The `Set-Cookie`s that end a session, however it was kept."""
    return _PLAIN_GONE, f"{SECURE_SESSION}{_GONE}; Secure".encode()
