"""A backend server, as a program: `python -m tests.overload.backend PORT LOG MODE`.

MODE `works` takes as long as the payload's `ms` says, `hurries` answers at once whatever it says, and `accepts` answers
202, writes the callback's URL to its log and leaves calling it to others. Each attempt that comes is in the log, with
the time in ms, before it is answered. It ends when its standard input does.
"""

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from taskyard.prove.torture.calls import Message, listen, orphaned

Answer = tuple[int, dict[str, str], bytes]


def _json(status: int, body: object) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(body).encode()


async def main(port: int, log: Path, mode: str) -> None:
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def handle(request: Message) -> Answer:
        at = time.time_ns() // 1_000_000
        if request.start[1] == "/health":
            os.write(file, json.dumps({"at": at, "event": "check"}).encode() + b"\n")
            return _json(200, {"status": "healthy"})
        order = request.json
        line = {"at": at, "event": "got", "task": order["task_id"], "callback": order["callback_url"]}
        os.write(file, json.dumps(line).encode() + b"\n")
        if mode == "accepts":
            return _json(202, {"status": "accepted"})
        if mode == "works":
            await asyncio.sleep(order["request"]["payload"]["ms"] / 1000)
        return _json(200, {"status": "success", "result": "done"})

    async with await listen(port, handle):
        await orphaned(sys.stdin)


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
