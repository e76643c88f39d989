"""A load balancer before nodes: each connection to the next node that is ready; those to one that is not are cut."""

import asyncio
import itertools
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

LOOK_S = 0.2
ANSWER_S = 1.0


class Balancer:
    """Listens on `port`; `ports` are the nodes'. `at` is called with a node's port for each connection it gets."""

    def __init__(self, port: int, ports: Sequence[int]) -> None:
        self._port = port
        self._ports = ports
        self._ready: set[int] = set()
        self._open: dict[int, set[asyncio.StreamWriter]] = {port: set() for port in ports}
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)
        self.served = dict.fromkeys(ports, 0)

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._up.wait(60)

    def close(self) -> None:
        """Cut everything."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self) -> None:
        server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        looks = {asyncio.create_task(self._look(port)) for port in self._ports}
        self._up.set()
        await self._stop.wait()
        server.close()
        for port in self._ports:
            self._cut(port)
        rest = [*looks, *(task for task in asyncio.all_tasks() if task is not asyncio.current_task())]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _look(self, port: int) -> None:
        while True:
            if await self._is_ready(port):
                self._ready.add(port)
            else:
                self._ready.discard(port)
                self._cut(port)
            await asyncio.sleep(LOOK_S)

    async def _is_ready(self, port: int) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                answer = await reader.read(64)
                writer.close()
                return answer.startswith(b"HTTP/1.1 200")
        except (OSError, TimeoutError):
            return False

    def _cut(self, port: int) -> None:
        for writer in self._open[port]:
            writer.transport.abort()
        self._open[port].clear()

    async def _serve(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        ready = sorted(self._ready)
        if not ready:
            back.transport.abort()
            return
        port = ready[next(self._turn) % len(ready)]
        try:
            answers, called = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            back.transport.abort()
            return
        self.served[port] += 1
        self._open[port] |= {back, called}
        end: Callable[[], None] = called.transport.abort
        try:
            await asyncio.gather(_pass(caller, called), _pass(answers, back))
        except asyncio.CancelledError:  # of this one asyncio would complain
            return
        finally:
            end()
            back.transport.abort()
            self._open[port] -= {back, called}


async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.transport.abort()
