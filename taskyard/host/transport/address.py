"""Which addresses an outgoing connection may go to. Knows host names and addresses, never connects.

A name is resolved once per connection, each of its addresses is checked, and the caller connects to the checked
addresses themselves, so a name that changes its mind in between gains nothing. Addresses that fail are left out and
the rest is used: a name that carries a link-local address beside a good one is everyday (mDNS, dual stack), and a
denied address is never connected to either way. Only when none is left is the host denied.

**Denied** is what the address is or may lead to: an IPv6 address that embeds an IPv4 one (mapped, NAT64, 6to4, Teredo,
…) is judged by both. **Allowed** (`ENDPOINT_ALLOW`) is what the address itself is: only the mapped form, which the
operating system sends as IPv4, counts as the IPv4 address in it.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from taskyard.host.transport import target
from taskyard.host.transport.port import AddressDenied

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]  # host, port -> addresses as text; raises OSError

CACHE_S = 3.0  # a backend that closes every connection must not cost a look-up each time
CACHE_MAX = 1024  # names

DENIED: tuple[tuple[IPv4Network | IPv6Network, str], ...] = tuple(
    (ip_network(network), reason)
    for network, reason in (
        ("0.0.0.0/8", "unspecified"),
        ("169.254.0.0/16", "link-local"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved or broadcast"),
        ("100.100.100.200/32", "cloud metadata"),  # Alibaba Cloud
        ("168.63.129.16/32", "cloud metadata"),  # Azure
        ("192.0.0.192/32", "cloud metadata"),  # Oracle Cloud
        ("::/128", "unspecified"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
        ("fd00:ec2::254/128", "cloud metadata"),  # AWS
        ("fd20:ce::254/128", "cloud metadata"),  # Google Cloud
    )
)

_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognised, not bound
# Where an IPv4 address stands in an IPv6 one: (network, how far its last bit is from the right).
_EMBEDDED = tuple(
    (IPv6Network(network), shift)
    for network, shift in (
        ("::ffff:0:0/96", 0),  # mapped, RFC 4291
        ("::ffff:0:0:0/96", 0),  # translated, RFC 2765
        ("64:ff9b::/96", 0),  # NAT64, RFC 6052
        ("64:ff9b:1::/48", 0),  # local NAT64, RFC 8215, with a /96 prefix
        ("2002::/16", 80),  # 6to4, RFC 3056
        ("2001::/32", 64),  # Teredo's server, RFC 4380
    )
)
_TEREDO, _LOCAL_NAT64, _COMPATIBLE = IPv6Network("2001::/32"), IPv6Network("64:ff9b:1::/48"), IPv6Network("::/96")

_ISATAP = 0x5EFE


def faces(address: Address) -> list[Address]:
    """The address itself, then every IPv4 address that it embeds."""
    found: list[Address] = [address]
    if isinstance(address, IPv4Address):
        return found
    bits = int(address)
    found += [IPv4Address(bits >> shift & 0xFFFFFFFF) for network, shift in _EMBEDDED if address in network]
    if address in _TEREDO:
        found.append(IPv4Address(~bits & 0xFFFFFFFF))  # the client, stored inverted
    if address in _LOCAL_NAT64:  # the prefix may have 48, 56 or 64 bits too: one bad reading is enough to deny
        found += [IPv4Address(_without_u(bits) >> shift & 0xFFFFFFFF) for shift in (40, 32, 24)]
    if bits >> 32 & 0xFDFFFFFF == _ISATAP:  # RFC 5214, with any prefix
        found.append(IPv4Address(bits & 0xFFFFFFFF))
    if address in _COMPATIBLE and bits > 1:  # RFC 4291 §2.5.5.1; :: and ::1 are no such addresses
        found.append(IPv4Address(bits))
    return found


def _without_u(bits: int) -> int:
    """An IPv6 address without its bits 64 to 71, over which an IPv4 address in it jumps (RFC 6052 §2.2)."""
    return bits >> 64 << 56 | bits & (1 << 56) - 1


def is_local(address: Address) -> bool:
    """Whether this machine answers to `address`: whether a socket may bind to it."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's answer, in its order."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class AddressPolicy:
    """The rules of one node.

    `listeners` are the (address, port) pairs the node itself listens on; a wildcard stands for every local address.
    `allow` narrows what is left: networks ("10.0.0.0/8"), addresses, host names, suffixes (".example.com" or
    "*.example.com"); empty allows all that is not denied. Raises ValueError naming a malformed entry.
    """

    def __init__(
        self,
        listeners: Iterable[tuple[str, int]] = (),
        allow: Sequence[str] = (),
        *,
        resolver: Resolver = system_resolver,
    ) -> None:
        self._listeners: set[tuple[Address, int]] = set()
        self._wildcard_ports: set[int] = set()
        for ip, port in listeners:
            self._listeners.add((ip_address(ip), port))
            if ip in _WILDCARDS:
                self._wildcard_ports.add(port)
        self._networks: list[IPv4Network | IPv6Network] = []
        self._names: set[str] = set()
        self._suffixes: list[str] = []
        for entry in allow:
            self._allow(entry.strip().lower())
        self._narrowed = bool(allow)
        self._resolver = resolver
        self._known: dict[tuple[str, int], tuple[float, asyncio.Task[Sequence[Address]]]] = {}

    def _allow(self, entry: str) -> None:
        try:
            self._networks.append(ip_network(entry, strict=False))
            return
        except ValueError:
            pass
        name = entry.removeprefix("*")
        bare = name.removeprefix(".")
        if "/" in entry or not target.is_name(bare):
            raise ValueError(f"{entry!r} is neither a network, an address, a host name nor a suffix like .example.com")
        if name.startswith("."):
            self._suffixes.append(name)
        else:
            self._names.add(name)

    def refusal(self, host: str, address: Address, port: int) -> str | None:
        """Why a connection to `address` (which `host` stands for) and `port` is denied, or None."""
        for face in faces(address):
            for network, reason in DENIED:
                if face in network:
                    return f"{address} is a {reason} address"
            if (face, port) in self._listeners or (port in self._wildcard_ports and is_local(face)):
                return f"{address}:{port} is this node itself"
        if not self._narrowed or self._allows_name(host):
            return None
        real = (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
        return None if any(real in network for network in self._networks) else f"{address} is not in ENDPOINT_ALLOW"

    def check_url(self, url: str) -> str | None:
        """Why `url` may not be an endpoint, or None. Looks at its form and at a literal address; resolves nothing."""
        try:
            parsed = target.parse(url)
        except ValueError as error:
            return str(error)
        if parsed.literal is not None:
            return self.refusal(parsed.host, parsed.literal, parsed.port)
        if self._narrowed and not self._networks and not self._allows_name(parsed.host):
            return f"{parsed.host} is not in ENDPOINT_ALLOW"
        return None

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of `host` (a name or a literal) that may be connected to, in the resolver's order.

        Raises AddressDenied when there are some but none passes, OSError when the name cannot be resolved.
        """
        passed: list[Address] = []
        why = "has no address"
        for address in await self._addresses(host, port):
            reason = self.refusal(host, address, port)
            if reason is None:
                passed.append(address)
            else:
                why = reason
        if not passed:
            raise AddressDenied(f"the address policy denies {host}: {why}", "none of its addresses is allowed")
        return passed

    async def _addresses(self, host: str, port: int) -> Sequence[Address]:
        """Resolves, or shares a look-up that is under way or a few seconds old."""
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        now = asyncio.get_running_loop().time()
        expires, task = self._known.get((host, port), (0.0, None))
        if task is None or (task.done() and (now >= expires or task.cancelled() or task.exception() is not None)):
            if len(self._known) >= CACHE_MAX:
                self._known = {key: kept for key, kept in self._known.items() if not kept[1].done()}
            task = asyncio.create_task(self._look_up(host, port))
            task.add_done_callback(_retrieve)
            self._known[host, port] = (now + CACHE_S, task)
        return await asyncio.shield(task)

    async def _look_up(self, host: str, port: int) -> Sequence[Address]:
        return [ip_address(text) for text in await self._resolver(host, port)]

    def _allows_name(self, host: str) -> bool:
        name = host.removesuffix(".")
        return name in self._names or any(name.endswith(suffix) for suffix in self._suffixes)


def _retrieve(task: asyncio.Task[Sequence[Address]]) -> None:
    """Keeps asyncio from logging a failure that nobody waited for."""
    if not task.cancelled():
        task.exception()


def check_url(url: str) -> str | None:
    """`AddressPolicy.check_url` by the rules that hold for every node."""
    return _COMMON.check_url(url)


_COMMON = AddressPolicy()
