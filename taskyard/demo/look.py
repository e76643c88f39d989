"""What a look at the yard shows: what runs where, what waits and why. Asked of the API as any dashboard would."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from taskyard.client import Client

_RUNNING_MOST = 200
_WAITING_MOST = 500


@dataclass(frozen=True)
class Waiting:
    """Tasks of one type that wait for the same reason; `oldest`: ms."""

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
    tasks = [client.task(task["id"]) if task["failures"] else task for task in pending]
    now = time.time_ns() // 1_000_000
    return Look(balancer["algorithm"], servers, running, list(_grouped(tasks, servers, now)), counts)


def _grouped(tasks: list[dict[str, Any]], servers: list[dict[str, Any]], now: int) -> Iterator[Waiting]:
    groups: dict[tuple[str, str], list[int]] = {}
    for task in tasks:
        groups.setdefault((task["type"], why(task, servers, now)), []).append(now - task["createdAt"])
    for (kind, reason), ages in sorted(groups.items()):
        yield Waiting(kind, len(ages), max(0, *ages), reason)


def why(task: dict[str, Any], servers: list[dict[str, Any]], now: int) -> str:
    """Why a pending task waits, as far as the API's figures tell. `task`: with its history where it has failed."""
    failed = [entry for entry in task.get("history", ()) if entry["outcome"] in ("failed", "timeout")]
    if failed:
        last = failed[-1]
        said = f"HTTP {last['httpStatus']}" if last["httpStatus"] else last["error"] or last["outcome"]
        return f"its next try is due soon, after {said} from {last['serverId']}"
    if (task["runAt"] or 0) > now:
        return f"not before {(task['runAt'] - now) / 1000:.0f} s from now"
    wanted = set(task["capabilities"])
    able = [server for server in servers if wanted <= set(server["capabilities"])]
    if not able:
        return f"no server has {', '.join(sorted(wanted))}"
    return "; ".join(_keeps(server, now) for server in able)


def _keeps(server: dict[str, Any], now: int) -> str:
    """What keeps a server from taking a task now."""
    name = server["id"]
    if server["status"] not in ("online", "degraded"):
        return f"{name} is {server['status']}"
    if server["misconfigured"]:
        return f"{name} refuses our key"
    if (server["pausedUntil"] or 0) > now:
        return f"{name} asked for a pause"
    if server["activeTasks"] >= server["maxConcurrent"]:
        return f"{name} is full ({server['activeTasks']}/{server['maxConcurrent']})"
    return f"{name} takes it next"
