"""Several processes that play seeds, one after the other, until the time is up or a promise is broken."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from taskyard.prove.processes import Trouble, end, started
from taskyard.prove.simulation.player import from_line
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.run import memory_directory

TASKS = 1000
CRASHES = 10
# A seed takes a second or two; on a machine with much else to do, longer.
SILENCE_S = 300.0


def play(folder: Path, first: int, seconds: float, told: Callable[[Report], None], tasks: int = TASKS) -> None:
    """Play seeds from `first` on; `told` gets each report, the last one perhaps with a broken promise.

    Each process plays at least one. Raises `Trouble` when one ends by itself or is silent for too long.
    """
    until = time.monotonic() + seconds
    with ExitStack() as stack:
        # Those that are killed in the midst of a seed leave something there.
        databases = stack.enter_context(tempfile.TemporaryDirectory(dir=memory_directory(), prefix="taskyard-prove-"))
        waiting = stack.enter_context(selectors.DefaultSelector())
        following = first
        for number in range(os.cpu_count() or 1):
            player = _player(folder / f"player-{number}.err", databases, tasks)
            stack.callback(_end, player)
            waiting.register(_output(player), selectors.EVENT_READ, player)
            _give(player, following)
            following += 1
        while waiting.get_map():
            ready = waiting.select(SILENCE_S)
            if not ready:
                raise Trouble(f"no seed was played to its end in {SILENCE_S:g} s")
            for key, _ in ready:
                player = key.data
                line = _output(player).readline()
                if not line:
                    raise Trouble(f"the simulation ended by itself:\n{_errors(folder)}")
                report = from_line(line.decode())
                told(report)
                if report.violation is not None:
                    return
                if time.monotonic() >= until:
                    waiting.unregister(key.fileobj)
                else:
                    _give(player, following)
                    following += 1


def _player(errors: Path, databases: str, tasks: int) -> subprocess.Popen[bytes]:
    module = "taskyard.prove.simulation.player"
    return started(
        [sys.executable, "-m", module, databases, str(tasks), str(CRASHES)],
        errors,
        folder=errors.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def _give(player: subprocess.Popen[bytes], seed: int) -> None:
    assert player.stdin is not None
    player.stdin.write(b"%d\n" % seed)
    player.stdin.flush()


def _output(player: subprocess.Popen[bytes]) -> IO[bytes]:
    assert player.stdout is not None
    return player.stdout


def _end(player: subprocess.Popen[bytes]) -> None:
    """What it plays now is of no interest any more."""
    player.kill()
    end(player)
    _output(player).close()


def _errors(folder: Path) -> str:
    return "".join(path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("player-*.err")))
