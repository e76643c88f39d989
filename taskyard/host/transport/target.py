"""A URL taken apart once: where to connect and the request's unchanging first lines. No I/O, no policy.

The form is narrower than RFC 3986: http or https, a host that is a plain name or a canonical IP literal, no userinfo,
no fragment, printable ASCII only. All that different parsers read differently is refused instead of understood.
"""

import re
from dataclasses import dataclass
from importlib.metadata import version
from ipaddress import AddressValueError, IPv4Address, IPv6Address

URL_MAX = 2048  # characters
PORTS = {"http": 80, "https": 443}

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_FORM = re.compile(r"(https?)://(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?(/.*|\?.*)?", re.IGNORECASE)
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label like this is read as IPv4 by common parsers


@dataclass(frozen=True, slots=True)
class Target:
    """One endpoint. `host` is in lower case and without brackets; `origin` is what connections are shared by."""

    scheme: str
    host: str
    port: int
    origin: tuple[str, str, int]
    literal: IPv4Address | IPv6Address | None  # the host, when it is an address
    post: bytes  # up to and including "Content-Length: "
    get: bytes  # up to and including the last header's line end

    @property
    def place(self) -> str:
        """host:port for messages; the path is left out, it may hold a secret."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(url: str) -> Target:
    """Takes `url` apart. Raises ValueError with a reason fit for the one who wrote the URL."""
    if len(url) > URL_MAX:
        raise ValueError(f"longer than {URL_MAX} characters")
    if not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise ValueError("only printable ASCII without spaces and backslashes is allowed (percent-encode the rest)")
    if "#" in url:
        raise ValueError("a fragment (#…) is not allowed")
    scheme, found, rest = url.partition("://")
    if not found or scheme.lower() not in PORTS:
        raise ValueError("must start with http:// or https://")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    if "@" in authority:
        raise ValueError("a user name or password is not allowed (register an apiKey instead)")
    match = _FORM.fullmatch(url)
    if match is None:
        raise ValueError("the host is missing or malformed" if authority else "the host is missing")
    scheme, host = match[1].lower(), match[2].lower()
    port = int(match[3]) if match[3] else PORTS[scheme]
    if not 0 < port < 65536:
        raise ValueError("the port must be 1-65535")
    literal = _literal(host)
    path = match[4] or "/"
    if path.startswith("?"):
        path = "/" + path
    name = host.strip("[]")
    return Target(scheme, name, port, (scheme, name, port), literal, *_first_lines(scheme, host, port, path))


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` spells, None for a name. Raises ValueError for anything between the two."""
    if host.startswith("["):
        try:
            return IPv6Address(host[1:-1])
        except AddressValueError:
            raise ValueError("the host is not a valid IPv6 address") from None
    labels = host.removesuffix(".").split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return IPv4Address(host)
        except AddressValueError:
            raise ValueError("an IPv4 address must be four decimal numbers without leading zeros") from None
    if not is_name(host):
        raise ValueError("the host is not a valid name")
    return None


def is_name(host: str) -> bool:
    """Whether `host` (in lower case) has the form of a name, a trailing dot allowed; numbers have it too."""
    return len(host) <= 253 and all(_LABEL.fullmatch(label) for label in host.removesuffix(".").split("."))


def _first_lines(scheme: str, host: str, port: int, path: str) -> tuple[bytes, bytes]:
    authority = host if port == PORTS[scheme] else f"{host}:{port}"
    common = (
        f"{path} HTTP/1.1\r\nHost: {authority}\r\nAccept-Encoding: identity\r\nUser-Agent: taskyard/{_VERSION}\r\n"
    ).encode("ascii")
    return b"POST " + common + b"Content-Type: application/json\r\nContent-Length: ", b"GET " + common


_VERSION = version("taskyard")
