"""From what stands in a file, an environment or a flag to a typed value: one reader for each kind of setting.

A reader takes a TOML value or a text and gives the typed value, or raises ValueError with a predicate
("is not …") that never repeats the value, since the value may be a secret. It knows no setting by name.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from taskyard.settings.secret import Secret
from taskyard.settings.units import duration, size, whole

# HS256 wants a key at least as long as its hash (RFC 7518, 3.2); HKDF and Fernet no less.
SECRET_BYTES: Final = 32
# A host name, or all below one; a last label that is a number would be read as an address.
_PLACE = re.compile(
    r"(?=.{1,253}$)(\*?\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*(?![0-9]+$|0x)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
)
_HOST = re.compile(r"[A-Za-z0-9._:\[\]%-]{1,255}", re.ASCII)


def text(raw: object) -> str:
    if not isinstance(raw, str) or not raw.strip():
        raise ValueError("is not a text")
    if "\0" in raw or not raw.isprintable():
        raise ValueError("has control characters in it")
    return raw.strip()


def switch(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.strip().lower() in ("true", "yes", "on", "1"):
        return True
    if isinstance(raw, str) and raw.strip().lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError("is neither true nor false")


def share(raw: object) -> float:
    try:
        if isinstance(raw, bool) or not isinstance(raw, int | float | str):
            raise ValueError
        return float(raw)
    except (ValueError, OverflowError):
        raise ValueError("is not a number") from None


def choice(raw: object) -> str:
    return text(raw).lower()


def host(raw: object) -> str:
    name = text(raw)
    if not _HOST.fullmatch(name):
        raise ValueError("is not a host name or an address")
    return name


def url(raw: object) -> str:
    address = text(raw)
    try:
        parts = urlsplit(address)
        good = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        good = False
    if not good or any(character.isspace() for character in address):
        raise ValueError("is not an http:// or https:// URL")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("has a user, a query or a fragment in it")
    return address.rstrip("/")


def database(raw: object) -> Secret:
    address = text(raw)
    if not address.startswith(("postgresql://", "postgres://")):
        raise ValueError("is not a postgresql:// URL")
    return Secret(address)


def words(raw: object) -> tuple[str, ...]:
    """A TOML list of texts, or one text with commas."""
    if isinstance(raw, str):
        return tuple(text(part) for part in raw.split(",") if part.strip())
    if isinstance(raw, list | tuple):
        return tuple(text(part) for part in raw)
    raise ValueError("is not a list of texts")


def origins(raw: object) -> tuple[str, ...]:
    found = words(raw)
    for origin in found:
        if origin == "*":
            raise ValueError("has * in it, and an answer with credentials must name its origin")
        if urlsplit(url(origin)).path or origin.endswith("/"):
            raise ValueError("has an origin with a path in it (an origin is https://host or https://host:port)")
    return found


def networks(raw: object) -> tuple[str, ...]:
    try:
        return tuple(str(ipaddress.ip_network(part, strict=False)) for part in words(raw))
    except ValueError:
        raise ValueError("is not a list of IP addresses or networks") from None


def places(raw: object) -> tuple[str, ...]:
    """Networks, addresses, host names, and suffixes of them (`.example.com`, `*.example.com`)."""
    found = []
    for part in words(raw):
        try:
            found.append(str(ipaddress.ip_network(part, strict=False)))
        except ValueError:
            name = part.lower()
            if not _PLACE.fullmatch(name):
                raise ValueError("is not a list of networks and host names") from None
            found.append(name)
    return tuple(found)


def secrets(raw: object) -> tuple[Secret, ...]:
    """One or more shared secrets. A TOML list keeps commas inside a secret, a text is split at them."""
    if isinstance(raw, str):
        parts = [part.strip() for part in raw.split(",") if part.strip()]
    elif isinstance(raw, list | tuple) and all(isinstance(part, str) for part in raw):
        parts = [part.strip() for part in raw]
    else:
        raise ValueError("is not a list of secrets")
    for place, part in enumerate(parts, 1):
        which = f"has as its secret number {place} one that" if len(parts) > 1 else "is a secret that"
        try:
            length = len(part.encode())
        except UnicodeEncodeError:
            raise ValueError(f"{which} is not valid UTF-8") from None
        if length < SECRET_BYTES:
            raise ValueError(
                f"{which} has only {length} bytes, and a key shorter than {SECRET_BYTES} can be guessed from one token"
                + (" (a comma parts two secrets)" if len(parts) > 1 else "")
            )
        if part.startswith(("-----BEGIN", "ssh-")):
            raise ValueError(f"{which} is a public or private key, not a shared secret")
    if len({*parts}) < len(parts):
        raise ValueError("has the same secret twice")
    return tuple(Secret(part) for part in parts)


READERS: Final[dict[str, Callable[[object], object]]] = {
    "whole": whole,
    "duration": duration,
    "size": size,
    "share": share,
    "switch": switch,
    "text": text,
    "choice": choice,
    "host": host,
    "url": url,
    "database": database,
    "words": words,
    "origins": origins,
    "networks": networks,
    "places": places,
    "secrets": secrets,
}

# What a person may write, in the words of the table and of the error messages.
ALLOWED: Final[dict[str, str]] = {
    "whole": "a whole number",
    "duration": 'a duration such as 1500 (ms), "30s", "5m", "7d"',
    "size": 'a size such as 1024 (bytes), "64KiB", "1MiB"',
    "share": "a number",
    "switch": "true or false",
    "text": "a text",
    "choice": "one of",
    "host": "a host name or an address",
    "url": "an http:// or https:// URL without user, query and fragment",
    "database": "a postgresql:// URL",
    "words": "texts, by commas",
    "origins": "origins such as https://ui.example.org, by commas",
    "networks": "IP addresses or networks such as 10.0.0.0/8, by commas",
    "places": "addresses, networks such as 10.0.0.0/8, host names, suffixes such as .example.com, by commas",
    "secrets": f"secrets of at least {SECRET_BYTES} bytes, by commas",
}
