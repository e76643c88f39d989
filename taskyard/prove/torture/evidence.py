"""What a run of the torture has left, and its two judges, each a process of its own that imports nothing of ours."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

KINDS = ("direct", "callback", "failing")
DATABASE = "taskyard.db"
HERE = Path(__file__).parent
JUDGING_S = 600


class Evidence:
    """What is left to judge: the database's files, and the logs of client, backends, and of proxy and ordeal if any."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = folder / DATABASE
        self.client = folder / "client.log"
        self.backends = [folder / f"{kind}.log" for kind in KINDS]
        self.proxy = folder / "proxy.log"
        self.ordeal = folder / "ordeal.log"

    def copy(self, folder: Path) -> Evidence:
        """The same once more, to be tampered with."""
        shutil.copytree(self.folder, folder)
        return Evidence(folder)

    def judged(self) -> subprocess.CompletedProcess[str]:
        """What the judge of facts says."""
        logs = [str(path) for path in (*self.backends, self.proxy) if path.exists()]
        return _asked("judge.py", str(self.database), str(self.client), *logs)

    def timed(self, linger_ms: int, slots: int) -> subprocess.CompletedProcess[str]:
        """What the judge of times says, told how long attempts linger and how many slots each backend has."""
        logs = (self.ordeal, self.client, *self.backends)
        return _asked("timeline.py", str(self.database), str(linger_ms), str(slots), *map(str, logs))


def _asked(judge: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A judge is isolated: it could not import Taskyard if it tried to."""
    command = [sys.executable, "-I", "-S", str(HERE / judge), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=JUDGING_S, check=False)  # noqa: S603
