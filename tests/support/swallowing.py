"""A TCP proxy that can be told to swallow: nothing comes through, no connection ends, and all comes through afterwards.

So it is for a machine whose network is parted from the rest for a while.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Swallowing:
    """Leads from `port` to another one of this machine."""

    def __init__(self, to: int) -> None:
        self._to = to
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._through = asyncio.Event()
        self._up = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._run()), daemon=True)
        self.port = 0

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        assert self._up.wait(60)

    def swallow(self) -> None:
        """From now on nothing comes through."""
        self._loop.call_soon_threadsafe(self._through.clear)

    def heal(self) -> None:
        """All that was swallowed comes through, and the rest as before."""
        self._loop.call_soon_threadsafe(self._through.set)

    def close(self) -> None:
        """Cut everything."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _run(self) -> None:
        self._through.set()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._stop.wait()
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _serve(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        try:
            await self._through.wait()
            answers, called = await asyncio.open_connection("127.0.0.1", self._to)
            try:
                await asyncio.gather(self._pass(caller, called), self._pass(answers, back))
            finally:
                called.transport.abort()
        except (OSError, asyncio.CancelledError):  # of the latter asyncio would complain
            return
        finally:
            back.transport.abort()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await self._through.wait()
                target.write(data)
                await target.drain()
        await self._through.wait()  # neither does the end of a connection come through
        with suppress(OSError):
            target.write_eof()


@contextmanager
def swallowing(to: int) -> Iterator[Swallowing]:
    """A running one."""
    made = Swallowing(to)
    made.start()
    try:
        yield made
    finally:
        made.close()
