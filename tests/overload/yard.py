"""What the tests of overload share: a node, backends that are processes, and calls whose times are kept."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from taskyard.prove.processes import listens, program, steady_port
from taskyard.prove.torture.calls import Caller
from taskyard.prove.torture.field import register
from tests.support.nodes import ROOT, NodeProcess, token, until


class Machine:
    """A backend that can die and come back at the same address."""

    def __init__(self, yard: "Yard", name: str, mode: str) -> None:
        self.name = name
        self.port = steady_port()
        self._yard = yard
        self._log = yard.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes]
        self.start(mode)

    def start(self, mode: str) -> None:
        errors = self._yard.folder / f"{self.name}.err"
        what = ("tests.overload.backend", self.port, self._log, mode)
        self.process = program(self._yard.stack, errors, *what, folder=ROOT)
        until(partial(listens, self.port), what=f"{self.name} does not listen")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        """It hangs: the kernel takes connections and requests for it, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def lines(self, event: str = "got") -> list[dict[str, Any]]:
        """What came, in order: `got` attempts or `check`s."""
        lines = map(json.loads, self._log.read_text().splitlines()) if self._log.exists() else ()
        return [line for line in lines if line["event"] == event]


class Yard:
    """A node with backends. Use it as a context: all its processes have ended afterwards."""

    def __init__(self, folder: Path, node: NodeProcess) -> None:
        self.folder = folder
        self.node = node
        self.stack = ExitStack()
        self.machines: list[Machine] = []

    @classmethod
    def of(cls, folder: Path, settings: Mapping[str, str] | None = None) -> "Yard":
        return cls(folder, NodeProcess(folder / "data", port=steady_port(), settings=settings))

    def __enter__(self) -> "Yard":
        self.stack.callback(self.node.kill)
        self.node.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stack.close()

    def add(self, name: str, mode: str = "works", **members: object) -> Machine:
        """Start and register a backend."""
        machine = Machine(self, name, mode)
        self.machines.append(machine)
        with self.node.client("service") as client:
            register(client, name, machine.port, **members)
        return machine

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """One call as an admin; what it says."""
        with self.node.client("admin") as client:
            return client.request(method, path, json=body).raise_for_status().json()


def p99(times_ms: list[float]) -> float:
    return sorted(times_ms)[len(times_ms) * 99 // 100]


async def timed(
    url: str, method: str, path: str, body: Any = None, caller: Caller | None = None
) -> tuple[float, int, Any]:
    """One call, on a connection of its own unless there is one: its ms, the status, and what was said."""
    own = caller or Caller(url, token("admin"))
    began = time.perf_counter()
    try:
        status, answer = await own.ask(method, path, body)
        return (time.perf_counter() - began) * 1000, status, answer.json
    finally:
        if caller is None:
            own.close()


def running(work: Any, limit_s: float) -> Any:
    """Run a coroutine to its end, which must come within so long."""

    async def main() -> Any:
        async with asyncio.timeout(limit_s):
            return await work

    return asyncio.run(main())
