"""A log of one program in this test: lines of JSON with the time in ms (`at`), written and fsynced in batches."""

import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any


def line_of(event: dict[str, Any]) -> bytes:
    """One line of a log, of this moment."""
    return json.dumps({"at": time.time_ns() // 1_000_000} | event, separators=(",", ":")).encode() + b"\n"


class Journal:
    """Appends to a file. What `record` has returned for is on the disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lines: list[bytes] = []
        self._next: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._flushing: asyncio.Task[None] | None = None

    def note(self, **event: Any) -> None:
        """Add a line; it is written soon."""
        self._lines.append(line_of(event))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())

    async def record(self, **event: Any) -> None:
        """Add a line, and wait until it is on the disk."""
        self.note(**event)
        await asyncio.shield(self._next)

    async def _flush(self) -> None:
        while self._lines:
            lines, self._lines = self._lines, []
            written, self._next = self._next, asyncio.get_running_loop().create_future()
            await asyncio.to_thread(self._write, b"".join(lines))
            written.set_result(None)
        self._flushing = None

    def _write(self, data: bytes) -> None:
        os.write(self._file, data)
        os.fsync(self._file)

    async def close(self) -> None:
        """Write what is left."""
        while self._flushing is not None:
            await self._flushing
        os.close(self._file)
