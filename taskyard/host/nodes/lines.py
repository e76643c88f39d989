"""The decider's side of the inbox in the store: lines of nodes become facts, each once, in each node's order.

A line is deleted by the turn that takes its fact. When turns have failed it is not known which those were: then all is
forgotten here, and read anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

import structlog

from taskyard.engine.facts import Fact, Submitted
from taskyard.engine.states import spec_of
from taskyard.host.inbox import size_of
from taskyard.host.nodes.letters import SUBMITTED, fact_of
from taskyard.host.nodes.poller import Poller
from taskyard.host.nodes.threads import Threads
from taskyard.store.nodes import Line, NodeStore
from taskyard.store.port import StoreError

log = structlog.get_logger()
# So many lines one look takes.
BITE = 500
# While so many lines' facts wait, the others can wait in the store as well.
BACKLOG = 2_000
# Nobody waits for longer until others' lines are taken.
PATIENCE_S = 2.0
# How often all is looked through from the start: for what a lost connection stored late, and nodes nobody knew of.
ANEW_S = 5.0


class Lines:
    """Reads lines while it is `active`. `put` takes their facts.

    A pause between two looks is `poll_s` at most, and shorter while there is something. A look takes `page` bytes, and
    none is taken while facts of `backlog` bytes wait to be decided.
    """

    def __init__(
        self,
        store: NodeStore,
        threads: Threads,
        put: Callable[[Fact], None],
        poll_s: float,
        *,
        page: int,
        backlog: int,
    ) -> None:
        self._store = store
        self._threads = threads
        self._put = put
        self._poller = Poller("lines", self.read, poll_s)
        self._poller.sleep()
        self._after: dict[str, int] = {}
        self._page = page
        self._backlog = backlog
        self._out: dict[tuple[str, int], int] = {}  # bytes of each line whose fact waits
        self._out_bytes = 0
        self._unreadable: set[tuple[str, int]] = set()
        self._just_taken: set[tuple[str, int]] = set()  # since the read that is under way began
        self._all_of: dict[str, int] = {}  # nodes of which nothing was left, by the last read that found that
        self._wanted: dict[int, tuple[str, int]] = {}
        self._last_ref = 0
        self._run_number = 0
        self._anew_at = 0.0
        self._reading = asyncio.Lock()
        self._moved = asyncio.Event()
        self.active = False
        self.reads = 0  # the number of the last read that began

    def start(self) -> None:
        """Begin; nothing is read before `begin`."""
        self._poller.start()

    async def stop(self) -> None:
        """End."""
        await self._poller.stop()

    def begin(self) -> None:
        """This node decides: read everything, from the start."""
        self._forget()
        self.active = True
        self._poller.wake()

    def end(self) -> None:
        """This node does not decide now."""
        self._forget()
        self.active = False
        self._poller.sleep()

    def _forget(self) -> None:
        self._run_number += 1
        self._moved.set()
        self._after, self._out, self._wanted = {}, {}, {}
        self._out_bytes = 0
        self._unreadable, self._all_of = set(), {}
        self._anew_at = 0.0

    def know(self, nodes: Iterable[str]) -> None:
        """These nodes may have lines."""
        for node in nodes:
            self._after.setdefault(node, 0)

    def drained(self, node: str) -> int:
        """The number up to which a node's lines have been read."""
        return self._after.get(node, 0)

    def all_of(self, node: str) -> int:
        """The number of the last read that took everything a node had stored before it began; 0 for none."""
        return self._all_of.get(node, 0)

    def asker(self, ref: int) -> tuple[str, int] | None:
        """The line whose fact had this `ref`; it is asked for once."""
        return self._wanted.pop(ref, None) if ref < 0 else None

    def taken(self, lines: Sequence[tuple[str, int]]) -> None:
        """These lines are deleted."""
        self._out_bytes -= sum(self._out.pop(line, 0) for line in lines)
        self._just_taken.update(lines)
        self._moved.set()

    async def caught_up(self) -> None:
        """Until what is stored by now is taken, as long as this node decides; at most for `PATIENCE_S`."""
        try:
            await self.read()
            now = set(self._out)
            async with asyncio.timeout(PATIENCE_S):
                while self.active and not now.isdisjoint(self._out.keys()):
                    self._moved.clear()
                    await self._moved.wait()
        except (StoreError, TimeoutError):
            return

    async def read(self) -> int:
        """Take the next lines in; how many there were. Raises `StoreError`."""
        async with self._reading:
            run_number = self._run_number
            if not self.active or len(self._out) > BACKLOG or self._out_bytes >= self._backlog:
                return 0
            self.reads += 1
            after = dict(self._after)
            self._just_taken.clear()
            now = asyncio.get_running_loop().time()
            if now >= self._anew_at:
                self._anew_at = now + ANEW_S
                after = dict.fromkeys([*await self._threads.run(self._store.writers), *after], 0)
            # Another one first each time, since what the first ones have may be all that one look can take.
            names = list(after)
            first = self.reads % max(1, len(names))
            after = {name: after[name] for name in names[first:] + names[:first]}
            lines, more = await self._threads.run(self._store.lines, after, BITE, self._page)
            specs = await self._specs(lines)
            if run_number != self._run_number:
                return 0  # meanwhile turns have failed, or another node decides
            for line in lines:
                self._take(line, specs)
            self._all_of.update((node, self.reads) for node in after if node not in more)
            return len(lines)

    async def _specs(self, lines: Sequence[Line]) -> dict[str, Submitted]:
        known = self._out.keys() | self._unreadable
        ids = [line.task_id for line in lines if line.kind == SUBMITTED and (line.node, line.seq) not in known]
        if not ids:
            return {}
        found = await self._threads.run(self._store.records, ids)
        return {
            task_id: Submitted(spec=spec_of(record.task), payload="", stored=True) for task_id, record in found.items()
        }

    def _take(self, line: Line, specs: dict[str, Submitted]) -> None:
        name = (line.node, line.seq)
        self._after[line.node] = max(self._after.get(line.node, 0), line.seq)
        if name in self._out or name in self._unreadable or name in self._just_taken:
            return
        fact: Fact | None = None
        if line.kind == SUBMITTED:
            fact = specs.get(line.task_id)
        else:
            try:
                fact = fact_of(line.kind, line.body)
            except ValueError as error:
                log.error("line_unreadable", node=line.node, line=line.seq, kind=line.kind, reason=str(error))
        if fact is None:
            self._unreadable.add(name)  # of a later version of this program, which will read it when it decides
            return
        self._out[name] = size = size_of(fact)
        self._out_bytes += size
        if fact.ref:
            self._last_ref -= 1
            fact.ref = self._last_ref
            self._wanted[fact.ref] = name
        fact.line = name
        self._put(fact)
