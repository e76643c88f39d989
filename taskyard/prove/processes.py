"""Processes of a proof, their ports, and waiting for what they should come to. Knows not what they are."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from random import SystemRandom
from typing import IO

# How long a machine with other things to do may need until something is done that should be done at once.
PATIENCE_S = 60.0
STEADY = (10_000, 32_000)
_PR_SET_PDEATHSIG = 1
_PRCTL = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None


class Trouble(Exception):
    """Something did not come to what it must come to, or ended by itself; the message says what."""


def until(
    condition: Callable[[], bool],
    patience_s: float = PATIENCE_S,
    what: str = "it did not come to that",
    every_s: float = 0.01,
) -> None:
    """Return as soon as a condition holds, looking again and again. Raises `Trouble` when that takes too long."""
    end = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() >= end:
            raise Trouble(what)
        time.sleep(every_s)


def free_port() -> int:
    """A port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def steady_port() -> int:
    """A free port below those that connections get, so that none of them can sit on it while its listener is away."""
    while True:
        port = SystemRandom().randrange(*STEADY)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def started(
    command: list[str],
    output: Path,
    *,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    stdin: int = subprocess.DEVNULL,
    stdout: IO[bytes] | int | None = None,
) -> subprocess.Popen[bytes]:
    """A process that a terminal's Ctrl-C does not reach, and that on Linux ends with the thread that started it.

    What it writes is added to `output`; its standard output goes elsewhere when `stdout` says so.
    """
    with output.open("ab") as file:
        return subprocess.Popen(  # noqa: S603
            command,
            cwd=folder,
            env=environment,
            stdin=stdin,
            stdout=file if stdout is None else stdout,
            stderr=file,
            start_new_session=True,
            preexec_fn=_dies_with_us(),
        )


def program(
    stack: ExitStack, errors: Path, module: str, *arguments: object, folder: Path | None = None
) -> subprocess.Popen[bytes]:
    """Start a module as a program that takes words on its standard input, and ends with the stack.

    It is found from `folder`, which is the one of `errors` unless something else is named.
    """
    process = started(
        [sys.executable, "-m", module, *map(str, arguments)],
        errors,
        folder=folder or errors.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    stack.callback(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Close its standard input, which ends it; if not, kill it."""
    assert process.stdin is not None
    if not process.stdin.closed:
        with suppress(BrokenPipeError):  # it has ended already, with a word unread
            process.stdin.close()
    try:
        process.wait(PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _dies_with_us() -> Callable[[], None] | None:
    """What a new process does first, so that nothing of it is left when this one is killed; `None` but on Linux."""
    if _PRCTL is None:
        return None
    prctl, parent = _PRCTL, os.getpid()

    def first() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGKILL)

    return first
