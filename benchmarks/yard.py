"""What the benchmarks stand on: an nginx stub as the backend, a node as a process of its own, wrk as the load.

Everything on loopback, in a folder of its own, ended by process id. Knows nothing of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx

NGINX = """
worker_processes 1;
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen 127.0.0.1:{port} backlog=4096 reuseport;
    default_type application/json;
    location /health {{ return 200 '{{"status":"healthy"}}'; }}
    location / {{ return 200 '{{"status":"success","result":{{"ok":true}}}}'; }}
  }}
}}
"""

# A machine may be busy with other things.
STARTING_S = 120.0
WRK_POST = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer {token}"
wrk.body = '{body}'
"""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: object, seconds: float = 20.0) -> None:
    """Wait for a condition; raises `TimeoutError`."""
    end = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds} s for {condition}")
        time.sleep(0.02)


@contextlib.contextmanager
def process(
    *command: str, env: dict[str, str] | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ends with the block."""
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        running = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
        try:
            yield running
        finally:
            if running.poll() is None:
                running.send_signal(signal.SIGTERM)
                try:
                    running.wait(15)
                except subprocess.TimeoutExpired:
                    running.kill()
                    running.wait()


@contextlib.contextmanager
def stub(folder: Path) -> Iterator[int]:
    """nginx that answers every POST with a result; yields its port."""
    binary = shutil.which("nginx") or "/usr/sbin/nginx"
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port))
    with process(binary, "-p", str(folder), "-c", str(conf), "-e", str(folder / "error.log")):
        until(lambda: _answers(f"http://127.0.0.1:{port}/health"))
        yield port


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.TransportError:
        return False


@dataclass
class Yard:
    """A running node: its URL, an admin token, its process id and data folder."""

    url: str
    token: str
    pid: int
    folder: Path

    def call(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One call as admin; raises on an error status."""
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.request(method, self.url + path, json=body, headers=headers, trust_env=False, timeout=60)
        answer.raise_for_status()
        answered: dict[str, object] = answer.json()
        return answered

    def waiting(self) -> int:
        """Tasks that have not ended."""
        stats = self.call("GET", "/api/stats")
        return int(str(stats["pendingTasks"])) + int(str(stats["processingTasks"]))

    def cpu_seconds(self) -> float:
        """User and system time of the node so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float:
        """Resident memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


@contextlib.contextmanager
def yard(folder: Path, **environment: str) -> Iterator[Yard]:
    """A node on a SQLite file in `folder`."""
    port = free_port()
    env = {**os.environ, "TASKYARD_LOG_LEVEL": "warning", **environment}
    log = folder / "node.log"
    data = folder / "data"
    command = [sys.executable, "-m", "taskyard", "serve", "--dev", "--port", str(port), "--data-dir", str(data)]
    with process(*command, env=env, log=log) as running:
        url = f"http://127.0.0.1:{port}"
        until(lambda: running.poll() is not None or _answers(url + "/ready"), STARTING_S)
        token = re.search(r"eyJ[\w.-]+", log.read_text())
        if token is None:
            raise RuntimeError(log.read_text())
        yield Yard(url, token[0], running.pid, data)


def register(node: Yard, port: int, servers: int, slots: int, prefix: str = "stub") -> list[str]:
    """Register so many servers on the stub; returns their ids."""
    made = []
    for number in range(servers):
        base = f"http://127.0.0.1:{port}/{number}"
        body = {
            "id": f"{prefix}-{number}",
            "name": f"{prefix}-{number}",
            "endpoints": {"predict": base, "health": f"http://127.0.0.1:{port}/health"},
            "capabilities": ["bench"],
            "maxConcurrent": slots,
        }
        made.append(str(node.call("POST", "/api/servers", body)["serverId"]))
    until(lambda: all(server["status"] == "online" for server in node.call("GET", "/api/servers")["servers"]))  # type: ignore[attr-defined]
    return made


def task_body(size: int = 1000, **members: object) -> str:
    """A submission whose payload has about `size` bytes."""
    return json.dumps({"type": "bench", "payload": {"text": "x" * (size - 12)}, "capabilities": ["bench"], **members})


def wrk(url: str, body: str, token: str, seconds: int, connections: int, folder: Path) -> tuple[float, int]:
    """Requests per second of a closed loop, and how many answers were not 2xx."""
    script = folder / "post.lua"
    script.write_text(WRK_POST.format(token=token, body=body))
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(script), url]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    if rate is None:
        raise RuntimeError(text)
    return float(rate[1]), int(bad[1]) if bad else 0


def fsync_p50_ms(folder: Path, times: int = 200) -> float:
    """The median of fsyncs of a page in this folder, in ms."""
    path = folder / "fsync"
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return sorted(took)[times // 2] * 1000


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="taskyard-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
