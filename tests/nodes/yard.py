"""Nodes on one database, and what tests ask of them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.nodes.backend import Backend
from tests.support.nodes import NodeProcess, until

SETTINGS = {
    "TASKYARD_SECRET_KEY": "a secret key of the tests that is long enough",
    "TASKYARD_RECOVERY_SPREAD": "0",
    "TASKYARD_LINGER": "200ms",
}


class Yard:
    """Nodes by number, the first of which decides at first. `own` are settings of each of them."""

    def __init__(self, folder: Path, url: str, count: int, own: Sequence[Mapping[str, str]] = ()) -> None:
        found = SETTINGS | {"TASKYARD_DATABASE": url}
        self.nodes = [
            NodeProcess(
                folder / f"node{n}", settings=found | {"TASKYARD_NODE_NAME": f"node{n}"} | (dict(own[n]) if own else {})
            )
            for n in range(count)
        ]
        self._stack = ExitStack()
        self._clients: dict[int, httpx.Client] = {}

    def start(self) -> None:
        """Start all, and wait until they know of each other."""
        self.heal()

    def client(self, number: int) -> httpx.Client:
        """An admin's client of a node."""
        found = self._clients.get(number)
        if found is None:
            found = self._clients[number] = self._stack.enter_context(self.nodes[number].client("admin"))
        return found

    def shown(self, number: int = 0) -> list[dict[str, Any]]:
        """What a node says of all nodes."""
        nodes: list[dict[str, Any]] = self.client(number).get("/api/nodes").json()["nodes"]
        return nodes

    def decider(self) -> int:
        """The number of the node that decides, once one that runs says of itself that it does."""
        found: list[int] = []

        def one_decides() -> bool:
            found.clear()
            for number, node in enumerate(self.nodes):
                if not node.running:
                    continue
                try:
                    shown = self.shown(number)
                except (httpx.TransportError, KeyError):
                    continue
                names = [row["name"] for row in shown if row["role"] == "decider" and row["self"]]
                found.extend(int(name.removeprefix("node")) for name in names)
            return len(found) == 1

        until(one_decides, what="no node, or more than one, decides")
        return found[0]

    def others(self) -> list[int]:
        """The numbers of those that run and do not decide."""
        decider = self.decider()
        return [number for number, node in enumerate(self.nodes) if node.running and number != decider]

    def heal(self) -> None:
        """Start those that have ended, and wait until all live and know of each other."""
        for node in self.nodes:
            if not node.running:
                node.spawn()
        until(lambda: all(node.ready() for node in self.nodes), what="not all nodes are ready")

        def all_know() -> bool:
            shown = [self.shown(number) for number in range(len(self.nodes))]
            return all(len(rows) == len(self.nodes) and all(row["role"] != "gone" for row in rows) for rows in shown)

        until(all_know, what="the nodes do not know of each other")

    def register(self, served: Backend, **members: Any) -> None:
        """Register a backend server, and wait until it is online."""
        self.register_at(served.name, f"{served.url}/predict", f"{served.url}/health", **members)

    def register_at(self, name: str, predict: str, health: str, **members: Any) -> None:
        """The same for any server, by its endpoints."""
        endpoints = {"predict": predict, "health": health}
        body = {"id": name, "name": name, "capabilities": [name], "endpoints": endpoints} | members
        number = self.decider()
        assert self.client(number).post("/api/servers", json=body).status_code == 200
        until(lambda: self.client(number).get(f"/api/servers/{name}").json()["status"] == "online")

    def unregister(self, served: Backend) -> None:
        """It gets nothing any more."""
        until(lambda: self.client(self.decider()).delete(f"/api/servers/{served.name}").status_code in (200, 404))

    def submit(self, number: int, kind: str, **members: Any) -> str:
        """Submit a task to a node: its id."""
        answer = self.client(number).post("/api/task", json={"type": kind, "payload": {}} | members)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def task(self, task_id: str, number: int = 0) -> dict[str, Any]:
        """A task as a node shows it."""
        shown: dict[str, Any] = self.client(number).get(f"/api/task/{task_id}").json()
        return shown

    def becomes(self, task_id: str, condition: Callable[[dict[str, Any]], bool], number: int = 0) -> dict[str, Any]:
        """Wait until a task fulfils a condition."""
        until(lambda: condition(self.task(task_id, number)), what=f"the task does not come to that: {task_id}")
        return self.task(task_id, number)

    def close(self) -> None:
        """End everything."""
        self._stack.close()
        for node in self.nodes:
            node.kill()

    def logs(self) -> str:
        """Errors that the nodes have logged."""
        text = "".join(node.log.read_text() for node in self.nodes if node.log.exists())
        return "\n".join(line for line in text.splitlines() if re.search(r'"(exception|Traceback)', line))


@contextmanager
def yard(folder: Path, url: str, count: int = 3, own: Sequence[Mapping[str, str]] = ()) -> Iterator[Yard]:
    """Running nodes."""
    made = Yard(folder, url, count, own)
    try:
        made.start()
        yield made
        assert made.logs() == ""
    finally:
        made.close()
