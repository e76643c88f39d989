"""The proxy: in calm weather it passes everything; in a storm it breaks much, and says whose it was."""

import asyncio
import json
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

from taskyard.prove.processes import steady_port
from taskyard.prove.torture.calls import BROKEN, Message, listen
from taskyard.prove.torture.network import Network

CALLERS = 24
CALM = 20
ROUGH = 50

Streams = dict[str, tuple[asyncio.StreamReader, asyncio.StreamWriter]]


async def attempt(port: int, task: str, number: int, streams: Streams) -> bool:
    """Send one as the node does, on the connection that the caller's last one left; whether an answer came."""
    head = (
        f"POST / HTTP/1.1\r\nIdempotency-Key: {task}\r\nX-Taskyard-Attempt: {number}\r\nContent-Length: 2\r\n\r\n{{}}"
    )
    caller = task.rpartition("_")[0]
    try:
        if caller not in streams:
            streams[caller] = await asyncio.open_connection("127.0.0.1", port)
        reader, writer = streams[caller]
        writer.write(head.encode() + b"{}")
        answer = await reader.readuntil(b"\r\n\r\n{}")
    except BROKEN:
        streams.pop(caller)[1].close()
        return False
    assert answer.startswith(b"HTTP/1.1 200")
    return True


def test_a_proxy_says_whom_it_broke(tmp_path: Path) -> None:
    came: Counter[tuple[str, str]] = Counter()
    broken: set[tuple[str, int]] = set()
    log = tmp_path / "proxy.log"

    async def handle(request: Message) -> tuple[int, dict[str, str], bytes]:
        came[request.headers["idempotency-key"], request.headers["x-taskyard-attempt"]] += 1
        return 200, {}, b"{}"

    async def main(network: Network) -> None:
        port = steady_port()
        streams: Streams = {}

        async def call(caller: int, first: int, count: int) -> None:
            for number in range(first, first + count):
                task = f"task_{caller}_{number}"
                if not await attempt(through, task, number, streams):
                    broken.add((task, number))

        async with await listen(port, handle):
            through = await asyncio.to_thread(network.link, "direct", port)
            await asyncio.gather(*[call(caller, 0, CALM) for caller in range(CALLERS)])
            assert (broken, len(came)) == (set(), CALLERS * CALM)
            network.storm(True)
            await asyncio.gather(*[call(caller, CALM, ROUGH) for caller in range(CALLERS)])
            for _, writer in streams.values():
                writer.close()

    with ExitStack() as stack:
        asyncio.run(main(Network(stack, tmp_path, log, seed=1)))
    cuts = [json.loads(line) for line in log.read_text().splitlines()]
    assert {(cut["task"], cut["attempt"]) for cut in cuts} == broken
    kinds = {cut["how"] for cut in cuts}
    assert {"reset at its request", "reset at its answer", "cut within its request", "cut within its answer"} <= kinds
    assert set(came.values()) == {1}
