"""Real things for a generated request to be about: tasks in each state, an attempt that waits for its callback, a
server, a bulk job. Everything is made over HTTP, just before it is needed."""

from itertools import count
from typing import Any

import httpx

from tests.support.accepting import Accepting

# More than one turn of a bulk change takes, so that a job is left to be asked about.
MANY = 600


class Seeds:
    """`mine` makes what the caller owns: tasks for `user` and `admin`, servers for `service` and `admin`."""

    def __init__(self, mine: httpx.Client, user: httpx.Client, service: httpx.Client, backend: Accepting) -> None:
        self._user = user
        self._service = service
        self._mine = mine
        self._backend = backend
        self._numbers = count(1)
        self.real: set[str] = set()
        self._job: str | None = None
        self._cursor: str | None = None
        self._server: str | None = None

    def _post(self, client: httpx.Client, path: str, body: Any = None) -> Any:
        answer = client.post(path, json=body)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    def _note(self, found: str) -> str:
        self.real.add(found)
        return found

    def pending(self) -> str:
        """A task that waits."""
        body = {"type": "seed", "payload": {"n": 1}, "group": "nowhere"}
        return self._note(self._post(self._user, "/api/task", body)["id"])

    def ended(self) -> str:
        """A task that was cancelled."""
        task = self.pending()
        self._post(self._user, f"/api/task/{task}/cancel")
        return task

    def completed(self) -> str:
        """A task with a result."""
        task = self.pending()
        answer = self._user.put(f"/api/task/{task}", json={"status": "COMPLETED", "result": {"n": 2}})
        assert answer.status_code == 200, answer.text
        return task

    def accepted(self) -> tuple[str, str, str]:
        """A task at work, the number of its attempt, and its proof. Its server is a new one: others may be paused."""
        skill = f"skill-{next(self._numbers)}"
        body = {"name": skill, "endpoints": self.endpoints(), "capabilities": [skill]}
        self._post(self._service, "/api/servers", body)
        task = self._post(self._user, "/api/task", {"type": "seed", "payload": {}, "capabilities": [skill]})["id"]
        while (order := self._backend.order())["task_id"] != task:
            pass
        attempt, _, proof = order["callback_url"].rsplit("/", 1)[1].partition("-")
        return self._note(task), attempt, proof

    def endpoints(self) -> dict[str, str]:
        """Where a backend answers, like no other server's."""
        number = next(self._numbers)
        return {name: f"{url}?n={number}" for name, url in self._backend.endpoints.items()}

    def new_server(self) -> str:
        """A server of the caller's."""
        body = {"name": "seed", "endpoints": self.endpoints(), "groups": ["seeds"]}
        return self._note(self._post(self._service, "/api/servers", body)["serverId"])

    def server(self) -> str:
        """One that may have been used before."""
        if self._server is None or self._service.get(f"/api/servers/{self._server}").status_code != 200:
            self._server = self.new_server()
        return self._server

    def job(self) -> str:
        """A bulk job."""
        if self._job is None:
            tasks = [{"type": "many", "payload": {}, "group": "nowhere"} for _ in range(MANY)]
            self._post(self._user, "/api/tasks", {"tasks": tasks})
            self._job = self._note(self._post(self._user, "/api/tasks/cancel", {"filter": {"type": "many"}})["bulkId"])
        return self._job

    def cursor(self) -> str:
        """Where a page of the caller's tasks goes on."""
        if self._cursor is None:
            self.pending()
            self.pending()
            self._cursor = self._mine.get("/api/tasks?limit=1").json()["nextCursor"]
        return self._cursor
