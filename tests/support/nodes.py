"""A real node: `taskyard serve` as a process of its own, that can be killed and started again at the same address."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx

from taskyard.tokens import sign

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests that is long enough for HS256"
PATIENCE_S = 20.0


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def token(*roles: str, sub: str = "ann", secret: str = SECRET) -> str:
    """A token for an hour."""
    return sign(secret, sub, roles, 3_600_000, time.time_ns() // 1_000_000)


def until(
    condition: Callable[[], bool],
    patience_s: float = PATIENCE_S,
    what: str = "it did not come to that",
    every_s: float = 0.01,
) -> None:
    """Return as soon as a condition holds, looking again and again; fail when that takes too long."""
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(every_s)


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process of the tests finds in its environment: nothing of Taskyard's but these settings."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    # Each node of the tests would keep 64 MiB of the disk.
    return kept | {"JWT_SECRET": SECRET, "TASKYARD_BALLAST": "1MiB"} | dict(settings or {})


def serve(
    data_dir: Path, *flags: str, settings: Mapping[str, str] | None = None, patience_s: float = PATIENCE_S
) -> subprocess.CompletedProcess[str]:
    """Run `taskyard serve` where it must end by itself: its exit code and what it wrote."""
    return subprocess.run(
        [sys.executable, "-m", "taskyard", "serve", "--data-dir", str(data_dir), *flags],
        cwd=next(folder for folder in data_dir.parents if folder.is_dir()),
        env=environment(settings) | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )


class NodeProcess:
    """One node on one data directory. `settings` are environment variables; what it writes goes to `log`."""

    def __init__(self, data_dir: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name(data_dir.name + ".log")
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        """What starts the process."""
        node = [sys.executable, "-m", "taskyard", "serve"]
        return [*node, "--data-dir", str(self.data_dir), "--port", str(self.port)]

    def spawn(self) -> None:
        """Start the process; it is not ready yet."""
        assert not self.running
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                cwd=ROOT,
                env=environment(self._settings),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def ready(self) -> bool:
        """Whether it answers and can work. Fails when the process has ended."""
        assert self.running, f"the node ended by itself:\n{self.log.read_text()[-2000:]}"
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def start(self) -> None:
        """Start it and wait until it is ready."""
        self.spawn()
        until(self.ready, what="the node was not ready in time")

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, as an operator does; the exit code."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE_S + 10)

    def client(self, *roles: str, sub: str = "ann") -> httpx.Client:
        """A client with a token of these roles; to be closed."""
        headers = {"Authorization": f"Bearer {token(*roles, sub=sub)}"} if roles else {}
        # There is no TLS here, and certificates are slow to load.
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=False)

    def rss_bytes(self) -> int:
        """Its resident memory."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
