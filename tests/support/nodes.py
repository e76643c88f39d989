"""A real node of the tests, as a process, with a secret that the tests know."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from taskyard.prove.processes import PATIENCE_S, free_port, until
from taskyard.prove.torture import node
from taskyard.tokens import sign

__all__ = ["PATIENCE_S", "ROOT", "SECRET", "NodeProcess", "environment", "free_port", "serve", "token", "until"]

ROOT = Path(__file__).parents[2]
SECRET = "a secret of the tests that is long enough for HS256"


def token(*roles: str, sub: str = "ann", secret: str = SECRET) -> str:
    """A token for an hour."""
    return sign(secret, sub, roles, 3_600_000, time.time_ns() // 1_000_000)


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process of the tests finds in its environment: nothing of Taskyard's but these settings."""
    return node.environment(SECRET, settings)


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


class NodeProcess(node.NodeProcess):
    """One node on one data directory. `settings` are environment variables; what it writes goes to `log`."""

    def __init__(self, data_dir: Path, *, port: int = 0, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port=port, settings=settings, secret=SECRET)

    def rss_bytes(self) -> int:
        """Its resident memory."""
        with open(f"/proc/{self.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
