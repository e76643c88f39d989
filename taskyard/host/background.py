"""What a node does again and again beside its turns: it outlives whatever a round raises. Knows of no such work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

import structlog

log = structlog.get_logger()


async def keep_doing(
    what: str,
    once: Callable[[], Awaitable[None]],
    failed: Callable[[str], None],
    *,
    expected: tuple[type[Exception], ...],
    pause_s: float,
) -> NoReturn:
    """Do a thing again and again until this task is cancelled.

    A round that raises is logged, told to `failed` and followed by a pause; of what is `expected` the message will do.
    """
    while True:
        try:
            await once()
            continue
        except expected as error:
            log.warning("round_failed", what=what, reason=str(error), detail=getattr(error, "detail", ""))
        except Exception:
            log.exception("round_broken", what=what)
        failed(what)
        await asyncio.sleep(pause_s)
