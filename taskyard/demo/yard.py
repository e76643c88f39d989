"""The demo's processes: a node and its backend servers, started, found, and ended together whatever happens."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from taskyard.client import Client
from taskyard.demo.shapes import OFFERS, Offer
from taskyard.settings import kept_secret
from taskyard.tokens import sign

_START_S = 20
# A node ends what runs before it stops; a second signal does not wait for that.
_DRAIN_S = 10
_TOKEN_MS = 86_400_000
_SERVE = "from taskyard.cli.main import main; main()"


class YardError(Exception):
    """A process did not start, or ended; the text says which and what it said."""


@dataclass(frozen=True)
class Yard:
    """What runs: the node's address, an admin token, and the servers' own logs by their ids."""

    url: str
    token: str
    logs: dict[str, Path]
    node_log: Path

    def client(self) -> Client:
        """A client with the admin token. Safe for threads."""
        return Client(self.url, self.token)


@contextmanager
def running(folder: Path, port: int = 0) -> Iterator[Yard]:
    """A node on an embedded database in `folder`, with three servers registered over HTTP; all end on leaving.

    Raises YardError and the client's TaskyardError.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with contextlib.ExitStack() as ending:
        node_log = folder / "node.log"
        url = _node(ending, folder, port, node_log)
        secret = kept_secret(folder)
        if secret is None:
            raise YardError(f"the node kept no secret in {folder}")
        token = sign(secret.reveal(), "demo", ["admin"], _TOKEN_MS, time.time_ns() // 1_000_000)
        logs = {offer.name: folder / f"{offer.name}.log" for offer in OFFERS}
        yard = Yard(url, token, logs, node_log)
        addresses = [_backend(ending, offer, logs[offer.name]) for offer in OFFERS]
        with yard.client() as client:
            for offer, address in zip(OFFERS, addresses, strict=True):
                _register(client, offer, address)
        yield yard


def _register(client: Client, offer: Offer, address: str) -> None:
    client.servers.register(
        offer.about,
        f"{address}/predict",
        f"{address}/health",
        id=offer.name,
        capabilities=offer.capabilities,
        max_concurrent=offer.slots,
        priority=offer.weight,
        async_=offer.kind == "callback",
    )


def _node(ending: contextlib.ExitStack, folder: Path, port: int, log: Path) -> str:
    """Starts the node and gives its address, once it listens."""
    log.unlink(missing_ok=True)
    told = ending.enter_context(log.open("wb"))
    # No configuration but this one: the user's own stays out of the demo.
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("TASKYARD_") and name not in ("JWT_SECRET", "SERVICE_JWT_SECRET", "PUBLIC_URL")
    }
    path = str(folder.resolve())
    process = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", _SERVE, "serve", "--dev", "--port", str(port), "--data-dir", path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=told,
        cwd=path,
        env=environment,
        # Ctrl-C is for the demo: it stops the others in order.
        start_new_session=True,
    )
    ending.callback(_end, process)
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        text = log.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("{") and '"listening"' in line:
                return f"http://127.0.0.1:{json.loads(line)['port']}"
        if process.poll() is not None:
            raise YardError(f"the node did not start: {text.strip().splitlines()[-1:] or 'it said nothing'}")
        time.sleep(0.05)
    raise YardError(f"the node did not listen within {_START_S} s; its log is {log}")


def _backend(ending: contextlib.ExitStack, offer: Offer, log: Path) -> str:
    """Starts a backend server and gives its address."""
    log.unlink(missing_ok=True)
    command = [sys.executable, "-m", "taskyard.demo.backend", "--name", offer.name, "--kind", offer.kind]
    command += ["--fastest", str(offer.fastest), "--slowest", str(offer.slowest), "--log", str(log)]
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    ending.callback(_end, process)
    line = _pipe(process.stdout).readline().strip()
    if not line.isdigit():
        raise YardError(f"the server {offer.name} did not start")
    return f"http://127.0.0.1:{line}"


def _pipe(pipe: IO[str] | None) -> IO[str]:
    if pipe is None:
        raise YardError("a process has no output")
    return pipe


def _end(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Ends a process, gently first."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_DRAIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
