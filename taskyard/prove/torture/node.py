"""A real node: `taskyard serve` as a process of its own, that can be killed and started again at the same address."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from taskyard.prove.processes import PATIENCE_S, Trouble, free_port, started, until
from taskyard.tokens import sign

# Of this process, which has nothing to hide behind it.
SECRET = secrets.token_urlsafe(32)
TOKEN_MS = 3_600_000
SHOWN_OF_A_LOG = 2000


def environment(secret: str, settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a node finds in its environment: nothing of Taskyard's but these settings."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
    # Each node would keep 64 MiB of the disk.
    return kept | {"JWT_SECRET": secret, "TASKYARD_BALLAST": "1MiB"} | dict(settings or {})


class NodeProcess:
    """One node on one data directory. `settings` are environment variables; what it writes goes to `log`."""

    def __init__(
        self, data_dir: Path, *, port: int = 0, settings: Mapping[str, str] | None = None, secret: str = SECRET
    ) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = data_dir.with_name(data_dir.name + ".log")
        self._secret = secret
        self._settings = dict(settings or {})
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started last."""
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process is there."""
        return self._process is not None and self._process.poll() is None

    def command(self) -> list[str]:
        """What starts the process."""
        node = [sys.executable, "-m", "taskyard", "serve"]
        return [*node, "--data-dir", str(self.data_dir), "--port", str(self.port)]

    def spawn(self) -> None:
        """Start the process; it is not ready yet."""
        assert not self.running
        self._process = started(
            self.command(), self.log, folder=self.log.parent, environment=environment(self._secret, self._settings)
        )

    def ready(self) -> bool:
        """Whether it answers and can work. Raises `Trouble` when the process has ended."""
        if not self.running:
            raise Trouble(f"the node ended by itself:\n{self.log.read_text(errors='replace')[-SHOWN_OF_A_LOG:]}")
        try:
            with socket.create_connection(("127.0.0.1", self.port), 2) as connection:
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                return connection.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def start(self) -> None:
        """Start it and wait until it is ready. Raises `Trouble` when it is not in time."""
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

    def token(self, *roles: str, sub: str = "ann") -> str:
        """A token for an hour."""
        return sign(self._secret, sub, roles, TOKEN_MS, time.time_ns() // 1_000_000)

    def client(self, *roles: str, sub: str = "ann") -> httpx.Client:
        """A client with a token of these roles; to be closed."""
        headers = {"Authorization": f"Bearer {self.token(*roles, sub=sub)}"} if roles else {}
        # There is no TLS here, and certificates are slow to load.
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, verify=False)  # noqa: S501
