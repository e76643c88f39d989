"""Who signed in or out and who was refused: counted by minute, person and address, and written into the audit.

A row a minute for what happens again and again, whoever tries how often; the first of somebody who signed in or out at
once. A node that does not decide has the one that does write it. What cannot be written now is kept for later, up to a
bound; when it is not known whether it was written it is written again.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from taskyard.api.call import Call, Reply
from taskyard.api.internal import read_said, say
from taskyard.engine.facts import Noted
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.port import NodePort

log = structlog.get_logger("taskyard.api")

PATH: Final = "/internal/audit"
BEGIN, END, REFUSE = "session.begin", "session.end", "session.refuse"
OTHERS: Final = "others"
# What other nodes may say at once.
SAID_MOST: Final = 1 << 20
CALL_MS: Final = 5_000
RETRY_S: Final = 2.0


class Seen(msgspec.Struct, frozen=True, array_like=True):
    """What somebody did: `who` ('' for one who was refused), from which address, how it was answered."""

    action: str
    who: str
    address: str
    status: int


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """A row of the audit that is to be."""

    who: str
    action: str
    target: str
    details: str | None


_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(list[Entry]).decode


class SignIns:
    """Those of one node."""

    def __init__(self, node: NodePort) -> None:
        self._node = node
        self._span_s = node.settings.sign_in_span / 1000
        self._most = node.settings.sign_in_sources
        self._counts: dict[Seen, int] = {}
        self._owed: list[Entry] = []
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def note(self, seen: Seen) -> None:
        """Somebody signed in, signed out or was refused."""
        known = seen in self._counts
        if not known and len(self._counts) >= self._most:
            seen = Seen(seen.action, "", OTHERS, seen.status)
            known = True
        if not known and seen.action != REFUSE:
            self._counts[seen] = 0
            self._owed.append(_entry(seen, 1))
        else:
            self._counts[seen] = self._counts.get(seen, 0) + 1
        self._woken.set()
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="audit of sessions")

    async def close(self) -> None:
        """Write what is left, as far as it can be written now."""
        if self._task is not None:
            self._task.cancel()
            self._count_up()
            try:
                async with asyncio.timeout(CALL_MS / 1000):
                    await self._write()
            except (Overloaded, TimeoutError) as error:
                log.warning("sessions_not_in_audit", rows=len(self._owed), reason=str(error))

    async def _run(self) -> None:
        try:
            await self._keep_writing()
        except Exception:
            log.exception("sessions_not_in_audit")
        finally:
            self._task = None

    async def _keep_writing(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + self._span_s
        while self._counts or self._owed:
            pause = due
            try:
                await self._write()
            except Overloaded:
                pause = min(due, loop.time() + RETRY_S)
            self._woken.clear()
            try:
                async with asyncio.timeout_at(pause):
                    await self._woken.wait()
            except TimeoutError:
                pass
            if loop.time() >= due:
                due = loop.time() + self._span_s
                self._count_up()

    def _count_up(self) -> None:
        """A minute is over: what happened again in it makes a row each."""
        counts, self._counts = self._counts, {}
        self._owed += [_entry(seen, count) for seen, count in counts.items() if count]
        if len(self._owed) > 4 * self._most:
            log.warning("sessions_not_in_audit", rows=len(self._owed) - 4 * self._most, reason="too many")
            del self._owed[: -4 * self._most]

    async def _write(self) -> None:
        """Write what is owed. Raises `Overloaded`."""
        while self._owed:
            some = self._owed[: self._most]
            if (decider := self._node.decider) is None:
                await write(self._node, some)
            elif decider.url is None:
                raise Unavailable("no node decides now")
            else:
                await self._node.call_decider(decider.url + PATH, _encode(some), CALL_MS)
            del self._owed[: len(some)]


def _entry(seen: Seen, count: int) -> Entry:
    said = [str(seen.status)] if seen.action == REFUSE else []
    said += [f"{count} times"] if count > 1 or seen.address == OTHERS else []
    return Entry(seen.who, seen.action, seen.address, ", ".join(said) or None)


async def write(node: NodePort, entries: list[Entry]) -> None:
    """Write rows into the audit, by a turn of this node. Raises `Overloaded`."""
    facts = [Noted(who=entry.who, action=entry.action, target=entry.target, details=entry.details) for entry in entries]
    for result in await node.ask_many(facts):
        if isinstance(result, Overloaded):
            raise result


async def answer(call: Call) -> Reply:
    """POST /internal/audit: who signed in at another node. Raises `Problem`, `Overloaded`."""
    entries = await read_said(call, SAID_MOST, _entries)
    if call.node.decider is not None:
        raise Unavailable("this node does not decide")
    await write(call.node, entries)
    return say()
