"""What people look at: at the end of a turn, from what it counted to the rows of series, failures, facets and loads."""

from __future__ import annotations

from taskyard.engine import tally
from taskyard.engine.memory import Memory
from taskyard.engine.plan import Writes
from taskyard.engine.tally import Tally

# In the order in which series have them.
_COUNTED = (tally.CREATED, *tally.ENDS.values())


def write_figures(memory: Memory, now: int, counted: Tally, writes: Writes) -> None:
    """Fold what a turn counted into memory's figures, and write those that changed."""
    yard = counted.yard()
    for task_type, took in counted.ran.items():
        memory.run_times.learn(task_type, took)
    ran = [took for some in counted.ran.values() for took in some]
    writes.series = memory.series.take(
        now, [yard[place] for place in _COUNTED], counted.waited, ran, memory.queued, memory.processing
    )
    writes.failures = memory.failures.rows()
    writes.facets = memory.facets.rows(now)
    writes.loads = memory.service.take(
        now,
        memory.fleet.servers.values(),
        counted.picks,
        counted.outcomes,
        counted.served(),
        last=memory.draining,
    )
