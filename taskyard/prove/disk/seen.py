"""Whether a real node syncs its log before it answers: its threads are looked at while it takes submissions.

Linux says of each thread which system call it is in. A sync that is too short to be met says nothing.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from taskyard.prove.torture.node import NodeProcess

# The numbers of fsync and fdatasync.
CALLS = {"x86_64": ("74", "75"), "aarch64": ("82", "83"), "riscv64": ("82", "83")}
LOG = "taskyard.db-wal"
# Among so many submissions a sync is met, however busy the machine is.
ENOUGH = 200


@dataclass
class Seen:
    """How many submissions were acknowledged, and in how many the node was met in a sync of its log before that.

    `looked` is how often a thread said where it is: with none there is nothing to be told.
    """

    acknowledged: int = 0
    met: int = 0
    looked: int = 0
    problem: str = ""
    moments: list[int] = field(default_factory=list)


def watched(folder: Path, seconds: float, settings: Mapping[str, str], patient: bool) -> Seen:
    """Start a node in a folder and submit one task after the other for so long. Raises `Trouble`, `OSError`.

    `patient`: for as long as it is not met in a sync, until so many are acknowledged that it should have been.
    """
    seen = Seen()
    node = NodeProcess(folder / "data", settings={"TASKYARD_LOG_LEVEL": "warning", **settings})
    node.log = folder / "node.log"
    asked: list[tuple[int, int]] = []
    try:
        node.start()
        client = threading.Thread(target=_submit, args=(node, seconds, asked, seen, patient))
        client.start()
        writer = ""
        while client.is_alive():
            writer = _look(node.pid, seen, writer)
        client.join()
    finally:
        node.kill()
    seen.acknowledged = len(asked)
    moments = iter(seen.moments)
    moment = next(moments, None)
    for begun, ended in asked:
        while moment is not None and moment < begun:
            moment = next(moments, None)
        seen.met += moment is not None and moment < ended
    return seen


def _submit(node: NodeProcess, seconds: float, asked: list[tuple[int, int]], seen: Seen, patient: bool) -> None:
    """One after the other; when each was sent and when it was answered."""
    end = time.monotonic() + seconds
    try:
        with node.client("user") as client:
            while not asked or time.monotonic() < end or (patient and not seen.moments and len(asked) < ENOUGH):
                begun = time.monotonic_ns()
                answer = client.post("/api/task", json={"type": "proof", "payload": {"text": "x" * 100}})
                answer.raise_for_status()
                asked.append((begun, time.monotonic_ns()))
    except Exception as error:  # told in the report
        seen.problem = str(error)


def _look(pid: int, seen: Seen, writer: str) -> str:
    """Note a moment at which a thread is in a sync of the log; gives the thread that writes, once it is known."""
    numbers = CALLS.get(platform.machine(), ())
    try:
        for thread in [writer] if writer else os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/syscall") as file:
                words = file.read().split()
            seen.looked += len(words) > 1
            if len(words) > 1 and words[0] in numbers:
                handle = int(words[1], 16)
                if os.readlink(f"/proc/{pid}/fd/{handle}").endswith(LOG):
                    seen.moments.append(time.monotonic_ns())
                    return thread
    except (OSError, ValueError):  # a thread or a file that is gone, or nothing that is told to us
        time.sleep(0.001)
        return ""
    return writer
