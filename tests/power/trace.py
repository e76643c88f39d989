"""A real node under strace: what it said to the system, in order, and what that makes of its disk.

Knows the calls that a node on Linux makes, and no more; a call it does not know that changes a file is an error.
"""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.power.disk import Cut, Event, Made, Removed, Renamed, Synced, SyncedNames, Wrote
from tests.support.nodes import NodeProcess, until

READS = ("read", "recvfrom", "recvmsg", "readv")
SENDS = ("write", "sendto", "sendmsg", "writev")
SYNCS = ("fdatasync", "fsync")
CHANGES = (
    *("open", "openat", "creat", "mkdir", "mkdirat", "pwrite64", "pwritev", "pwritev2", "ftruncate", "truncate"),
    *("fallocate", "rename", "renameat", "renameat2", "unlink", "unlinkat", "sync_file_range"),
)
_LONGEST = 1 << 24
_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>(.*)")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+|\?)", re.DOTALL)
_FD = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_FLEETING = "-shm"  # shared memory: SQLite makes it anew


class Call(NamedTuple):
    """A system call: the numbers of the lines at which it began and had returned, its arguments, what it returned.

    `path` is the file or socket of the descriptor that it was given first, '' without one.
    """

    began: int
    ended: int
    name: str
    path: str
    arguments: str
    result: int

    def data(self) -> bytes:
        """The bytes that were read or written; of a call for several pieces all of them."""
        return b"".join(_bytes(text) for text in _TEXT.findall(self.arguments))[: self.result]

    def texts(self) -> list[str]:
        """The arguments that are paths."""
        return [_bytes(text).decode() for text in _TEXT.findall(self.arguments)]

    def numbers(self) -> list[int]:
        """The last arguments, as far as they are numbers."""
        return [int(number) for number in re.findall(r", (\d+)(?=,|$)", self.arguments)]


def _bytes(text: str) -> bytes:
    value = ast.literal_eval(f'b"{text}"')  # strace writes what C and Python both read
    assert isinstance(value, bytes)
    return value


@cache
def missing() -> str | None:
    """Why no process can be traced here; `None`: it can."""
    if shutil.which("strace") is None:
        return "a trace needs strace, which is not installed"
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()}"


class TracedNode(NodeProcess):
    """A node whose calls are written to `trace`. `change` is Python that is run before the product starts."""

    def __init__(self, data_dir: Path, *, change: str = "") -> None:
        super().__init__(data_dir)
        if (reason := missing()) is not None:
            pytest.skip(reason)
        self.trace = data_dir.with_name(data_dir.name + ".trace")
        self._change = change

    def command(self) -> list[str]:
        calls = ",".join((*READS, *SENDS, *SYNCS, *CHANGES))
        # As a grandchild, so that the process that was started is the node itself.
        strace = ["strace", "--daemonize", "-f", "--seccomp-bpf", "-y", "-s", str(_LONGEST)]
        product = f"{self._change}\nfrom taskyard.cli.main import main\nmain()"
        _, _, _, *arguments = super().command()
        node = [sys.executable, "-c", product, *arguments]
        # A system may lack some of the calls that another one has.
        return [*strace, "-e", "trace=?" + calls.replace(",", ",?"), "-o", str(self.trace), *node]

    def calls(self) -> list[Call]:
        """All calls, once the node has ended, in the order in which they returned."""
        assert not self.running
        last = re.compile(rf"^{self.pid} +\+\+\+ ", re.MULTILINE)
        until(lambda: last.search(_end_of(self.trace)) is not None, what="the trace does not end")
        with self.trace.open(errors="replace") as lines:
            calls = list(_calls(lines))
        self.trace.unlink()  # some 30 MB
        return calls


def _end_of(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 200))
        return file.read().decode(errors="replace")


def _calls(lines: Iterator[str]) -> Iterator[Call]:
    unfinished: dict[str, tuple[int, str]] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line)
        assert found is not None, line[:200]
        process, rest = found[1], found[2]
        if rest.startswith(("+++", "---")):
            continue
        if rest.endswith(" <unfinished ...>"):
            unfinished[process] = (number, rest.removesuffix(" <unfinished ...>"))
            continue
        began = number
        resumed = _RESUMED.match(rest)
        if resumed is not None:
            began, first = unfinished.pop(process)
            rest = first + resumed[1]
        # What a process reads to come to life is much, and of no interest.
        if rest.startswith(READS) and "<socket:" not in rest[:60]:
            continue
        call = _CALL.match(rest)
        if call is not None and call[3] != "?":
            descriptor = _FD.match(call[2])
            yield Call(began, number, call[1], descriptor[1] if descriptor else "", call[2], int(call[3]))


class Exchange(NamedTuple):
    """A request to the node and its answer; `read` is the last call that read it, `sent` the first that answered."""

    request: bytes
    answer: bytes
    read: Call
    sent: Call


def exchanges(calls: list[Call]) -> list[Exchange]:
    """The requests to the node and its answers, on connections that carry one at a time."""
    talks: dict[str, list[tuple[list[Call], list[Call]]]] = {}
    for call in calls:
        if not call.path.startswith("socket:") or call.result <= 0:
            continue
        talk = talks.setdefault(call.path, [([], [])])
        if call.name in READS:
            if talk[-1][1]:
                talk.append(([], []))
            talk[-1][0].append(call)
        elif call.name in SENDS:
            talk[-1][1].append(call)
    # On the connections to backends it is the node that speaks first.
    both = [(reads, sends) for talk in talks.values() for reads, sends in talk if reads and sends]
    return [Exchange(_joined(reads), _joined(sends), reads[-1], sends[0]) for reads, sends in both]


def _joined(calls: list[Call]) -> bytes:
    return b"".join(call.data() for call in calls)


def disk_events(calls: list[Call], data_dir: Path, told: Callable[[Call], Event | None]) -> list[Event]:
    """What the disk below a data directory was told. `told` says what a call acknowledged, if anything.

    A write and an acknowledgement count from their beginning on, a sync when it has returned.
    """
    timed: list[tuple[int, Event]] = []
    positions: dict[str, int] = {}
    made: set[str] = set()
    for call in calls:
        if (event := told(call)) is not None:
            timed.append((call.began, event))
        if call.result >= 0:
            at = call.ended if call.name in SYNCS else call.began
            timed += [(at, event) for event in _changes(call, data_dir, positions, made)]
    return [event for _, event in sorted(timed, key=lambda entry: entry[0])]


def _changes(call: Call, data_dir: Path, positions: dict[str, int], made: set[str]) -> Iterator[Event]:
    """What one call means for the files. `positions` are where the next `write` goes, `made` the files that are."""
    here = str(data_dir)
    if call.path == here and call.name in SYNCS:
        yield SyncedNames()
        return
    paths = [call.path, *(call.texts() if call.name.startswith(("open", "unlink", "rename")) else [])]
    names = [Path(path).name for path in paths if Path(path).parent == data_dir and not path.endswith(_FLEETING)]
    if not names:
        return
    name = names[0]
    if call.name == "openat":
        positions[name] = 0
        if "O_CREAT" in call.arguments and name not in made:
            made.add(name)
            yield Made(name)
        elif "O_TRUNC" in call.arguments:
            yield Cut(name, 0)
    elif call.name == "pwrite64":
        yield Wrote(name, call.numbers()[-1], call.data())
    elif call.name == "write":
        yield Wrote(name, positions[name], call.data())
        positions[name] += call.result
    elif call.name == "ftruncate":
        yield Cut(name, call.numbers()[-1])
    elif call.name == "fallocate":
        yield Cut(name, sum(call.numbers()[-2:]))
    elif call.name in SYNCS:
        yield Synced(name)
    elif call.name == "unlink":
        made.discard(name)
        yield Removed(name)
    elif call.name == "rename":
        made.discard(name)
        made.add(names[1])
        yield Renamed(name, names[1])
    else:
        raise AssertionError(f"nobody knows what {call.name} does to {name}")
