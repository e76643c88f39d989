"""The field of a crash test: a node, its backends and a client as processes, all ended at the end, whatever happens."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType

import httpx

from taskyard.prove.processes import Trouble, end, listens, program, steady_port, until
from taskyard.prove.torture.evidence import DATABASE, KINDS, Evidence
from taskyard.prove.torture.node import NodeProcess

# Attempts that were given up free their slots soon: the field must settle within the test's time.
SETTINGS = {"LINGER": "200ms", "TASKYARD_LOG_LEVEL": "warning"}
SLOTS = 150
# The client's own limit for settling, and then some.
LAST_WAIT_S = 300


def register(client: httpx.Client, name: str, port: int, **members: object) -> None:
    """Register a backend of the torture, and wait until it is online. Raises `Trouble` when that fails."""
    endpoints = {path: f"{_loopback(port)}/{path}" for path in ("predict", "health")}
    answer = client.post("/api/servers", json={"id": name, "name": name, "endpoints": endpoints, **members})
    if answer.status_code != 200:
        raise Trouble(f"{name} was not registered: {answer.text}")
    until(lambda: client.get(f"/api/servers/{name}").json()["status"] == "online", what=f"{name} is not online")


def straight(name: str, port: int) -> int:
    """No proxy: what listens on a port is reached there."""
    return port


class Field:
    """Use it as a context: all its processes have ended afterwards.

    `through(name, port)` is the port by which something that listens on a port is reached: a backend by its kind, the
    node by its clients ("client") and by its backends ("callbacks"). Each backend has `slots`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        rate: float,
        seed: int,
        data_dir: Path | None = None,
        settings: Mapping[str, str] | None = None,
        slots: int = SLOTS,
        through: Callable[[str, int], int] = straight,
    ) -> None:
        self.folder = folder
        self.rng = Random(seed)
        port = steady_port()
        self._through = through
        public = {"PUBLIC_URL": _loopback(through("callbacks", port))}
        self.node = NodeProcess(
            data_dir or folder / "data", port=port, settings={**SETTINGS, **public, **(settings or {})}
        )
        self.node.log = folder / "node.log"
        self._rate, self._seed, self._slots = rate, seed, slots
        self._logs = Evidence(folder / "evidence")
        self._stack = ExitStack()
        self._backends: dict[str, subprocess.Popen[bytes]] = {}
        self._client: subprocess.Popen[bytes]

    def __enter__(self) -> Field:
        with ExitStack() as stack:
            stack.callback(self.node.kill)
            self._logs.folder.mkdir(parents=True, exist_ok=True)
            self.node.start()
            for number, kind in enumerate(KINDS):
                port = steady_port()
                log = self._logs.backends[number]
                self._backends[kind] = self._program(stack, "backend", kind, port, log, self._seed + number)
                until(partial(listens, port), what=f"the {kind} backend does not listen")
                members = {"capabilities": [kind], "maxConcurrent": self._slots}
                with self.node.client("service") as client:
                    register(client, kind, self._through(kind, port), **members)
            url = _loopback(self._through("client", self.node.port))
            load = (url, self.node.token("user"), self._logs.client, self._rate, self._seed)
            self._client = self._program(stack, "client", *load)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _program(self, stack: ExitStack, name: str, *arguments: object) -> subprocess.Popen[bytes]:
        return program(stack, self.folder / f"{name}.err", f"taskyard.prove.torture.{name}", *arguments)

    def backend(self, kind: str) -> int:
        """The process id of a backend."""
        return self._backends[kind].pid

    def acknowledged_bytes(self) -> int:
        """How long the client's log is: it grows while submissions are acknowledged."""
        return self._logs.client.stat().st_size if self._logs.client.exists() else 0

    def check(self) -> None:
        """Raises `Trouble` when a program ended that should not have."""
        for name, process in {**self._backends, "client": self._client}.items():
            if process.poll() is not None:
                raise Trouble(f"{name} ended: {self._errors()}")

    def crash(self, after_s: float) -> None:
        """Kill the node after so long."""
        time.sleep(after_s)
        self.check()
        self.node.kill()

    def settle(self) -> None:
        """Let the client come to its end. Raises `Trouble` when it does not."""
        assert self._client.stdin is not None
        self._client.stdin.write(b"enough\n")
        self._client.stdin.flush()
        try:
            self._client.wait(LAST_WAIT_S)
        except subprocess.TimeoutExpired:
            with self.node.client("admin") as client:
                left = client.get("/api/stats").text
            raise Trouble(f"it does not settle: {left}") from None
        if self._client.returncode != 0:
            raise Trouble(f"the client ended with {self._client.returncode}: {self._errors()}")

    def evidence(self) -> Evidence:
        """Once the node is dead and the backends have written all: the files as they lie there."""
        assert not self.node.running
        for process in self._backends.values():
            end(process)
        for file in self.node.data_dir.glob(DATABASE + "*"):
            shutil.copy(file, self._logs.folder)
        return self._logs

    def _errors(self) -> str:
        return "".join(path.read_text()[-3000:] for path in self.folder.glob("*.err"))


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"
