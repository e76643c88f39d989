"""Holds the node to account: each submitted task is asked for by its id and compared with the servers' own logs."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taskyard.client import ENDED, Client, NotFound
from taskyard.demo.shapes import OFFERS


@dataclass(frozen=True)
class Account:
    """What was found. `did`: by server, what its own log says. `faults`: one line each; none is what was promised."""

    tasks: int
    statuses: dict[str, int]
    did: dict[str, dict[str, int]]
    retried: int
    faults: list[str]


def account(client: Client, ids: Iterable[str], logs: Mapping[str, Path]) -> Account:
    """Asks for every task, one by one. Raises TaskyardError."""
    lines = {name: _read(path) for name, path in logs.items()}
    done: dict[str, list[str]] = defaultdict(list)
    for line in (line for told in lines.values() for line in told):
        if line["did"] == "completed":
            done[line["task"]].append(line["run"])
    faults = []
    statuses: Counter[str] = Counter()
    retried = 0
    known = list(ids)
    if len(set(known)) != len(known):
        faults.append("two submissions were given the same id")
    for task_id in known:
        try:
            task = client.task(task_id)
        except NotFound:
            faults.append(f"{task_id}: lost, the node does not know it")
            continue
        statuses[task["status"]] += 1
        retried += task["failures"] > 0
        fault = _fault(task, done[task_id])
        if fault is not None:
            faults.append(f"{task_id}: {fault}")
    faults += [f"{task_id}: a server worked on it, but nobody submitted it" for task_id in done.keys() - set(known)]
    for offer in OFFERS:
        most = max((line.get("active", 0) for line in lines.get(offer.name, ())), default=0)
        if most > offer.slots:
            faults.append(f"{offer.name} had {most} tasks at once and only {offer.slots} slots")
    did = {name: dict(Counter(line["did"] for line in told)) for name, told in lines.items()}
    return Account(len(known), dict(statuses), did, retried, faults)


def _fault(task: dict[str, Any], runs: list[str]) -> str | None:
    if task["status"] not in ENDED:
        return f"not ended, it is {task['status']}"
    if task["status"] != "COMPLETED":
        return f"is {task['status']}, but {runs[0]} completed it" if runs else None
    if len(runs) != 1:
        return f"completed by {len(runs)} runs: {', '.join(runs) or 'no server says so'}"
    result = task["result"]
    if not isinstance(result, dict) or result.get("run") != runs[0]:
        return f"its result is not that of {runs[0]}"
    return None


def _read(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]
