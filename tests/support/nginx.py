"""A real nginx on a free loopback port, in a folder of its own, as a process of this test run."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

CONFIG = """
daemon off; master_process off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log warn;
events {{ worker_connections 512; }}
http {{
  access_log off; client_body_temp_path {root}/body; proxy_temp_path {root}/proxy; fastcgi_temp_path {root}/fastcgi;
  uwsgi_temp_path {root}/uwsgi; scgi_temp_path {root}/scgi; default_type text/plain; client_max_body_size {body_max};
  keepalive_requests {keepalive_requests}; keepalive_timeout {keepalive_timeout};
  server {{
    listen 127.0.0.1:{port}; root {root}/files; location /files/ {{ alias {root}/files/; }}
{locations}
  }}
}}
"""


def find() -> str | None:
    """The nginx binary, or None when the Debian package nginx-light (or any other) is not installed."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Nginx:
    """`locations` is nginx configuration within `server`; files put into `files` are served under /files/."""

    def __init__(
        self,
        root: Path,
        locations: str,
        *,
        keepalive_requests: int = 100_000,
        keepalive_timeout: str = "60s",
        body_max: str = "16m",
    ) -> None:
        binary = find()
        if binary is None:
            raise FileNotFoundError("nginx is not installed: apt-get install nginx-light")
        self.port = free_port()
        self.files = root / "files"
        self.files.mkdir(parents=True)
        (root / "nginx.conf").write_text(
            CONFIG.format(
                root=root,
                port=self.port,
                locations=locations,
                keepalive_requests=keepalive_requests,
                keepalive_timeout=keepalive_timeout,
                body_max=body_max,
            )
        )
        self._process = subprocess.Popen(
            [binary, "-p", str(root), "-c", str(root / "nginx.conf"), "-e", str(root / "error.log")],
            stderr=subprocess.PIPE,
        )
        self._await_listening()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        self._process.terminate()
        self._process.communicate(timeout=60)

    def _await_listening(self, limit_s: float = 60) -> None:
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                _, words = self._process.communicate()
                raise RuntimeError(f"nginx ended: {words.decode(errors='replace')}")
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                time.sleep(0.01)
            else:
                return
        self.stop()
        raise TimeoutError("nginx does not listen")
