"""What a node takes in for the decider: submissions, ends of attempts, callbacks, stored in batches before the answer.

A submission is answered once it is stored. A callback is answered by the decider's verdict, which comes by letter; that
it is stored is known before. The order in which facts come is that of their lines.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from taskyard.domain.fleet import lane_id_of
from taskyard.engine.facts import Ended, Fact, Submitted
from taskyard.engine.plan import Refusal, Result, SubmitDone, Writes
from taskyard.engine.rows import KeyRow, LaneRow
from taskyard.engine.states import new_task_row
from taskyard.host.answers import unstorable
from taskyard.host.errors import Overloaded, Unavailable
from taskyard.host.inbox import size_of
from taskyard.host.nodes.letters import told
from taskyard.host.nodes.threads import Threads
from taskyard.store.nodes import KeyTaken, Line, NodeStore
from taskyard.store.port import BadData, StoreError

log = structlog.get_logger()
RETRY_S = 0.2


class Taken(NamedTuple):
    """A fact, and the future of whoever waits for its answer."""

    fact: Fact
    answer: asyncio.Future[Result] | None


class Intake:
    """Stores facts for the decider while it runs.

    `most` facts may wait here and as many lines for the decider; of bodies `most_bytes`, but one submission at least.
    `batch` facts of `page` bytes go into one transaction. `stored` hears of each fact that needs no room here any more.
    """

    def __init__(
        self,
        store: NodeStore,
        threads: Threads,
        now: Callable[[], int],
        *,
        most: int,
        most_bytes: int,
        batch: int,
        page: int,
        key_ms: int,
        stored: Callable[[Fact], None],
    ) -> None:
        self._store = store
        self._threads = threads
        self._now = now
        self._most = most
        self._most_bytes = most_bytes
        self._batch = batch
        self._page = page
        self._key_ms = key_ms
        self._note_stored = stored
        self._waiting: deque[Taken] = deque()
        self._bytes = 0  # of what waits or is being stored
        self._asking: dict[int, asyncio.Future[Result]] = {}
        self._stored: set[asyncio.Future[Result]] = set()
        self._ends: dict[tuple[str, int], int] = {}  # attempts' ends, by the line that tells of them (0: none yet)
        self._filled = asyncio.Event()
        self._end_at: float | None = None  # loop time from which on nothing more is stored; `None`: there is none
        self._task: asyncio.Task[None] | None = None
        self.seq = 0  # of the last line that was stored, or may have been
        self.stored_up_to = 0  # of the last one that was stored
        self.drained = 0  # of the last line that the decider is known to have

    def start(self) -> None:
        """Begin."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self, within_s: float) -> None:
        """Store what waits, as far as the store can in so many seconds, and end.

        What is being stored then is waited for: a node must not have left before all that it stored is there.
        """
        if self._task is not None:
            self._end_at = asyncio.get_running_loop().time() + within_s
            self._filled.set()
            await asyncio.gather(self._task, return_exceptions=True)
        if self._waiting:
            log.warning("intake_not_empty", waiting=len(self._waiting))
        self._fail([*self._waiting], "the node stops")
        self._waiting.clear()
        for answer in self._asking.values():
            if not answer.done():
                answer.set_exception(Unavailable("the node stops"))

    @property
    def behind(self) -> int:
        """How many lines of this node the decider may not have."""
        return self.seq - self.drained

    @property
    def asking(self) -> bool:
        """Whether anybody waits for a verdict."""
        return bool(self._asking)

    def put(self, fact: Fact) -> asyncio.Future[Result]:
        """Take a fact in; the future of its answer. Raises `Overloaded` when too many submissions wait."""
        if isinstance(fact, Submitted) and (
            max(len(self._waiting), self.behind) >= self._most or 0 < self._bytes > self._most_bytes - size_of(fact)
        ):
            raise Overloaded("more submissions wait than a second can take", 1000)
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        fact.ref = 1  # here it says only that an answer is wanted
        self._add(Taken(fact, answer))
        return answer

    def tell(self, fact: Fact, answer: asyncio.Future[Result] | None = None) -> None:
        """Take in a fact, come what may; `answer` is the future of who waits for its answer, if anybody does."""
        fact.ref = 0 if answer is None else 1
        self._add(Taken(fact, answer))

    def is_stored(self, answer: asyncio.Future[Result]) -> bool:
        """Whether the fact that this answer is awaited for is stored."""
        return answer in self._stored

    @property
    def ends(self) -> set[tuple[str, int]]:
        """The (task, attempt) pairs whose end the decider may not have."""
        return set(self._ends)

    def prune(self) -> None:
        """Forget what the decider has."""
        self._ends = {name: seq for name, seq in self._ends.items() if not 0 < seq <= self.drained}

    def decided(self, seq: int, result: Result) -> None:
        """The decider's verdict on a line."""
        answer = self._asking.pop(seq, None)
        if answer is not None:
            self._stored.discard(answer)
            if not answer.done():
                answer.set_result(result)

    def _add(self, taken: Taken) -> None:
        if isinstance(taken.fact, Ended):
            self._ends[taken.fact.task_id, taken.fact.attempt] = 0
        self._waiting.append(taken)
        self._bytes += size_of(taken.fact)
        self._filled.set()

    def _put_back(self, batch: Sequence[Taken]) -> None:
        self._waiting.extendleft(reversed(batch))
        self._bytes += _size(batch)

    def _next(self) -> list[Taken]:
        batch: list[Taken] = []
        size = 0
        while self._waiting and len(batch) < self._batch and size < self._page:
            taken = self._waiting.popleft()
            batch.append(taken)
            size += size_of(taken.fact)
        return batch

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            if self._end_at is not None and (not self._waiting or loop.time() >= self._end_at):
                return
            batch = self._next()
            size = _size(batch)
            await self._take(batch)
            self._bytes -= size
            if not self._waiting and self._end_at is None:
                self._filled.clear()

    async def _take(self, batch: list[Taken]) -> None:
        """Store a batch, come what may."""
        try:
            await self._put_down(batch)
        except KeyTaken:
            self._put_back(batch)  # the key is found now
        except BadData as error:
            await self._narrow(batch, error)
        except StoreError as error:
            log.error("intake_failed", reason=str(error))
            self._fail(batch, f"the store is away: {error}; whether this was done is not known")
            self._put_back([taken for taken in batch if taken.answer is None])
            await asyncio.sleep(RETRY_S)
        except Exception as error:
            log.exception("intake_broken")
            await self._narrow(batch, error)

    async def _narrow(self, batch: list[Taken], error: Exception) -> None:
        """The store refuses these facts together: find the one that is at fault, and refuse it alone."""
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._take(batch[:middle])
            await self._take(batch[middle:])
            return
        for fact, answer in batch:
            log.error("fact_refused", kind=type(fact).__name__, reason=str(error))
            if answer is not None and not answer.done():
                answer.set_result(Refusal("bad_request", f"it cannot be stored: {error}"))
            if isinstance(fact, Ended) and (end := unstorable(fact)) is not None:
                self.tell(end)

    def _fail(self, batch: Sequence[Taken], reason: str) -> None:
        for _, answer in batch:
            if answer is not None and not answer.done():
                answer.set_exception(Unavailable(reason))

    async def _put_down(self, batch: list[Taken]) -> None:
        """Store a batch and answer its submissions. Raises `StoreError`; then nobody was answered but by old tasks."""
        writes, lines, answers, later = Writes(), [], [], []
        known = await self._known(batch)
        lanes: dict[int, LaneRow] = {}
        new: set[tuple[str, str]] = set()
        seq = self.seq
        for taken in batch:
            fact, answer = taken
            if isinstance(fact, Submitted):
                name = (fact.spec.owner, fact.key or "")
                # Free by the same rule as the store's, or the two would never agree.
                if fact.key is not None and name in known and known[name].expires_at > fact.spec.created_at:
                    _replay(answer, known[name], fact)
                    continue
                if fact.key is not None and name in new:
                    later.append(taken)  # the first of them must be stored
                    continue
                new.add(name)
                self._write(writes, lanes, fact)
            seq += 1
            kind, task_id, attempt, body = told(fact)
            lines.append(Line(self._store.id, seq, kind, task_id, attempt, body))
            if answer is not None:
                answers.append((seq, fact, answer))
        self.seq = seq  # whatever comes of it: no number is used twice
        writes.lanes = list(lanes.values())
        if lines:
            await self._threads.run(self._store.take_in, writes, lines)
        self.stored_up_to = seq
        for line in lines:
            if (line.task_id, line.attempt) in self._ends:
                self._ends[line.task_id, line.attempt] = line.seq
        for fact, _ in batch:
            self._note_stored(fact)
        for number, fact, answer in answers:
            if isinstance(fact, Submitted):
                if not answer.done():
                    answer.set_result(SubmitDone(fact.spec.id, fact.spec.created_at))
            elif not answer.done():
                self._asking[number] = answer
                self._stored.add(answer)
        self._put_back(later)

    async def _known(self, batch: list[Taken]) -> dict[tuple[str, str], KeyRow]:
        pairs = [
            (fact.spec.owner, fact.key) for fact, _ in batch if isinstance(fact, Submitted) and fact.key is not None
        ]
        if not pairs:
            return {}
        return await self._threads.run(self._store.keys, list(dict.fromkeys(pairs)))

    def _write(self, writes: Writes, lanes: dict[int, LaneRow], fact: Submitted) -> None:
        spec = fact.spec
        required = frozenset(spec.capabilities)
        lane = lane_id_of(required, spec.group, spec.pin)
        capabilities = json.dumps(sorted(required), ensure_ascii=False)
        lanes[lane] = LaneRow(lane, capabilities, spec.group, spec.pin)
        writes.tasks.append(new_task_row(spec, lane))
        writes.payloads.append((spec.id, fact.payload))
        if spec.tags:
            writes.tags += [(tag, spec.id) for tag in dict.fromkeys(spec.tags)]
        if fact.key is not None:
            expires = self._now() + self._key_ms
            writes.keys.append(KeyRow(spec.owner, fact.key, fact.key_hash, spec.id, spec.created_at, expires))


def _size(batch: Sequence[Taken]) -> int:
    return sum(size_of(taken.fact) for taken in batch)


def _replay(answer: asyncio.Future[Result] | None, row: KeyRow, fact: Submitted) -> None:
    """Answer a submission by the task that its key made before, or refuse it."""
    if answer is None or answer.done():
        return
    if row.hash == fact.key_hash:
        answer.set_result(SubmitDone(row.task_id, row.created_at, replayed=True))
    else:
        details = f"idempotencyKey {row.key!r} was used for another body (task {row.task_id}); use a new key."
        answer.set_result(Refusal("key_reused", details))
