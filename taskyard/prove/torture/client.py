"""The client of the crash test, as a program: `python -m taskyard.prove.torture.client URL TOKEN LOG RATE SEED`.

Submits so many tasks a second, each under an idempotency key, again and again until it is acknowledged; some it waits
for, some it asks for later, some it submits once more. It logs each key before it goes out, each acknowledged id, and
what it was told of a task's end. At the first line on its standard input it submits nothing new, waits until all it
has submitted has ended, asks once more for some, and ends with 0; at the end of its standard input it ends at once.
"""

import asyncio
import sys
from pathlib import Path
from random import Random
from typing import Any

import uvloop

from taskyard.prove.torture.calls import AGAIN, BROKEN, Caller, Message
from taskyard.prove.torture.journal import Journal

WORKERS = 160
AGAIN_S = 0.03
# No more than so much of the time while the node was away is made up for, in seconds.
ARREARS_S = 0.25
SETTLE_S = 180
ASKED_AT_LAST = 1500
SKILLS: tuple[list[str], ...] = ([], [], [], [], ["direct"], ["callback"], ["failing"])


class Client:
    """All workers share the pace, the log and the list of what was acknowledged."""

    def __init__(self, base: str, token: str, journal: Journal, rate: float, seed: int) -> None:
        self._base, self._token = base, token
        self._journal = journal
        self._rate = rate
        self._rng = Random(seed)
        self._seed = seed
        self._number = 0
        self._due = asyncio.get_running_loop().time()
        self._acknowledged: list[str] = []
        self.stopping = False

    def _caller(self) -> Caller:
        return Caller(self._base, self._token)

    async def load(self) -> None:
        """Submit until `stopping`."""
        await asyncio.gather(*[self._work() for _ in range(WORKERS)])

    async def _work(self) -> None:
        caller = self._caller()
        while await self._turn():
            self._number += 1
            await self._one(caller, f"{self._seed}-{self._number}")
        caller.close()

    async def _turn(self) -> bool:
        """Wait for the pace; false when it is over."""
        now = asyncio.get_running_loop().time()
        self._due = max(self._due + 1 / self._rate, now - ARREARS_S)
        await asyncio.sleep(max(0, self._due - now))
        return not self.stopping

    async def _one(self, caller: Caller, key: str) -> None:
        dice = self._rng.random()
        wait = dice < 0.05
        body: dict[str, Any] = {
            "type": "chat-completion",
            "payload": {"key": key, "text": "x" * self._rng.randrange(400)},
            "capabilities": self._rng.choice(SKILLS),
            "priority": self._rng.randrange(3),
            "timeout": 2000,
            "retryBackoff": {"base": 20, "cap": 500},
            "idempotencyKey": key,
            "async": not wait,
        }
        if wait:
            body["wait"] = 3000
        await self._journal.record(event="sent", key=key)
        task_id = await self._submit(caller, key, body)
        if dice > 0.98:
            await self._submit(caller, key, body)
        elif dice > 0.94:
            await self._look(caller, task_id, "?wait=2000")

    async def _submit(self, caller: Caller, key: str, body: dict[str, Any]) -> str:
        answer = await self._until_answered(caller, "POST", "/api/task", body)
        told = answer.json
        replayed = "idempotent-replayed" in answer.headers
        self._journal.note(event="ack", key=key, id=told["id"], replayed=replayed)
        self._acknowledged.append(told["id"])
        self._note_end(told)
        return str(told["id"])

    async def _until_answered(self, caller: Caller, method: str, path: str, body: Any = None) -> Message:
        while True:
            try:
                status, answer = await caller.ask(method, path, body)
            except BROKEN:
                self._journal.note(event="broken")
            else:
                if status == 200 or (status == 404 and method == "GET"):
                    return answer
                if status not in AGAIN:
                    raise AssertionError(f"{method} {path}: {status} {answer.body!r}")
            await asyncio.sleep(AGAIN_S)

    async def _look(self, caller: Caller, task_id: str, query: str = "") -> None:
        answer = await self._until_answered(caller, "GET", f"/api/task/{task_id}{query}")
        if answer.start[1] == "404":
            self._journal.note(event="missed", id=task_id)
        else:
            self._note_end(answer.json)

    def _note_end(self, told: dict[str, Any]) -> None:
        if told["status"] not in ("PENDING", "PROCESSING"):
            self._journal.note(event="end", id=told["id"], status=told["status"], result=told["result"])

    async def settle(self) -> None:
        """Wait until nothing is left to do, and ask for some of the ends."""
        caller = self._caller()
        async with asyncio.timeout(SETTLE_S):
            while True:
                now = (await self._until_answered(caller, "GET", "/api/stats")).json
                if not now["pendingTasks"] and not now["processingTasks"]:
                    break
                await asyncio.sleep(0.1)
        for task_id in self._rng.sample(self._acknowledged, min(ASKED_AT_LAST, len(self._acknowledged))):
            await self._look(caller, task_id)
        caller.close()


async def main(base: str, token: str, log: str, rate: str, seed: str) -> None:
    journal = Journal(Path(log))
    client = Client(base, token, journal, float(rate), int(seed))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    loading = asyncio.create_task(client.load())
    command = asyncio.create_task(commands.readline())
    await asyncio.wait({loading, command}, return_when=asyncio.FIRST_COMPLETED)
    if loading.done():
        loading.result()
    if not command.result():
        sys.exit("the test has gone")
    client.stopping = True
    await loading
    await client.settle()
    await journal.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
