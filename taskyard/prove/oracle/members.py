"""The oracle's ledger of nodes: who lived when, who was heard when, who had the right to decide until when.

Shares no code with Taskyard and imports nothing of it. All times are those of the simulated world.
"""

from __future__ import annotations

from taskyard.prove.oracle.violation import Violation

LEASE_MS = 5_000
# What two readings of one moment may differ by.
JITTER_MS = 300
LOST_WITHIN_MS = 10_000
SLACK_MS = 5_000
# A silence of before is remembered for so long: what it led to may come late.
REMEMBERED_MS = 60_000
NEVER = 1 << 62


class Members:
    """Kept from what processes and the database wrote. `silence` is after how many ms a node is taken for dead."""

    def __init__(self, silence: int, *, one_machine: bool) -> None:
        self.at = 0
        self.decider = ""
        self.epoch = 0
        self._silence = silence
        self._one_machine = one_machine
        self._dead: dict[str, int] = {}
        self._left: dict[str, int] = {}
        self._heard: dict[str, int] = {}
        self._silent: dict[str, tuple[int, int]] = {}  # the last silence that was long enough: since when, until when
        self._lease_until = 0
        self._holder = ""
        self._troubles = 0
        self._quiet_since = 0

    # --- what happens ------------------------------------------------------------------------------------------------

    def died(self, node: str) -> None:
        """A process is gone."""
        self._dead[node] = self.at
        if node == self.decider:
            self._quiet_since = NEVER

    def left(self, node: str) -> None:
        """A node has taken its leave."""
        self._left[node] = self.at

    def heard(self, node: str) -> None:
        """The database heard that a node lives."""
        before = self._heard.get(node)
        if before is not None and self.at - before >= self._silence - JITTER_MS:
            self._silent[node] = before, self.at
        self._heard[node] = self.at
        self._left.pop(node, None)

    def trouble(self, *, begins: bool) -> None:
        """Something that is no death befalls nodes or their ways to each other, or is over."""
        self._troubles += 1 if begins else -1
        if not begins and self._quiet_since != NEVER:
            self._quiet_since = self.at

    def quiet_for(self) -> int:
        """For how many ms a decider that nothing befell has had its way; 0 when none has."""
        return 0 if self._troubles or self._quiet_since == NEVER else self.at - self._quiet_since

    # --- who decides -------------------------------------------------------------------------------------------------

    def took(self, node: str, epoch: int) -> None:
        """A node took the right to decide. Raises `Violation` when another one had it."""
        if epoch <= self.epoch:
            raise Violation("one decides", f"{node} took the right to decide as number {epoch} after {self.epoch}")
        taken = self._holder not in ("", node) and self._lease_until > self.at
        if taken and not (self._one_machine and self._holder in self._dead):
            raise Violation("one decides", f"{node} took the right to decide that {self._holder} had")
        self._holder, self.epoch, self._lease_until = node, epoch, self.at + LEASE_MS

    def kept(self, epoch: int) -> None:
        """The one with this number told in time that it still decides."""
        if epoch == self.epoch:
            self._lease_until = self.at + LEASE_MS

    def handed_over(self, epoch: int) -> None:
        """The one with this number decides no longer."""
        if epoch == self.epoch:
            self._holder = ""

    def recovered(self, node: str, epoch: int) -> None:
        """The first turn of a decider was committed."""
        self.committed(node, epoch, first=True)
        self.decider = node
        self._quiet_since = NEVER if node in self._dead else self.at

    def committed(self, node: str, epoch: int, *, first: bool = False) -> None:
        """A turn of a node was committed. Raises `Violation` unless it was its right."""
        if epoch != self.epoch or (node != self.decider and not first):
            told = f"{node} committed a turn as number {epoch}; {self.decider} decides, the last number is {self.epoch}"
            raise Violation("one decides", told)

    # --- who is dead -------------------------------------------------------------------------------------------------

    def check_lost(self, attempt: tuple[str, int], node: str, stored_at: int | None) -> None:
        """An attempt that a node was sending is given up; its end was stored at a time, if it was.

        Raises `Violation` when that node lived and was heard, or when the end was known before that could be told.
        """
        found = self._found_gone(node)
        if found is None:
            raise Violation("lost", f"{attempt} was given up, and {node} lives: heard of {self._age(node)} ms ago")
        if stored_at is not None and stored_at < found:
            raise Violation("an end in hand counts", f"{attempt} is lost, and {node} had stored its end")

    def _age(self, node: str) -> int:
        return self.at - self._heard.get(node, 0)

    def _found_gone(self, node: str) -> int | None:
        """The earliest time at which others could know that a node is gone; `None` when it was there all the time."""
        times = [self._left[node]] if node in self._left else []
        if node in self._dead and self._one_machine:
            times.append(self._dead[node])
        heard = self._heard.get(node, 0)
        if self.at - heard >= self._silence - JITTER_MS:
            times.append(heard + self._silence - JITTER_MS)
        since, until = self._silent.get(node, (0, -NEVER))
        if self.at - until < REMEMBERED_MS:
            times.append(since + self._silence - JITTER_MS)
        return min(times, default=None)

    def dead_too_long(self, node: str) -> bool:
        """Whether what a node was sending should have been given up by now."""
        died = self._dead.get(node, NEVER)
        return min(self.at - died, self.quiet_for()) > LOST_WITHIN_MS + SLACK_MS
