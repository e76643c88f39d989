"""Interleavings: a number for the order of events around a turn, the same in each process.

Two turns are alike when the same kinds of facts, about tasks that are related alike, came in the same order, the same
effects followed, and the turn was cut off at the same point, or not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from zlib import crc32

from taskyard.engine.facts import Fact
from taskyard.engine.plan import Plan


def interleaving(facts: Sequence[Fact], plan: Plan | None, stage: str) -> int:
    """The number of a turn that was cut off at `stage` ("": not at all)."""
    tasks: dict[str, int] = {}
    words = [stage]
    for item in facts:
        words.append(_word(item, tasks))
    if plan is not None:
        words.append("->")
        for effect in plan.effects:
            words.append(_word(effect, tasks))
    return crc32(" ".join(words).encode())


def _word(item: Any, tasks: dict[str, int]) -> str:
    task = getattr(item, "task_id", None)
    number = "" if task is None else tasks.setdefault(task, len(tasks))
    says = getattr(item, "outcome", None) or getattr(item, "word", None) or getattr(item, "status", "")
    return f"{type(item).__name__}{number}{says}"
