"""The fenced blocks of the project's pages, and a terminal to run them in. Knows nothing of what a page is about."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
# The ports that pages name; each session has others, so that pages can be tested beside each other.
PORTS = ("8787", "9000", "9001")
# Commands that go on until they are stopped: a reader gives each a terminal of its own.
FOREGROUND = re.compile(r"(taskyard serve|python examples/\S+)( |$)")
_FENCE = re.compile(r"^ *```(.*)$")
_START_S = 20
_TASK = re.compile(r"task_[0-9a-f]{8,}")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_LOOSE = {"…": ".*", "\0": _NUMBER.pattern}


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands (`page:line`), its language, and its text."""

    where: str
    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """A page's fenced blocks in order. Raises ValueError for one that is not closed."""
    found: list[Block] = []
    opened: tuple[int, str] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = _FENCE.match(line)
        if fence is None:
            lines.append(line)
        elif opened is None:
            opened, lines = (number, fence[1].strip()), []
        else:
            found.append(Block(f"{page.name}:{opened[0]}", opened[1], "\n".join(lines)))
            opened = None
    if opened is not None:
        raise ValueError(f"{page.name}:{opened[0]}: the block is not closed")
    return found


class Terminal:
    """What a reader has after `make venv`: a folder with the environment and the examples, and a shell in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ports = dict(zip(PORTS, _free_ports(len(PORTS)), strict=True))
        self._running: list[subprocess.Popen[bytes]] = []
        (folder / ".venv").symlink_to(sys.prefix)
        (folder / "examples").mkdir()
        for example in (ROOT / "examples").glob("*.py"):
            (folder / "examples" / example.name).write_text(self.moved(example.read_text(encoding="utf-8")))
        own = {name: value for name, value in os.environ.items() if not name.startswith(("TASKYARD_", "JWT_"))}
        self._environment = own | {
            "HOME": str(folder),
            "PATH": f"{sys.prefix}/bin:{os.environ['PATH']}",
            "TASKYARD_PORT": self._ports["8787"],
            "NO_PROXY": "*",
        }
        (folder / ".state").write_text("")

    def moved(self, text: str) -> str:
        """`text` with this session's ports."""
        for port, free in self._ports.items():
            text = re.sub(rf"\b{port}\b", free, text)
        return text

    def run(self, text: str) -> str:
        """Runs a shell block and gives its output; its exports hold for the next. Raises AssertionError."""
        text = self.moved(text)
        before, _, last = text.rstrip().rpartition("\n")
        if FOREGROUND.match(last):
            self._start(f"{before}\nexec {last}")
            return ""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", f". ./.state\n{text}\nexport -p > .state"],
            cwd=self.folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{text}\n{done.stdout}{done.stderr}"
        return done.stdout

    def _start(self, text: str) -> None:
        waiting = [int(port) for port in self._ports.values() if not _listens(int(port))]
        log = self.folder / f"foreground-{len(self._running)}.log"
        with log.open("wb") as told:
            process = subprocess.Popen(
                ["bash", "-euc", f". ./.state\n{text}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
            )
        self._running.append(process)
        deadline = time.monotonic() + _START_S
        while not any(_listens(port) for port in waiting):
            assert process.poll() is None, f"{text}\n{log.read_text()}"
            assert time.monotonic() < deadline, f"{text}\nlistens nowhere\n{log.read_text()}"
            time.sleep(0.02)

    def close(self) -> None:
        """Ctrl-C in every terminal."""
        for process in reversed(self._running):
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder / "taskyard-data", ignore_errors=True)


def _free_ports(count: int) -> list[str]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def missing_line(shown: str, output: str) -> str | None:
    """The first line of `shown` that `output` has not, in order; numbers, ids and what `…` stands for may differ."""
    lines = iter([_plain(line) for line in output.splitlines()])
    for line in filter(None, map(_plain, shown.splitlines())):
        general = _NUMBER.sub("\0", _TASK.sub("…", line))
        pattern = re.compile("".join(_LOOSE.get(part) or re.escape(part) for part in re.split("(…|\0)", general)))
        if not any(pattern.fullmatch(said) for said in lines):
            return line
    return None


def _plain(line: str) -> str:
    return " ".join(re.sub(r"─+", "─", line).split())


def difference(shown: Any, said: Any, where: str = "") -> str | None:
    """Where JSON differs from what a page shows, or None.

    Numbers may be others; a text may end with `…`; a member named `…` stands for all that are not shown.
    """
    if isinstance(shown, dict) and isinstance(said, dict):
        names = set(shown) - {"…"}
        if names - set(said) or ("…" not in shown and set(said) - names):
            return f"{where}: shows {sorted(shown)}, is {sorted(said)}"
        return next(filter(None, (difference(shown[name], said[name], f"{where}.{name}") for name in names)), None)
    if isinstance(shown, list) and isinstance(said, list):
        if len(shown) != len(said):
            return f"{where}: shows {len(shown)} members, has {len(said)}"
        pairs = enumerate(zip(shown, said, strict=True))
        return next(filter(None, (difference(one, other, f"{where}[{n}]") for n, (one, other) in pairs)), None)
    if isinstance(shown, str) and isinstance(said, str) and shown.endswith("…"):
        same = said.startswith(shown[:-1])
    elif isinstance(shown, bool) or not isinstance(shown, int | float):
        same = shown == said and type(shown) is type(said)
    else:
        same = isinstance(said, int | float) and not isinstance(said, bool)
    return None if same else f"{where}: shows {json.dumps(shown)}, is {json.dumps(said)}"
