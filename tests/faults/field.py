"""The field of a crash test: a node, its backends and a client as processes, all ended at the end, whatever happens."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from random import Random, SystemRandom
from types import TracebackType

import httpx

from tests.support.nodes import PATIENCE_S, ROOT, NodeProcess, token, until

KINDS = ("direct", "callback", "failing")
# Lost attempts free their slots soon, and retries wait for no budget: the field must settle within the test's time.
SETTINGS = {"LINGER": "200ms", "RETRY_BUDGET": "1", "TASKYARD_LOG_LEVEL": "warning"}
SLOTS = 150
# The client's own limit for settling, and then some.
LAST_WAIT_S = 100
DATABASE = "taskyard.db"
STEADY = (10_000, 32_000)


class Evidence:
    """What is left to judge: the database's files, the client's log, the backends' logs, a proxy's if there was one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / DATABASE
        self.client = folder / "client.log"
        self.backends = [folder / f"{kind}.log" for kind in KINDS]
        self.proxy = folder / "proxy.log"

    def copy(self, folder: Path) -> "Evidence":
        """The same once more, to be tampered with."""
        shutil.copytree(self.folder, folder)
        return Evidence(folder)

    def judged(self) -> subprocess.CompletedProcess[str]:
        """What the judge, a process of its own that cannot even import Taskyard's path, says."""
        command = [sys.executable, "-I", str(ROOT / "tests/faults/judge.py"), str(self.database), str(self.client)]
        command += [str(path) for path in (*self.backends, self.proxy) if path.exists()]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=self.folder)


def program(stack: ExitStack, errors: Path, module: str, *arguments: object) -> "subprocess.Popen[bytes]":
    """Start a module as a program that takes words on its standard input, and ends with the stack."""
    with errors.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    stack.callback(_end, process)
    return process


def register(client: httpx.Client, name: str, port: int, **members: object) -> None:
    """Register a backend of this test, and wait until it is online."""
    endpoints = {path: f"{_loopback(port)}/{path}" for path in ("predict", "health")}
    answer = client.post("/api/servers", json={"id": name, "name": name, "endpoints": endpoints, **members})
    assert answer.status_code == 200, answer.text
    until(lambda: client.get(f"/api/servers/{name}").json()["status"] == "online", what=f"{name} is not online")


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def steady_port() -> int:
    """A free port below those that connections get, so that none of them can sit on it while its listener is away."""
    while True:
        port = SystemRandom().randrange(*STEADY)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


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
        self.node = NodeProcess(data_dir or folder / "data", port=port, settings=SETTINGS | public | (settings or {}))
        self.node.log = folder / "node.log"
        self._rate, self._seed, self._slots = rate, seed, slots
        self._logs = Evidence(folder / "evidence")
        self._stack = ExitStack()
        self._backends: dict[str, subprocess.Popen[bytes]] = {}
        self._client: subprocess.Popen[bytes]

    def __enter__(self) -> "Field":
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
            self._client = self._program(stack, "client", url, token("user"), self._logs.client, self._rate, self._seed)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _program(self, stack: ExitStack, name: str, *arguments: object) -> "subprocess.Popen[bytes]":
        return program(stack, self.folder / f"{name}.err", f"tests.faults.{name}", *arguments)

    def backend(self, kind: str) -> int:
        """The process id of a backend."""
        return self._backends[kind].pid

    def acknowledged_bytes(self) -> int:
        """How long the client's log is: it grows while submissions are acknowledged."""
        return self._logs.client.stat().st_size if self._logs.client.exists() else 0

    def check(self) -> None:
        """Fails when a program ended that should not have."""
        for name, process in {**self._backends, "client": self._client}.items():
            assert process.poll() is None, f"{name} ended: {self._errors()}"

    def crash(self, after_s: float) -> None:
        """Kill the node after so long."""
        time.sleep(after_s)
        self.check()
        self.node.kill()

    def settle(self) -> None:
        """Let the client come to its end."""
        assert self._client.stdin is not None
        self._client.stdin.write(b"enough\n")
        self._client.stdin.flush()
        try:
            self._client.wait(LAST_WAIT_S)
        except subprocess.TimeoutExpired:
            with self.node.client("admin") as client:
                left = client.get("/api/stats").text
            raise AssertionError(f"it does not settle: {left}") from None
        assert self._client.returncode == 0, self._errors()

    def evidence(self) -> Evidence:
        """Once the node is dead and the backends have written all: the files as they lie there."""
        assert not self.node.running
        for process in self._backends.values():
            _end(process)
        for file in self.node.data_dir.glob(DATABASE + "*"):
            shutil.copy(file, self._logs.folder)
        return self._logs

    def _errors(self) -> str:
        return "".join(path.read_text()[-3000:] for path in self.folder.glob("*.err"))


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close its standard input, which ends it; if not, kill it."""
    assert process.stdin is not None
    if not process.stdin.closed:
        with suppress(BrokenPipeError):  # it has ended already, with a word unread
            process.stdin.close()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def seed_of_this_run() -> int:
    """Another one each time; the environment can name it: KILL_SEED=7."""
    return int(os.environ.get("KILL_SEED", "0")) or time.time_ns() % 1_000_000
