"""What a look at the yard shows: what runs where, what waits and why. Asked of the API as any dashboard would."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from taskyard.client import Client, Conflict, NotFound

_RUNNING_MOST = 200
_WAITING_MOST = 500


@dataclass(frozen=True)
class Waiting:
    """Tasks of one type that wait alike, how long the oldest does (ms), and why that one waits."""

    type: str
    count: int
    oldest: int
    why: str


@dataclass(frozen=True)
class Look:
    """The yard at one moment. `running`: by server, types and how often. `counts`: tasks by status, and `retried`."""

    algorithm: str
    servers: list[dict[str, Any]]
    running: dict[str, dict[str, int]]
    waiting: list[Waiting]
    counts: dict[str, int]


def look(client: Client) -> Look:
    """Asks the node. Raises TaskyardError."""
    servers = client.servers.list()
    balancer = client.load_balancer()
    stats = client.stats()
    running: dict[str, dict[str, int]] = {server["id"]: {} for server in servers}
    for task in islice(client.tasks(status="PROCESSING", page=_RUNNING_MOST), _RUNNING_MOST):
        types = running.setdefault(task["serverId"], {})
        types[task["type"]] = types.get(task["type"], 0) + 1
    pending = islice(client.tasks(status="PENDING", page=_WAITING_MOST), _WAITING_MOST)
    counts = {
        "waiting": stats["pendingTasks"],
        "running": stats["processingTasks"],
        "completed": stats["successfulTasks"],
        "failed": stats["failedTasks"] + stats["timedOutTasks"],
        "retried": stats["retriedTasks"],
    }
    return Look(balancer["algorithm"], servers, running, list(_waiting(client, pending)), counts)


def _waiting(client: Client, tasks: Iterable[dict[str, Any]]) -> Iterator[Waiting]:
    """Tasks that wait alike: of one type, with the same needs, tried before or not. The node is asked why for one."""
    groups: dict[tuple[str, tuple[str, ...], bool], list[dict[str, Any]]] = {}
    for task in tasks:
        alike = (task["type"], tuple(task["capabilities"]), bool(task["failures"]))
        groups.setdefault(alike, []).append(task)
    for _, group in sorted(groups.items()):
        oldest = min(group, key=lambda task: task["createdAt"])
        try:
            why = client.why(oldest["id"])
        except (Conflict, NotFound):  # it has started meanwhile
            continue
        yield Waiting(oldest["type"], len(group), why["asOf"] - oldest["createdAt"], why["text"])
