"""The field of a crash test: a node, its backends and a client as processes, all ended at the end, whatever happens."""

import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType

from tests.support.nodes import PATIENCE_S, ROOT, NodeProcess, free_port, token, until

KINDS = ("direct", "callback", "failing")
# Lost attempts free their slots soon, and retries wait for no budget: the field must settle within the test's time.
SETTINGS = {"LINGER": "200ms", "RETRY_BUDGET": "1", "TASKYARD_LOG_LEVEL": "warning"}
SLOTS = 150
# The client's own limit for settling, and then some.
LAST_WAIT_S = 100
DATABASE = "taskyard.db"


class Evidence:
    """What is left to judge: the database's files, the client's log, the backends' logs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / DATABASE
        self.client = folder / "client.log"
        self.backends = [folder / f"{kind}.log" for kind in KINDS]

    def copy(self, folder: Path) -> "Evidence":
        """The same once more, to be tampered with."""
        shutil.copytree(self.folder, folder)
        return Evidence(folder)

    def judged(self) -> subprocess.CompletedProcess[str]:
        """What the judge, a process of its own that cannot even import Taskyard's path, says."""
        command = [sys.executable, "-I", str(ROOT / "tests/faults/judge.py"), str(self.database), str(self.client)]
        command += [str(path) for path in self.backends]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=self.folder)


class Field:
    """Use it as a context: all its processes have ended afterwards."""

    def __init__(self, folder: Path, *, rate: float, seed: int) -> None:
        self.folder = folder
        self.rng = Random(seed)
        self.node = NodeProcess(folder / "data", settings=SETTINGS)
        self._rate, self._seed = rate, seed
        self._logs = Evidence(folder / "evidence")
        self._stack = ExitStack()
        self._backends: dict[str, subprocess.Popen[bytes]] = {}
        self._client: subprocess.Popen[bytes]

    def __enter__(self) -> "Field":
        with ExitStack() as stack:
            stack.callback(self.node.kill)
            self._logs.folder.mkdir(parents=True)
            self.node.start()
            for number, kind in enumerate(KINDS):
                port = free_port()
                log = self._logs.backends[number]
                self._backends[kind] = self._program(stack, "backend", kind, port, log, self._seed + number)
                until(partial(_listens, port), what=f"the {kind} backend does not listen")
                self._register(kind, port)
            self._client = self._program(
                stack, "client", self.node.url, token("user"), self._logs.client, self._rate, self._seed
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _program(self, stack: ExitStack, name: str, *arguments: object) -> "subprocess.Popen[bytes]":
        with (self.folder / f"{name}.err").open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", f"tests.faults.{name}", *map(str, arguments)],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )
        stack.callback(_end, process)
        return process

    def _register(self, kind: str, port: int) -> None:
        base = f"http://127.0.0.1:{port}"
        body = {
            "id": kind,
            "name": kind,
            "endpoints": {"predict": f"{base}/predict", "health": f"{base}/health"},
            "capabilities": [kind],
            "maxConcurrent": SLOTS,
        }
        with self.node.client("service") as client:
            answer = client.post("/api/servers", json=body)
        assert answer.json().get("status") == "online", answer.text

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


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Close its standard input, which ends it; if not, kill it."""
    assert process.stdin is not None
    if not process.stdin.closed:
        process.stdin.close()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def seed_of_this_run() -> int:
    """Another one each time; the environment can name it: KILL_SEED=7."""
    return int(os.environ.get("KILL_SEED", "0")) or time.time_ns() % 1_000_000
