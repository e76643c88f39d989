"""The torture's part of a proof: an ordeal on the user's own disk, and what its two judges say."""

from __future__ import annotations

import re
import time
from pathlib import Path
from subprocess import CompletedProcess

from taskyard.prove.processes import Trouble
from taskyard.prove.report.model import Part
from taskyard.prove.torture.evidence import Evidence
from taskyard.prove.torture.ordeal import CAN_LIMIT, RATE, SLOTS, Ordeal, timeline
from taskyard.prove.watch import Watch

TITLE = "The torture"
PROMISES = [
    "A task that was acknowledged is there, whenever the process was killed, and ends.",
    "A task has one recorded result, and it is one that a backend gave; what a callback was told holds.",
    "One idempotency key makes one task, however often it is said.",
    "No backend has more attempts at work than slots, but for those that were given up and may still be at work.",
]
ZEROS = ("lost", "recorded twice", "other findings", "excess over maxConcurrent")
FIGURES = (
    "acknowledged",
    "ended",
    "attempts",
    "kills",
    "most at once at a backend of",
    "start to first dispatch",
    "longest stall",
    "longest stall that no fault covers",
)
_FIGURE = re.compile(rf"^({'|'.join(map(re.escape, (*ZEROS, *FIGURES)))})( {SLOTS} slots)?: (.*)$")


def prove(folder: Path, seed: int, seconds: float, watch: Watch, *, kills: int, rate: float = RATE) -> Part:
    """Let an ordeal act for so long, and until the node was killed so often, in a folder that is this part's own."""
    begun = time.monotonic()
    watch.part(TITLE, seconds)
    part = Part(TITLE, list(PROMISES))
    part.tried = [
        "A real node on this disk, a client, three kinds of backends with "
        f"{SLOTS} slots each, and a proxy between all of them; {rate:g} tasks a second.",
        "Faults as the seed drew them (how often, stands below): the node is killed with SIGKILL, at work or while it "
        "starts, is told to stop, is frozen, has no file descriptors left; a backend is frozen; the network delays, "
        "cuts and resets connections.",
        "Each program wrote what it saw to a log of its own and synced it; two judges that share no code with Taskyard "
        "compared these logs with the database.",
    ]
    part.untold = ["what a full disk does: none was filled here (the tests of Taskyard fill one)"]
    if not CAN_LIMIT:
        part.untold.append("what a want of file descriptors does: this system sets no limits for another process")
    try:
        with Ordeal(folder, seed, rate=rate, say=watch.tell) as ordeal:
            ordeal.run(seconds, kills)
            evidence = ordeal.evidence()
        watch.tell("the judges look at what is left")
        judge(part, evidence)
        part.figures["faults"] = ", ".join(f"{times} × {name}" for name, times in sorted(ordeal.acts.items()))
        told = {**part.figures, **part.zeros}
        part.headline = (
            f"{told.get('acknowledged', 0):,} tasks through {told.get('kills', 0)} kills, "
            f"{told.get('lost', '?')} lost, {told.get('recorded twice', '?')} recorded twice"
        )
    except Trouble as trouble:
        part.broken.append(f"The torture could not be carried through: {trouble}")
    part.seconds = time.monotonic() - begun
    return part


def judge(part: Part, evidence: Evidence) -> None:
    """Add what both judges say of some evidence."""
    for verdict in (evidence.judged(), timeline(evidence)):
        _read(part, verdict)


def _read(part: Part, verdict: CompletedProcess[str]) -> None:
    found: list[str] = []
    for line in verdict.stdout.splitlines():
        figure = _FIGURE.match(line)
        if figure is None:
            found.append(line)
            continue
        name, slots, value = figure[1], figure[2] or "", figure[3]
        if name in ZEROS:
            part.zeros[name] = int(value.split()[0])
        else:
            part.figures[name + slots] = int(value) if value.isdigit() else value
    if found:
        part.broken.append("\n".join(["The judges found:", *found]))
    elif verdict.returncode != 0:
        part.broken.append("\n".join(["A judge could not do its work:", verdict.stderr]))
