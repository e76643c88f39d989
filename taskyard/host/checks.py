"""Health checks: carries out `Check`. A GET of the server's health URL, read into a `Checked` fact. Decides nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from taskyard.domain.server import Server
from taskyard.engine.facts import Checked, Fact
from taskyard.engine.plan import Check
from taskyard.host.transport.port import Bounds, Reply, Transport, TransportError

log = structlog.get_logger()
HEALTH_ANSWER_MOST = 64 * 1024
CAPABILITIES_MOST = 256
CAPABILITY_LENGTH_MOST = 128


class Checks:
    """Runs checks. `put` takes the facts, `servers` finds a server, `limit_ms` bounds a check, DNS included."""

    def __init__(
        self,
        transport: Transport,
        put: Callable[[Fact], None],
        servers: Callable[[str], Server | None],
        limit_ms: int,
    ) -> None:
        self._transport = transport
        self._put = put
        self._servers = servers
        self._limit_ms = limit_ms
        self._running: set[asyncio.Task[None]] = set()

    def check(self, effect: Check) -> None:
        """Begin a check."""
        task = asyncio.get_running_loop().create_task(self._check(effect))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Cut off everything."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _check(self, effect: Check) -> None:
        server = self._servers(effect.server_id)
        if server is None:
            self._put(Checked(effect.ref, server_id=effect.server_id, passed=False, took_ms=0, error="removed"))
            return
        began = time.monotonic()
        url = server.health_url
        capabilities: tuple[str, ...] | None = None
        bounds = Bounds(total_ms=self._limit_ms, body_max=HEALTH_ANSWER_MOST, connect_ms=self._limit_ms)
        try:
            async with asyncio.timeout(self._limit_ms / 1000):
                reply = await self._transport.get(url, (), bounds, pool_key=f"{server.id} health", max_connections=2)
            error, capabilities = read_health(reply, server.id)
        except TransportError as failure:
            error = str(failure)
        except TimeoutError:
            error = f"no answer within {self._limit_ms} ms"
        except Exception:  # ours; the next check may do better, and must come
            log.exception("check_broken", server=server.id)
            error = "the node failed to check it"
        self._put(
            Checked(
                effect.ref,
                server_id=server.id,
                passed=error is None,
                took_ms=int((time.monotonic() - began) * 1000),
                error=error,
                capabilities=capabilities,
                url=url,
            )
        )


def read_health(reply: Reply, server_id: str) -> tuple[str | None, tuple[str, ...] | None]:
    """Why a health answer is a failed check (`None`: it passed), and the capabilities it claims, if any."""
    if not 200 <= reply.status < 300:
        return f"answered {reply.status} instead of 2xx", None
    try:
        body: Any = msgspec.json.decode(reply.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return f"answered {reply.status}, but not with JSON", None
    status = body.get("status") if isinstance(body, dict) else None
    if not isinstance(status, str) or status.strip().lower() != "healthy":
        return f'answered {reply.status}, but without "status": "healthy"', None
    named = body.get("serverId")
    if named is not None and named != server_id:
        return f"answered {reply.status}, but `serverId` is {str(named)[:128]}", None
    claimed = body.get("capabilities")
    if not isinstance(claimed, list) or len(claimed) > CAPABILITIES_MOST:
        return None, None
    if not all(
        isinstance(word, str) and 0 < len(word) <= CAPABILITY_LENGTH_MOST and "\0" not in word for word in claimed
    ):
        return None, None
    return None, tuple(dict.fromkeys(claimed))
