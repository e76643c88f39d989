"""A backend server of the crash test, as a program: `python -m taskyard.prove.torture.backend KIND PORT LOG SEED`.

KIND is `direct` (answers with the result), `callback` (accepts and calls back until it is heard), `failing` (now and
then fails, in one way or another) or `fragile` (dies of a task whose payload says `poison`, and takes too long for one
that says `slow`). Each attempt that comes is in its log before it is answered, and so is each result before it is
given; every result is another one. The log also says how many attempts were at work at once, and when each left. It
ends when its standard input does.
"""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit

import uvloop

from taskyard.prove.torture.calls import AGAIN, BROKEN, Caller, Message, Reset, listen, orphaned
from taskyard.prove.torture.journal import Journal

Answer = tuple[int, dict[str, str], bytes]
CALLERS = 24
AGAIN_S = 0.05


def _json(status: int, body: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


class Backend:
    """What all kinds share: health, and the log of what came and what was given."""

    def __init__(self, name: str, journal: Journal, rng: Random) -> None:
        self.name = name
        self.journal = journal
        self.rng = rng
        self._busy = 0
        # Whether an attempt is over when it is answered.
        self.answers = True

    async def handle(self, request: Message) -> Answer:
        if request.start[1] == "/health":
            return _json(200, {"status": "healthy"})
        order = request.json
        self._busy += 1
        await self.journal.record(
            event="got", task=order["task_id"], attempt=order["attempt"], server=self.name, busy=self._busy
        )
        try:
            return await self.work(order)
        finally:
            if self.answers:
                self.leave(order)

    def leave(self, order: dict[str, Any]) -> None:
        """The work is done, and nobody has been told yet."""
        self._busy -= 1
        self.journal.note(event="left", task=order["task_id"], attempt=order["attempt"], server=self.name)

    async def work(self, order: dict[str, Any]) -> Answer:
        await asyncio.sleep(self.rng.uniform(0.002, 0.03))
        return await self.complete(order)

    async def complete(self, order: dict[str, Any]) -> Answer:
        return _json(200, {"status": "success", "result": await self.give(order)})

    async def give(self, order: dict[str, Any]) -> dict[str, Any]:
        """A result like no other."""
        result = {
            "by": self.name,
            "attempt": order["attempt"],
            "key": order["request"]["payload"]["key"],
            "mark": f"{self.rng.getrandbits(64):x}",
        }
        await self.journal.record(event="gave", task=order["task_id"], attempt=order["attempt"], result=result)
        return result

    async def fail(self, order: dict[str, Any], how: str) -> None:
        await self.journal.record(event="failed", task=order["task_id"], attempt=order["attempt"], how=how)


class Failing(Backend):
    """Fails now and then."""

    async def work(self, order: dict[str, Any]) -> Answer:
        await asyncio.sleep(self.rng.uniform(0.002, 0.03))
        dice = self.rng.random()
        if dice < 0.04:
            await self.fail(order, "500")
            return _json(500, {"error": "out of order"})
        if dice < 0.06:
            await self.fail(order, "reset")
            raise Reset
        if dice < 0.08:
            await self.fail(order, "word")
            return _json(200, {"status": "failed", "error": "could not"})
        if dice < 0.09:
            await self.fail(order, "no JSON")
            return 200, {"Content-Type": "application/json"}, b'{"status": "succ'
        if dice < 0.10:
            await self.fail(order, "400")
            return _json(400, {"error": "what a task"})
        if dice < 0.11:
            return _json(503, {"retry_after": 0.05})
        if dice < 0.112:  # later than the task's time limit allows
            await asyncio.sleep(3)
        return await self.complete(order)


class Calling(Backend):
    """Accepts, and calls back until somebody has heard it."""

    def __init__(self, name: str, journal: Journal, rng: Random) -> None:
        super().__init__(name, journal, rng)
        self.answers = False
        self._callers: asyncio.Queue[Caller] = asyncio.Queue()
        self._calling: set[asyncio.Task[None]] = set()
        self._made = 0

    async def work(self, order: dict[str, Any]) -> Answer:
        dice = self.rng.random()
        calling = asyncio.create_task(self._call_back(order, twice=dice > 0.97))
        self._calling.add(calling)
        calling.add_done_callback(self._calling.discard)
        if dice < 0.02:  # the callback comes before the answer
            await asyncio.sleep(0.2)
        return _json(202, {"status": "accepted"})

    async def _call_back(self, order: dict[str, Any], *, twice: bool) -> None:
        await asyncio.sleep(self.rng.uniform(0.002, 0.15))
        dice = self.rng.random()
        if dice < 0.05:
            await self._tell(order, {"status": "PROCESSING", "progress": 50, "message": "half way"})
        if dice > 0.97:
            await self.fail(order, "FAILED")
            self.leave(order)
            await self._tell(order, {"status": "FAILED", "error": "could not"})
            return
        body = {"status": "COMPLETED", "result": await self.give(order)}
        self.leave(order)
        await self._tell(order, body)
        if twice:
            await self._tell(order, body)

    async def _tell(self, order: dict[str, Any], body: dict[str, Any]) -> None:
        """Call back, and again when nobody can know what became of it."""
        where = urlsplit(order["callback_url"])
        if self._callers.empty() and self._made < CALLERS:
            self._made += 1
            caller = Caller(f"{where.scheme}://{where.netloc}")
        else:
            caller = await self._callers.get()
        try:
            while True:
                try:
                    status, answer = await caller.ask("PUT", where.path, body)
                except BROKEN:
                    await asyncio.sleep(AGAIN_S)
                    continue
                if status not in AGAIN:
                    break
                await asyncio.sleep(AGAIN_S)
        finally:
            self._callers.put_nowait(caller)
        await self.journal.record(
            event="told",
            task=order["task_id"],
            attempt=order["attempt"],
            word=body["status"],
            http=status,
            status=answer.json.get("status"),
        )


class Fragile(Backend):
    """Dies of a poisonous task, as a process does that runs out of memory; a slow one lasts until nobody waits."""

    async def work(self, order: dict[str, Any]) -> Answer:
        payload = order["request"]["payload"]
        if payload.get("poison"):
            os.kill(os.getpid(), signal.SIGKILL)
        if payload.get("slow"):
            await asyncio.sleep(order["timeout"] / 1000)
        return await super().work(order)


KINDS = {"direct": Backend, "callback": Calling, "failing": Failing, "fragile": Fragile}


async def main(kind: str, port: str, log: str, seed: str) -> None:
    journal = Journal(Path(log))
    backend = KINDS[kind](kind, journal, Random(int(seed)))
    server = await listen(int(port), backend.handle)
    async with server:
        await orphaned(sys.stdin)
    await journal.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
