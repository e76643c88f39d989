"""Whether a change comes from the dashboard's own pages. Browsers send cookies whoever asks them to; this is asked of
every change that a cookie signs. Knows nothing of what changes."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from taskyard.api.problems import UNSUPPORTED, Kind, Problem

FOREIGN = Kind(403, "Forbidden: another origin")


def check_change(headers: dict[bytes, bytes], public_base: str) -> None:
    """Raises `Problem` (403, 415) unless a page of this node, reached by whatever name, made the request as JSON.

    `public_base` is the node's own URL as its configuration has it: a proxy may hide the name that the browser used.
    """
    origin = headers.get(b"origin", b"").decode("latin-1").lower()
    if not origin:
        raise Problem(FOREIGN, "with a cookie a change needs the header Origin; programs send a Bearer token instead")
    if headers.get(b"sec-fetch-site", b"same-origin") != b"same-origin" or not ours(origin, headers, public_base):
        raise Problem(FOREIGN, f"this change came from a page of {origin[:200]!r}, which is not this node's")
    media = headers.get(b"content-type", b"").decode("latin-1").partition(";")[0].strip().lower()
    if media != "application/json":
        raise Problem(UNSUPPORTED, "with a cookie the Content-Type must be application/json")


def ours(origin: str, headers: dict[bytes, bytes], public_base: str) -> bool:
    scheme, _, authority = origin.partition("://")
    if scheme not in ("http", "https") or not authority:
        return False
    if authority == headers.get(b"host", b"").decode("latin-1").lower():
        return True
    public = urlsplit(public_base.lower())
    return origin == f"{public.scheme}://{public.netloc}"


def encrypted(headers: dict[bytes, bytes]) -> bool:
    """Whether the page that makes the request came over HTTPS."""
    return headers.get(b"origin", b"").lower().startswith(b"https://")


def local(headers: dict[bytes, bytes]) -> bool:
    """Whether the page that makes the request came from the browser's own machine."""
    try:
        host = urlsplit(headers.get(b"origin", b"").decode("latin-1")).hostname or ""
    except ValueError:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
