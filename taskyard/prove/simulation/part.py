"""The simulation's part of a proof: as many seeds as there is time for, and what they came to."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from taskyard.prove.oracle.promises import PROMISES
from taskyard.prove.processes import Trouble
from taskyard.prove.report.model import Part
from taskyard.prove.simulation.faults import FAULTS
from taskyard.prove.simulation.players import CRASHES, TASKS, play
from taskyard.prove.simulation.report import Report
from taskyard.prove.simulation.total import Total
from taskyard.prove.watch import Watch

TITLE = "The simulation"
TAIL = 20
LINE_MOST = 300


def prove(folder: Path, seed: int, seconds: float, watch: Watch, tasks: int = TASKS) -> Part:
    """Play seeds from `seed` on in a folder that is this part's own. `tasks` is how many each has."""
    begun = time.monotonic()
    watch.part(TITLE, seconds)
    total = Total()
    part = Part(TITLE, list(PROMISES.values()))
    try:
        play(folder, seed, seconds, _teller(part, total, watch), tasks)
    except Trouble as trouble:
        part.broken.append(f"The simulation could not be carried through: {trouble}")
    part.tried = [
        "Taskyard's own engine, store, inbox, clock, proofs and reading of answers, as installed here, in virtual "
        "time; clients, backends, operators and crashes were drawn from seeds.",
        f"{len(FAULTS)} kinds of faults, among them crashes between any two steps of a turn, commits that fail or "
        "whose outcome is unknown, backends that hang, lie, break off, call back twice, late or for another's task.",
        "An oracle that shares no code with Taskyard judged each turn, and the database by SQL of its own.",
    ]
    part.zeros = {"promises broken": len(part.broken)}
    part.figures = {
        "seeds played to their end": total.seeds,
        "tasks, from submission to their end": total.lifecycles,
        "attempts": total.attempts,
        "turns": total.turns,
        "crashes of the node": total.crashes.total(),
        "kinds of moments at which it crashed": len(total.crashes),
        "distinct interleavings of facts and effects": len(total.interleavings),
        "virtual time": f"{total.virtual_ms / 3_600_000:.1f} h",
    }
    part.headline = (
        f"{total.seeds:,} seeds, {total.lifecycles:,} tasks, {total.crashes.total():,} crashes, "
        f"{len(part.broken)} promises broken"
    )
    part.again = f"python -m taskyard.prove.simulation --seed {seed} --seeds {max(total.seeds, 1)} --tasks {tasks}"
    part.seconds = time.monotonic() - begun
    return part


def _teller(part: Part, total: Total, watch: Watch) -> Callable[[Report], None]:
    def tell(report: Report) -> None:
        if report.violation is None:
            total.add(report)
        else:
            part.broken.append(_words(report))
            watch.tell(f"seed {report.seed}: broken: {report.rule}")
        watch.figures({"seeds": total.seeds, "tasks": total.lifecycles, "crashes": total.crashes.total()})

    return tell


def _words(report: Report) -> str:
    """A broken promise, how to see it again, and what came last."""
    promise = PROMISES.get(report.rule, "The code itself fell over.")
    again = f"python -m taskyard.prove.simulation --seed {report.seed} --tasks {report.tasks} --crashes {CRASHES}"
    tail = [line[:LINE_MOST] for line in report.tail[-TAIL:]]
    return "\n".join([f"{promise} Seed {report.seed}: {report.violation}", f"again: {again}", *tail])
