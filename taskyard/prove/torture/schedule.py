"""What is done to the node, in which order: drawn from a seed alone, so that a run can be repeated."""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

KILL = "kill -9"
KILL_STARTING = "kill -9 as it starts"
RESTART = "SIGTERM"
FREEZE = "frozen"
FREEZE_BACKEND = "a backend frozen"
DISK = "disk full"
DESCRIPTORS = "no descriptors left"
FAULTS = (KILL, KILL_STARTING, RESTART, FREEZE, FREEZE_BACKEND, DISK, DESCRIPTORS)

# One round has each fault at least once, and kills most.
ROUND = (*[KILL] * 4, KILL_STARTING, RESTART, FREEZE, FREEZE_BACKEND, DISK, DESCRIPTORS)
STORMY = 0.4
# The chance that the node is killed while a fault lasts, where it can be.
KILLED = 0.5
BEFORE_S = (0.2, 1.6)
LENGTH_S = {
    KILL: (0.0, 0.0),
    KILL_STARTING: (0.05, 1.0),
    RESTART: (0.0, 0.0),
    FREEZE: (0.2, 2.5),
    FREEZE_BACKEND: (0.5, 3.0),
    DISK: (0.3, 1.5),
    DESCRIPTORS: (0.3, 2.0),
}


class Act(NamedTuple):
    """After `before_s` of work the fault comes, for `length_s`.

    `storm`: on the network, from the act's beginning. `killed`: while the fault lasts; on a full disk the node is also
    started again. `backend` is the number of the one that is meant, where one is.
    """

    before_s: float
    fault: str
    length_s: float
    storm: bool
    killed: bool
    backend: int

    def __str__(self) -> str:
        words = [f"after {self.before_s:.2f} s", self.fault]
        if self.fault == FREEZE_BACKEND:
            words.append(f"(number {self.backend})")
        if self.length_s:
            words.append(f"for {self.length_s:.2f} s")
        if self.killed and self.fault not in (KILL, KILL_STARTING):
            words.append("and killed in it")
        return " ".join(words) + (", in a storm" if self.storm else "")


def schedule(seed: int, backends: int, without: frozenset[str] = frozenset()) -> Iterator[Act]:
    """Acts without end, `without` some faults; which ones are left out changes nothing in the others."""
    rng = Random(seed)
    while True:
        for fault in rng.sample(ROUND, len(ROUND)):
            act = Act(
                before_s=rng.uniform(*BEFORE_S),
                fault=fault,
                length_s=rng.uniform(*LENGTH_S[fault]),
                # Descriptors are missed only where connections must be made anew.
                storm=rng.random() < STORMY or fault == DESCRIPTORS,
                killed=(rng.random() < KILLED or fault in (KILL, KILL_STARTING)) and fault != RESTART,
                backend=rng.randrange(backends),
            )
            if fault not in without:
                yield act
