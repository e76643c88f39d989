"""A TCP proxy between the programs of the torture, as a program: `python -m taskyard.prove.torture.proxy LOG SEED`.

Commands come on standard input, a line of JSON each: `{"link": name, "listen": port, "to": port}` opens a link,
`{"storm": true}` and `{"storm": false}` begin and end a storm. In a storm connections are delayed, reset, cut in the
middle of a request or of an answer, and closed while they are idle. Before it breaks one that carries an attempt it
logs whose: the judge believes in no failure that nobody gave. It ends when its standard input does.
"""

import asyncio
import json
import re
import sys
from pathlib import Path
from random import Random

import uvloop

from taskyard.prove.torture.calls import BROKEN
from taskyard.prove.torture.journal import Journal

CHUNK = 65_536
# Of a request's head, so much is kept in case that it comes in two pieces.
HEAD_KEPT = 1024
# The chance of each fault, per piece that passes in a storm.
DELAYED, RESET, CUT = 0.03, 0.01, 0.01
DELAY_MOST_S = 1.5
# How often a storm looks for idle connections, and the chance that it closes one.
LOOK_S = 0.05
CLOSED = 0.02

_ATTEMPT = re.compile(rb"Idempotency-Key: (task_\w+)\r\n(?:[^\r\n]+\r\n)*?X-Taskyard-Attempt: (\d+)\r\n", re.IGNORECASE)


class Pair:
    """One connection through the proxy: the caller's side and the side of who is called."""

    def __init__(self, link: str, caller: asyncio.StreamWriter, called: asyncio.StreamWriter) -> None:
        self.link = link
        self.caller, self.called = caller, called
        self.asked = False  # a request is under way
        self.closing = False  # the caller has been told that nothing more is taken
        self.attempt: tuple[str | None, int | None] = (None, None)
        self._head = b""

    def note_request(self, data: bytes) -> None:
        """See which attempt a request carries."""
        self.asked = True
        self._head += data
        for task, attempt in _ATTEMPT.findall(self._head):
            self.attempt = (task.decode(), int(attempt))
        self._head = self._head[-HEAD_KEPT:]

    def close_idle(self) -> None:
        """Tell the caller that nothing more is taken; what comes all the same is still read."""
        if not (self.asked or self.closing or self.caller.is_closing()):
            self.closing = True
            self.caller.write_eof()

    def end(self, *, reset: bool = False) -> None:
        """Both sides at once."""
        for writer in (self.caller, self.called):
            if reset:
                writer.transport.abort()
            else:
                writer.close()


class Proxy:
    """All links and the weather on them."""

    def __init__(self, journal: Journal, rng: Random) -> None:
        self._journal = journal
        self._rng = rng
        self._storm: asyncio.Task[None] | None = None
        self._pairs: set[Pair] = set()

    def storm(self, blows: bool) -> None:
        """Begin or end a storm."""
        if blows and self._storm is None:
            self._storm = asyncio.create_task(self._close_idle_ones())
        elif not blows and self._storm is not None:
            self._storm.cancel()
            self._storm = None

    async def open(self, link: str, listen: int, to: int) -> None:
        """Lead what comes to one port to another."""

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                answers, requests = await asyncio.open_connection("127.0.0.1", to)
            except OSError:
                writer.transport.abort()
                return
            pair = Pair(link, writer, requests)
            self._pairs.add(pair)
            both = self._pass(pair, reader, requests, True), self._pass(pair, answers, writer, False)
            await asyncio.gather(*both, return_exceptions=True)
            self._pairs.discard(pair)

        await asyncio.start_server(serve, "127.0.0.1", listen, backlog=1024)

    async def _pass(self, pair: Pair, reader: asyncio.StreamReader, to: asyncio.StreamWriter, request: bool) -> None:
        """One direction, until it ends; then both do."""
        try:
            while data := await reader.read(CHUNK):
                if request:
                    pair.note_request(data)
                    if pair.closing:
                        await self._cut(pair, "closed as a request came")
                        return
                if self._storm is not None and not await self._weathered(pair, data, to, request):
                    return
                to.write(data)
                await to.drain()
                pair.asked = request
        except BROKEN:
            pass
        finally:
            pair.end()

    async def _weathered(self, pair: Pair, data: bytes, to: asyncio.StreamWriter, request: bool) -> bool:
        """Whether the piece may pass, late perhaps."""
        dice = self._rng.random()
        what = "request" if request else "answer"
        if dice < DELAYED:
            await asyncio.sleep(self._rng.uniform(0.02, DELAY_MOST_S))
        elif dice < DELAYED + RESET:
            await self._cut(pair, f"reset at its {what}")
            return False
        elif dice < DELAYED + RESET + CUT:
            part = data[: self._rng.randrange(len(data))]
            await self._cut(pair, f"cut within its {what}", to, part)
            return False
        return True

    async def _cut(self, pair: Pair, how: str, to: asyncio.StreamWriter | None = None, part: bytes = b"") -> None:
        """Break a connection once the log says so; a part of the last piece may still pass."""
        task, attempt = pair.attempt
        await self._journal.record(event="cut", link=pair.link, task=task, attempt=attempt, how=how)
        if to is not None:
            to.write(part)
        pair.end(reset=to is None)

    async def _close_idle_ones(self) -> None:
        while True:
            for pair in self._pairs:
                if self._rng.random() < CLOSED:
                    pair.close_idle()
            await asyncio.sleep(LOOK_S)


async def main(log: str, seed: str) -> None:
    journal = Journal(Path(log))
    proxy = Proxy(journal, Random(int(seed)))
    commands = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():
        words = json.loads(line)
        if "storm" in words:
            proxy.storm(words["storm"])
        else:
            await proxy.open(words["link"], words["listen"], words["to"])
    await journal.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
