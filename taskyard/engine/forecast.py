"""When a waiting task will start: a copy of the scheduler run ahead in virtual time, many times, by learnt run times.

Each run ends what runs now, and what it starts itself, after times drawn from those that completed attempts of the same
type took; the match is the real one. What comes later is not foreseen: tasks of a higher priority, failures, servers
that go. Where a type has too few samples, or too much is ahead, nothing is said. Figures are int ms.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapify, heappop, heappush
from itertools import accumulate, count
from random import Random
from typing import NamedTuple

from taskyard.domain.task import Run
from taskyard.engine.trial import Picture, Trial

AHEAD_MOST = 300
RUNS_LEAST = 20
RUNS_MOST = 40
ENDS_MOST = 6_000  # of attempts, in all runs together


class Estimate(NamedTuple):
    """In how many ms the task will have started in half, and in nine tenths of the cases."""

    p50: int
    p90: int


def forecast(picture: Picture, rng: Random) -> Estimate | None:
    """When the task of a picture will start; `None`: there is no telling."""
    if not picture.whole:
        return None
    picture = picture.near()
    ahead = picture.size
    known = picture.times.keys()
    types = {kind for _, _, kind in picture.runs if kind is not None}
    types |= {task.spec.type for flow in picture.flows for task in flow.tasks}
    if ahead > AHEAD_MOST or not types <= known:
        return None
    runs = min(RUNS_MOST, max(RUNS_LEAST, ENDS_MOST // (ahead + 1)))
    starts = []
    for _ in range(runs):
        at = _start(picture, {kind: _Times(latest, rng) for kind, latest in picture.times.items()}, rng)
        if at is None:
            return None
        starts.append(at - picture.now)
    starts.sort()
    return Estimate(starts[len(starts) // 2], starts[len(starts) * 9 // 10])


def _start(picture: Picture, times: dict[str, _Times], rng: Random) -> int | None:
    """When one run starts the task; `None`: never, as far as can be foreseen."""
    trial = Trial(picture)
    fleet, memory = trial.fleet, trial.memory
    serial = count()
    # What ends when on which server; without an attempt its pause ends.
    ends: list[tuple[int, int, str, Run | None]] = []
    for run, server_id, kind in picture.runs:
        if kind is None:
            at = run.linger_until or picture.now
        else:
            at = run.started_at + times[kind].beyond(picture.now - run.started_at, rng)
        ends.append((at, next(serial), server_id, run))
    for server in picture.servers:
        if server.paused_until is not None and server.paused_until > picture.now:
            ends.append((server.paused_until, next(serial), server.id, None))
    heapify(ends)
    while True:
        for sent in trial.match(rng):
            run = memory.runs[sent.task_id, sent.attempt]
            heappush(ends, (trial.now + times[sent.type].draw(rng), next(serial), sent.server_id, run))
        if trial.started:
            return trial.now
        if not ends:
            return None
        at, _, server_id, ended = heappop(ends)
        trial.now = max(trial.now, at)
        server_of = fleet.servers.get(server_id)
        if server_of is not None:
            if ended is not None:
                server_of.runs.discard(ended)
            fleet.refresh(server_of, trial.now)


class _Times:
    """Run times to draw from: what is known, weighed anew for each run, since few samples tell little.

    The weights are those of the Bayesian bootstrap (Rubin 1981).
    """

    def __init__(self, known: list[int], rng: Random) -> None:
        self._values = sorted(known)
        self._sums = list(accumulate(rng.expovariate(1) for _ in known))

    def draw(self, rng: Random) -> int:
        """A run time."""
        return self._values[bisect_right(self._sums, rng.random() * self._sums[-1])]

    def beyond(self, elapsed: int, rng: Random) -> int:
        """The run time of an attempt that has run for so long already."""
        index = bisect_right(self._values, elapsed)
        if index == len(self._values):
            return elapsed + max(1, elapsed // 20)  # longer than any: no telling, soon perhaps
        seen = self._sums[index - 1] if index else 0.0
        return self._values[bisect_right(self._sums, seen + rng.random() * (self._sums[-1] - seen), index)]
