"""Opening a connection: the name's checked addresses in turn, TLS, and waiting while this process lacks descriptors."""

import asyncio
import errno
import os
import socket
import ssl
from ipaddress import IPv4Address

from taskyard.host.transport.address import Address, AddressPolicy
from taskyard.host.transport.connection import Connection
from taskyard.host.transport.pool import Pool
from taskyard.host.transport.port import Unreached
from taskyard.host.transport.target import Target

# Descriptors and memory: what this process, or this machine, may lack for a while.
OWN_WANTS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
WANT_PAUSE_S = 0.1


class Dialer:
    """Opens connections within the address policy. `tls`: None is the system's trust store, read at the first https."""

    def __init__(self, policy: AddressPolicy, tls: ssl.SSLContext | None, loop: asyncio.AbstractEventLoop) -> None:
        self._policy = policy
        self._tls = tls
        self._loop = loop

    async def connect(self, pool: Pool, target: Target, deadline: float) -> Connection:
        """A connection that `pool` is to have. Raises Unreached when there is none at `deadline` (loop time).

        The host's checked addresses are tried in order; each gets an even share of the time that is left.
        """
        try:
            async with asyncio.timeout_at(deadline):
                addresses = await self._policy.resolve(target.host, target.port)
        except TimeoutError:
            raise Unreached(
                f"{target.host} could not be resolved in time", "its name was not resolved in time"
            ) from None
        except OSError as error:
            why = _reason(error)
            raise Unreached(f"{target.host} could not be resolved: {why}", f"its name: {why}") from None
        failures: list[str] = []
        shown: dict[str, None] = {}
        for left, address in zip(range(len(addresses), 0, -1), addresses, strict=True):
            now = self._loop.time()
            until = now + (deadline - now) / left
            try:
                return await self._dial_when_possible(pool, target, address, until)
            except TimeoutError:
                failures.append(f"{address}: no connection in time")
                shown["no connection in time"] = None
            except OSError as error:
                failures.append(f"{address}: {_reason(error)}")
                # The words about a certificate may name the host.
                trust = isinstance(error, ssl.SSLCertVerificationError)
                shown["certificate not trusted" if trust else _reason(error)] = None
        raise Unreached(
            f"no connection to {target.place} ({'; '.join(failures)})", f"no connection to it: {'; '.join(shown)}"
        )

    async def _dial_when_possible(self, pool: Pool, target: Target, address: Address, until: float) -> Connection:
        """Waits while it is this process that lacks what a connection takes: the server must not be blamed for it.

        Raises TimeoutError when there is no connection by `until`, or what was lacking then.
        """
        want: OSError | None = None
        try:
            async with asyncio.timeout_at(until):
                while True:
                    try:
                        want = None
                        return await self._dial(pool, target, address)
                    except OSError as error:
                        if error.errno not in OWN_WANTS:
                            raise
                        want = error
                    await asyncio.sleep(WANT_PAUSE_S)
        except TimeoutError:
            if want is not None:
                raise want from None
            raise

    async def _dial(self, pool: Pool, target: Target, address: Address) -> Connection:
        loop = self._loop
        family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, (str(address), target.port))
            tls = self._context() if target.scheme == "https" else None
            name = target.host.removesuffix(".") if tls else None
            _, connection = await loop.create_connection(
                lambda: Connection(pool, loop, sock), sock=sock, ssl=tls, server_hostname=name
            )
        except BaseException:
            sock.close()
            raise
        return connection

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls


def _reason(error: OSError) -> str:
    """What went wrong, in the words of the operating system or of TLS."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not trusted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'the handshake failed'}"
    if isinstance(error, socket.gaierror):
        return str(error.strerror)
    return os.strerror(error.errno) if error.errno else "the connection was closed in the handshake"
