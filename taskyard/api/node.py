"""Runs a node: binds its addresses, starts the node and the HTTP server in one loop, and stops both in order."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import structlog

from taskyard.api.app import App
from taskyard.api.descriptors import take_all
from taskyard.api.live.hub import Hub
from taskyard.api.server import BACKLOG, HttpServer
from taskyard.host.bulk import BulkJobs
from taskyard.host.errors import StartError
from taskyard.host.node import Node
from taskyard.settings import Settings

log = structlog.get_logger("taskyard")
_TRIES = 20


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on all addresses of a host, on one port (0: a free one). Raises `StartError`."""
    if host != "localhost":
        return [_bind(host.strip("[]"), port)]
    for _ in range(_TRIES):
        first = _bind("127.0.0.1", port)
        bound = first.getsockname()[1]
        try:
            return [first, _bind("::1", bound)]
        except StartError:
            if not _has_ipv6():
                return [first]
            first.close()
            if port:
                raise
    raise StartError("No port is free on both 127.0.0.1 and ::1; name one by --port.")


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _bind(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise StartError(f"--host {host}: {error.strerror or error}; give an address of this machine.") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise StartError(_refused(host, port, error)) from None
    return listener


def _refused(host: str, port: int, error: OSError) -> str:
    if isinstance(error, PermissionError):
        return f"Port {port} needs more rights than this user has; take one above 1023 by --port."
    if "in use" in (error.strerror or ""):
        return f"Port {port} on {host} is in use; stop what listens there, or take another by --port."
    return (
        f"Cannot listen on {host}, port {port}: {error.strerror or error}; give an address of this machine by --host."
    )


class Running:
    """A node with its HTTP server. `stop()` drains both; `wait()` ends when they have."""

    def __init__(self, node: Node, server: HttpServer, app: App, port: int) -> None:
        self.node = node
        self.server = server
        self.port = port
        self.live = app.live
        self._app = app
        self._stopping: asyncio.Task[None] | None = None
        self._asked = asyncio.Event()

    def stop(self) -> None:
        """Begin to stop: take nothing new, finish what runs. A second call does not wait for that."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._drain(), name="drain")
            self._asked.set()
        else:
            self._stopping.cancel()
            self.server.force()

    async def _drain(self) -> None:
        log.info("node_draining")
        self.live.close()
        await self._app.bulk.close()
        await self._app.sign_ins.close()
        await self.node.drain()

    async def wait(self) -> None:
        """Until both have stopped, which they do when asked to."""
        try:
            await self._asked.wait()
            assert self._stopping is not None
            await asyncio.gather(self._stopping, return_exceptions=True)
        finally:
            await self.server.stop(self.node.settings.last_answers_timeout / 1000)
            await self.node.stop()


async def start(settings: Settings) -> Running:
    """Start a node and its server. Raises `StartError`."""
    sockets = bind(settings.host, settings.port)
    try:
        port: int = sockets[0].getsockname()[1]
        settings = msgspec.structs.replace(settings, port=port)
        node = Node(settings)
        bulk, live = BulkJobs(node), Hub(node)
        app = App(node, bulk, live)
        server = HttpServer(app, settings)
        await node.start([listener.getsockname()[:2] for listener in sockets])
        try:
            await server.start_on(sockets)
        except BaseException:
            await server.stop(0)
            await node.stop()
            raise
    except BaseException:
        for listener in sockets:
            listener.close()
        raise
    log.info("listening", host=settings.host, port=port, url=settings.public_base())
    return Running(node, server, app, port)


async def _run(settings: Settings, on_ready: Callable[[Settings], None]) -> None:
    running = await start(settings)
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, running.stop)
    on_ready(running.node.settings)
    await running.wait()


def run(settings: Settings, on_ready: Callable[[Settings], None] = lambda _: None) -> None:
    """Run a node until SIGTERM or SIGINT; the second signal does not wait for what runs. Raises `StartError`.

    `on_ready` is called once, when the node listens, with the settings it runs by: `port` is the one that was bound.
    """
    os.umask(0o077)
    take_all()
    _configure_log(settings)
    runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run
    if sys.platform != "win32":
        import uvloop

        runner = uvloop.run
    runner(_run(settings, on_ready))


def _configure_log(settings: Settings) -> None:
    """Lines of JSON on standard error; exceptions in full; never a secret, for none is ever given to the log."""
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries speak through the standard library's logging: only their warnings are of interest.
    logging.basicConfig(level=logging.WARNING, handlers=[_ToLog()])


class _ToLog(logging.Handler):
    """Hands what libraries log to our log, so that all lines have one form."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
        except Exception:
            self.handleError(record)
