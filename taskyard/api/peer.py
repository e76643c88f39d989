"""Who is at the other end of a connection, seen through trusted proxies."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text.strip().split("%", 1)[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


class Proxies:
    """The proxies whose `X-Forwarded-For` is believed."""

    def __init__(self, networks: Iterable[str]) -> None:
        self._networks = [ip_network(network, strict=False) for network in networks]

    def trusted(self, peer: str) -> bool:
        """Whether the address is one of them."""
        address = _address(peer)
        return address is not None and any(
            address.version == network.version and address in network for network in self._networks
        )

    def client(self, peer: str, forwarded: bytes | None) -> str:
        """The address behind the proxies that are trusted, the nearest that is none of theirs; of IPv6 its /64."""
        found = peer
        for hop in reversed([*(forwarded or b"").decode("latin-1").split(","), peer]):
            if _address(hop) is None:
                break
            found = hop
            if not self.trusted(hop):
                break
        address = _address(found)
        if isinstance(address, IPv6Address) and not address.is_loopback:
            return str(ip_network((address, 64), strict=False))
        return peer if address is None else str(address)

    def from_loopback(self, peer: str, forwarded: bytes | None) -> bool:
        """Whether a request comes from this machine; of a forwarded one, only a trusted proxy can say so."""
        address = _address(peer)
        if address is None or not address.is_loopback:
            return False
        if forwarded is None:
            return True
        hops = [_address(hop) for hop in forwarded.decode("latin-1").split(",")]
        return self.trusted(peer) and all(hop is not None and hop.is_loopback for hop in hops)
