"""A request's head, beyond what the parser reads of it. Pure functions; knows no connection."""

from __future__ import annotations

from urllib.parse import unquote

import httptools

from taskyard.api.request import Request

_HOP_BY_HOP = (b"connection", b"upgrade", b"http2-settings")
Lines = list[tuple[bytes, bytes]]


def target(url: bytes) -> tuple[str, bytes]:
    """A request target's path, without percent signs, and its query as sent."""
    if not url.startswith(b"/"):
        try:
            parts = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return url.decode("latin-1"), b""
        url = (parts.path or b"/") + (b"?" + parts.query if parts.query else b"")
    raw, _, query = url.partition(b"#")[0].partition(b"?")
    path = raw.decode("utf-8", "replace")
    return (unquote(path) if "%" in path else path), query


def fields(lines: Lines) -> dict[bytes, bytes]:
    """The fields by name in lower case. One that comes twice is one list (RFC 9110, 5.3): whoever read the head before
    the node and took the first of them, or the last, let through what the node reads as neither."""
    found = {name.lower(): value for name, value in lines}
    if len(found) < len(lines):
        found = {}
        for name, value in lines:
            name = name.lower()
            found[name] = found[name] + b", " + value if name in found else value
    return found


def size_of(url: bytes, lines: Lines) -> int:
    """The bytes of a head, as far as they are the client's choice."""
    return len(url) + sum(len(name) + len(value) + 4 for name, value in lines)


def expects(request: Request) -> bool:
    """Whether the client waits for word before it sends its body."""
    expect = request.headers.get(b"expect")
    return expect is not None and expect.lower() == b"100-continue"


def without_upgrade(method: bytes, url: bytes, version: bytes, lines: Lines) -> bytes:
    """The head that would have come from a client that asks for no upgrade."""
    kept = [(name, value) for name, value in lines if name.lower() not in _HOP_BY_HOP]
    if any(name.lower() == b"connection" and b"close" in value.lower() for name, value in lines):
        kept.append((b"connection", b"close"))
    written = b"".join(name + b": " + value + b"\r\n" for name, value in kept)
    return b"%s %s HTTP/%s\r\n%s\r\n" % (method, url, version, written)


def wants_websocket(method: bytes, version: str, lines: Lines) -> bool:
    """Whether a head that asks for an upgrade asks for a WebSocket (RFC 6455, 4.1)."""
    asked = b",".join(value for name, value in lines if name.lower() == b"upgrade")
    return method == b"GET" and version == "1.1" and b"websocket" in asked.lower().replace(b" ", b"").split(b",")


def words(error: Exception) -> str:
    """What a parser says is wrong, where that is fit for a client."""
    text = str(error)
    return text if text and text.isascii() and len(text) < 200 else "it cannot be read"
