"""The ordeal: a field of processes, a proxy and a disk, and what a schedule says done to them, act after act."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Protocol

from taskyard.prove.processes import Trouble, until
from taskyard.prove.torture.evidence import KINDS, Evidence
from taskyard.prove.torture.field import Field
from taskyard.prove.torture.journal import line_of
from taskyard.prove.torture.network import Network
from taskyard.prove.torture.schedule import (
    DESCRIPTORS,
    DISK,
    FREEZE,
    FREEZE_BACKEND,
    KILL,
    KILL_STARTING,
    RESTART,
    Act,
    schedule,
)

RATE = 200
# Few slots, so that they are all taken whenever there is something to make up for.
SLOTS = 8
LINGER_MS = 500
SETTINGS = {"LINGER": f"{LINGER_MS}ms", "TASKYARD_BALLAST": "4MiB"}
# Only Linux sets another process's limits.
CAN_LIMIT = hasattr(resource, "prlimit")
# No other descriptor than the standard ones may be made.
DESCRIPTORS_LEFT = 3
# How long a machine with other things to do may need until the node answers, or says that its store is away.
PATIENCE_S = 60


class Disk(Protocol):
    """A disk of the ordeal's own, with nothing but the node's data on it."""

    path: Path

    def fill(self) -> None:
        """Leave no room."""

    def make_room(self) -> None:
        """As it was."""


class Ordeal:
    """Use it as a context. `rate` is how many tasks are submitted a second; `say` gets a line for each act.

    Without a `disk` of its own the data lies in `folder` with all else, and no disk is filled.
    """

    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        rate: float = RATE,
        say: Callable[[str], None] = print,
        disk: Disk | None = None,
    ) -> None:
        self._folder = folder
        self._seed = seed
        self._rate = rate
        self._say = say
        self._evidence = Evidence(folder / "evidence")
        self._stack = ExitStack()
        self._without = frozenset({*([] if disk else [DISK]), *([] if CAN_LIMIT else [DESCRIPTORS])})
        self._disk = disk
        self._network: Network
        self._field: Field
        self._began: float
        self.kills = 0
        self.acts: Counter[str] = Counter()

    def __enter__(self) -> Ordeal:
        self._evidence.folder.mkdir(parents=True)
        with ExitStack() as stack:
            self._network = Network(stack, self._folder, self._evidence.proxy, self._seed)
            self._note("start")
            self._field = stack.enter_context(
                Field(
                    self._folder,
                    rate=self._rate,
                    seed=self._seed,
                    data_dir=self._disk.path / "data" if self._disk else None,
                    settings=SETTINGS,
                    slots=SLOTS,
                    through=self._network.link,
                )
            )
            self._note("ready")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _note(self, event: str, what: str = "") -> None:
        """One line more in the ordeal's own log, on the disk at once."""
        with self._evidence.ordeal.open("ab") as file:
            file.write(line_of({"event": event, "what": what}))
            file.flush()
            os.fsync(file.fileno())

    # --- the acts ----------------------------------------------------------------------------------------------------

    def run(self, seconds: float, kills: int) -> None:
        """Act after act until both so much time has passed and the node was killed so often; then settle."""
        self._began = time.monotonic()
        acts = schedule(self._seed, len(KINDS), self._without)
        while time.monotonic() - self._began < seconds or self.kills < kills:
            act = next(acts)
            self._say(f"{time.monotonic() - self._began:6.1f} s  {act}")
            self._act(act)
        self._network.storm(False)
        self._field.settle()
        self._field.node.kill()

    def _act(self, act: Act) -> None:
        self.acts[act.fault] += 1
        self.acts["a storm on the network"] += act.storm
        self._network.storm(act.storm)
        time.sleep(act.before_s)
        self._field.check()
        if act.fault == KILL:
            self._kill()
        elif act.fault == KILL_STARTING:
            self._kill()
            self._spawn()
            time.sleep(act.length_s)
            self._kill()
        elif act.fault == RESTART:
            self._note("stop")
            if (code := self._field.node.stop()) != 0:
                raise Trouble(f"a node that was told to stop ended with {code}")
        else:
            self._suffer(act)
        if not self._field.node.running:
            self._spawn()
        until(self._field.node.ready, PATIENCE_S, what=f"the node did not come round: {act}")
        self._note("ready")

    def _suffer(self, act: Act) -> None:
        """A fault that lasts, with a kill in it perhaps."""
        with self._fault(act):
            self._note("fault", act.fault)
            time.sleep(act.length_s)
            if act.killed:
                self._kill()
            if act.killed and act.fault == DISK:
                # It may find that it cannot: then it ends by itself.
                self._spawn()
                time.sleep(act.length_s)

    def _kill(self) -> None:
        self._note("kill")
        self._field.node.kill()
        self.kills += 1

    def _spawn(self) -> None:
        self._note("start")
        self._field.node.spawn()

    def _fault(self, act: Act) -> AbstractContextManager[None]:
        """A fault, and its end."""
        if act.fault == FREEZE:
            return self._frozen(self._field.node.pid)
        if act.fault == FREEZE_BACKEND:
            return self._frozen(self._field.backend(KINDS[act.backend]))
        return self._full() if act.fault == DISK else self._without_descriptors()

    @contextmanager
    def _frozen(self, pid: int) -> Iterator[None]:
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if pid != self._field.node.pid or self._field.node.running:
                os.kill(pid, signal.SIGCONT)

    @contextmanager
    def _full(self) -> Iterator[None]:
        assert self._disk is not None
        self._disk.fill()
        try:
            until(lambda: not self._field.node.ready(), PATIENCE_S, what="the node did not say that its disk is full")
            yield
        finally:
            self._disk.make_room()

    @contextmanager
    def _without_descriptors(self) -> Iterator[None]:
        """Whatever the node opens from now on is one too many; what it has open stays."""
        pid = self._field.node.pid
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (DESCRIPTORS_LEFT, hard))
        try:
            yield
        finally:
            if self._field.node.running:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def evidence(self) -> Evidence:
        """What there is to judge, once the run is over."""
        return self._field.evidence()


def timeline(evidence: Evidence) -> subprocess.CompletedProcess[str]:
    """What the judge of times says of an ordeal."""
    return evidence.timed(LINGER_MS, SLOTS)
