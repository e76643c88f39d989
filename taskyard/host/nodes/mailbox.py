"""What the decider has for this node: attempts to send or to give up, and verdicts. Read while another node decides.

Nothing is sent by a node that may have been given up: it must have said that it lives a moment ago. What a node finds
out to have been given up it sends no longer, since its attempts are lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from taskyard.domain.outcomes import Outcome
from taskyard.domain.server import Server
from taskyard.engine.facts import Ended, Fact
from taskyard.engine.plan import Abort, Dispatch, Result
from taskyard.host.nodes.letters import ABORT, DISPATCH, VERDICT, abort_of, unpack, verdict_of
from taskyard.host.nodes.poller import Poller
from taskyard.host.nodes.threads import Threads
from taskyard.store.nodes import Letter, NodeStore

log = structlog.get_logger()
BITE = 500


class Mailbox:
    """Reads letters while `may_read` holds.

    `dispatch` sends an attempt to a server, `abort` gives one up, `decided` takes verdicts, `tell` facts; `busy` says
    whether letters are awaited. A pause between two looks is `poll_s` at most, and shorter while there is something;
    letters, and the payloads of their tasks, are read by `page` bytes.
    """

    def __init__(
        self,
        store: NodeStore,
        threads: Threads,
        *,
        may_read: Callable[[], bool],
        dispatch: Callable[[Dispatch, Server], None],
        abort: Callable[[Abort], None],
        decided: Callable[[int, Result], None],
        tell: Callable[[Fact], None],
        busy: Callable[[], bool],
        poll_s: float,
        page: int,
    ) -> None:
        self._store = store
        self._threads = threads
        self._may_read = may_read
        self._dispatch = dispatch
        self._abort = abort
        self._decided = decided
        self._tell = tell
        self._poller = Poller("letters", self.read, poll_s, expected=busy)
        self._page = page
        self._after = 0
        self._void = 0  # how often letters that were read and not carried out have become void
        self._reading = asyncio.Lock()
        self.returning = False  # nothing new is sent: what comes goes back

    def start(self) -> None:
        """Begin."""
        self._poller.start()

    async def stop(self) -> None:
        """End."""
        await self._poller.stop()

    def forget(self) -> None:
        """This node had been taken for dead: what was written to it before is void, and what is on its way as well."""
        self._void += 1

    @property
    def after(self) -> int:
        """The number of the last letter that was carried out."""
        return self._after

    def take_over(self, letters: Sequence[Letter]) -> list[Dispatch]:
        """This node decides from now on, and these were not read: carry them out, but for attempts that it should send.

        Those are returned: that they were not sent is known.
        """
        left = [letter for letter in letters if letter.id > self._after]
        self._carry_out([letter for letter in left if letter.kind != DISPATCH], {})
        unsent: list[Dispatch] = []
        for letter in left:
            self._after = letter.id
            if letter.kind == DISPATCH:
                try:
                    unsent.append(unpack(letter.body)[0])
                except ValueError as error:
                    log.error("letter_unreadable", kind=letter.kind, reason=str(error))
        return unsent

    async def read(self) -> int:
        """Carry out the next letters; how many there were. Raises `StoreError`."""
        async with self._reading:
            if not self._may_read():
                return 0
            void = self._void
            letters = await self._threads.run(self._store.letters, self._after, BITE, self._page)
            left: Sequence[Letter] = letters
            while left:
                wanted = [letter.task_id for letter in left if letter.kind == DISPATCH and not self.returning]
                payloads = await self._threads.run(self._store.payloads, wanted, self._page) if wanted else {}
                if not self._may_read() or void != self._void:
                    return 0  # meanwhile this node decides itself, or was silent for too long
                left = self._carry_out(left, payloads)
            return len(letters)

    def _carry_out(self, letters: Sequence[Letter], payloads: dict[str, str | None]) -> Sequence[Letter]:
        """Carry out letters in their order, until one whose payload is not read yet; those that are left."""
        for number, letter in enumerate(letters):
            if letter.kind == DISPATCH and not self.returning and letter.task_id not in payloads:
                return letters[number:]
            self._after = letter.id
            try:
                if letter.kind == DISPATCH:
                    effect, server = unpack(letter.body)
                    if self.returning:
                        self._tell(handed_back(effect, "the node that should dispatch it was about to stop"))
                        continue
                    effect.payload = payloads[letter.task_id]
                    self._dispatch(effect, server)
                elif letter.kind == ABORT:
                    self._abort(abort_of(letter.body))
                elif letter.kind == VERDICT:
                    self._decided(*verdict_of(letter.body))
                else:
                    log.error("letter_unknown", kind=letter.kind)
            except ValueError as error:
                log.error("letter_unreadable", kind=letter.kind, reason=str(error))
        return ()


def handed_back(effect: Dispatch, why: str) -> Ended:
    """What becomes of an attempt that was not sent."""
    return Ended(
        task_id=effect.task_id,
        attempt=effect.attempt,
        outcome=Outcome.DECLINED,
        error=f"{why}; nothing was sent",
    )
