"""The SDK for those who submit tasks: one method for each call of the API. Synchronous; answers are dicts."""

import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final, Required, Self, TypedDict, Unpack
from urllib.parse import quote

import httpx

from taskyard.client.errors import ConnectionFailed
from taskyard.client.events import Event, followed
from taskyard.client.servers import Servers
from taskyard.client.transport import Transport, camel, raw

ENDED: Final = frozenset({"COMPLETED", "FAILED", "TIMEOUT", "CANCELLED"})
# One long poll: shorter than what proxies commonly allow a silent answer, and short where progress is watched, since
# the server answers it at a change of status only.
_POLL: Final = 30_000
_WATCH: Final = 1_000
_SYNC_WAIT_MAX: Final = 300_000
_MANY: Final = 1000


class Members(TypedDict, total=False):
    """The optional members of a submission. Times are ms since the epoch, durations ms."""

    priority: int
    capabilities: Sequence[str]
    group: str
    server_id: str
    run_at: int
    delay: int
    timeout: int
    ttl: int
    queue_timeout: int
    heartbeat_timeout: int
    max_retries: int
    retry_backoff: Mapping[str, int]
    idempotency_key: str
    tags: Sequence[str]
    metadata: Mapping[str, Any]
    resubmit_of: str


class Submission(Members):
    """One task of `submit_many`."""

    type: Required[str]
    payload: Required[Mapping[str, Any] | bytes]


class Client:
    """Calls one Taskyard node with one token: `with Client(url, token) as client: client.submit(…)`.

    `timeout`: ms for connecting, and for silence beyond a call's own waiting. `patience`: ms that a call may spend on
    pauses after 429 and 503 (as the server says) or a broken connection, before it raises; only calls that may be made
    twice are tried again, submissions among them, since each carries an idempotency key. Methods raise TaskyardError;
    a malformed argument raises ValueError. `transport` and `sleep` are for those who bring their own.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        timeout: int = 30_000,
        patience: int = 60_000,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._transport = Transport(url, token, timeout=timeout, patience=patience, transport=transport, sleep=sleep)
        self._object = self._transport.object
        self._patience = patience
        self._sleep = sleep
        self.url = self._transport.url
        self.servers = Servers(self._transport)

    def close(self) -> None:
        """Closes the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Submitting

    def submit(self, type: str, payload: Mapping[str, Any] | bytes, **members: Unpack[Members]) -> dict[str, Any]:
        """Submits one task and answers at once: `{id, status, createdAt, updatedAt}`.

        `payload`: a JSON object, or its bytes, which are passed on untouched. Without `idempotency_key` one is made.
        """
        body = _task({"type": type, "payload": payload, **members})
        return self._object("POST", "/api/task", needs="id", body=body, safe=True)

    def run(
        self, type: str, payload: Mapping[str, Any] | bytes, *, wait: int | None = None, **members: Unpack[Members]
    ) -> dict[str, Any]:
        """Submits one task and waits for its end, `wait` ms at most: the task, whose `status` tells how it went."""
        body = _task({"type": type, "payload": payload, **members})
        body["async"] = False
        if wait is not None:
            body["wait"] = wait
        waits = _SYNC_WAIT_MAX if wait is None else wait
        return self._object("POST", "/api/task", needs="status", body=body, safe=True, waits=waits)

    def submit_many(self, tasks: Iterable[Submission]) -> list[dict[str, Any]]:
        """Submits any number of tasks, 1000 a call: for each, in order, its answer or `{error, details}`."""
        bodies = [_task(task) for task in tasks]
        results: list[dict[str, Any]] = []
        for start in range(0, len(bodies), _MANY):
            chunk = {"tasks": bodies[start : start + _MANY]}
            results += self._object("POST", "/api/tasks", needs="results", body=chunk, safe=True)["results"]
        return results

    # Tasks

    def task(self, task: str, *, payload: bool = False, wait: int | None = None) -> dict[str, Any]:
        """One task. `payload`: with it. `wait`: answer at its next change of status, or after so many ms."""
        query = {"include": "payload" if payload else None, "wait": wait}
        return self._object("GET", _path(task), needs="status", query=query, safe=True, waits=wait or 0)

    def tasks(
        self,
        *,
        status: str | None = None,
        type: str | None = None,
        server_id: str | None = None,
        capability: str | None = None,
        tag: str | None = None,
        owner: str | None = None,
        created_from: int | None = None,
        created_to: int | None = None,
        q: str | None = None,
        page: int = 100,
    ) -> Iterator[dict[str, Any]]:
        """The tasks that match, newest first, fetched `page` (1-500) at a time while the caller goes on.

        `created_from` ≤ createdAt < `created_to` (ms). `owner`: for admins. `q`: an id, a type's beginning, a tag.
        """
        query: dict[str, Any] = {
            "status": status,
            "type": type,
            "serverId": server_id,
            "capability": capability,
            "tag": tag,
            "owner": owner,
            "from": created_from,
            "to": created_to,
            "q": q,
            "limit": page,
        }
        while True:
            answer = self._object("GET", "/api/tasks", needs="tasks", query=query, safe=True)
            yield from answer["tasks"]
            if not answer.get("nextCursor"):
                return
            query["cursor"] = answer["nextCursor"]

    def why(self, task: str) -> dict[str, Any]:
        """Why a task waits: `{code, params, text, also, funnel, position, actions, …}`. Raises Conflict otherwise."""
        return self._object("GET", _path(task) + "/why", needs="code", safe=True)

    def result(self, task: str) -> Any:
        """The result's JSON. Raises Conflict while there is none, NotFound when it has been purged."""
        return self._transport.call("GET", _path(task) + "/result", safe=True)

    def wait(
        self, task: str, timeout: int | None = None, on_look: Callable[[dict[str, Any]], None] | None = None
    ) -> dict[str, Any]:
        """The task once it has ended, or as it is after `timeout` ms (None: however long it takes).

        `on_look` is called with the task after every look at it, about once a second. A node that goes away meanwhile
        is given the client's patience to come back.
        """
        deadline = None if timeout is None else time.monotonic() + timeout / 1000
        poll = _POLL if on_look is None else _WATCH
        looked, away = False, 0
        while True:
            left = poll if deadline is None else max(0, min(poll, int((deadline - time.monotonic()) * 1000)))
            try:
                found = self.task(task, wait=left if looked and left else None)
            except ConnectionFailed:
                if not looked or away >= self._patience:
                    raise
                away += 1000
                self._sleep(1)
                continue
            looked, away = True, 0
            if on_look is not None:
                on_look(found)
            if found["status"] in ENDED or left == 0:
                return found

    def events(self, topics: Sequence[str] = (), tasks: Sequence[str] = ()) -> Generator[Event, None, None]:
        """What changes, as it does: `overview`, `lanes`, `fleet`, `attention`, and up to 100 watched tasks.

        First `snapshot`, and a `task` for each watched one. Ends only by an error: a stream that breaks off is taken up
        again, within the client's patience.
        """
        query = {"topics": ",".join(topics) or None, "tasks": ",".join(tasks) or None}
        return followed(self._transport, "/api/events", query, self._patience, self._sleep)

    def retry(self, task: str) -> dict[str, Any]:
        """Queues an ended task again, or makes a waiting one due now. Raises Conflict when its state forbids it."""
        return self._object("POST", _path(task) + "/retry")

    def cancel(self, task: str) -> dict[str, Any]:
        """Cancels a task that has not ended. Raises Conflict when it has."""
        return self._object("POST", _path(task) + "/cancel")

    def cancel_all(self) -> dict[str, Any]:
        """Cancels all tasks that have not ended: one's own, or for an admin everybody's; `bulkId` does the rest."""
        return self._object("POST", "/api/tasks/cancel", needs="changed", body={"all": True})

    def purge(self, task: str) -> dict[str, Any]:
        """Erases the payload and result of an ended task; its record stays."""
        return self._object("POST", _path(task) + "/purge")

    # The whole yard

    def stats(self, date: str | None = None) -> dict[str, Any]:
        """A day's counters, `date` as YYYY-MM-DD (UTC), today without."""
        return self._object("GET", "/api/stats", query={"date": date}, safe=True)

    def hourly(self, date: str | None = None) -> dict[str, Any]:
        """A day's counters by the hour."""
        return self._object("GET", "/api/stats/hourly", query={"date": date}, safe=True)

    def lanes(self) -> dict[str, Any]:
        """What waits, by what it requires, and why: `{lanes: [...], other: {lanes, queued}}`."""
        return self._object("GET", "/api/lanes", needs="lanes", safe=True)

    def nodes(self) -> dict[str, Any]:
        """The nodes of the yard, for an admin: `{nodes: [...]}`."""
        return self._object("GET", "/api/nodes", needs="nodes", safe=True)

    def load_balancer(self) -> dict[str, Any]:
        """The algorithm in force and each server's load."""
        return self._object("GET", "/api/loadbalancer/status", needs="algorithm", safe=True)

    def algorithm(self, name: str | None = None) -> str:
        """The algorithm in force; with `name` it is changed first (for admins)."""
        if name is None:
            return str(self.load_balancer()["algorithm"])
        path, body = "/api/loadbalancer/algorithm", {"algorithm": name}
        return str(self._object("PUT", path, needs="algorithm", body=body, safe=True)["algorithm"])

    # The node's data (for admins)

    def back_up(self) -> dict[str, Any]:
        """Begins a backup into a new `file` on the node's machine; Unavailable while another one runs."""
        return self._object("POST", "/api/backup", needs="file")

    def backup(self) -> dict[str, Any]:
        """The latest backup: `state` is running, done, failed or stopped; `copied` of `size` bytes."""
        return self._object("GET", "/api/backup", needs="state", safe=True)

    def stop_backup(self) -> dict[str, Any]:
        """Stops the backup that runs."""
        return self._object("DELETE", "/api/backup", needs="state", safe=True)


def _path(task: str) -> str:
    return f"/api/task/{quote(task, safe='')}"


def _task(members: Mapping[str, Any]) -> dict[str, Any]:
    """A submission as the wire has it, with an idempotency key."""
    body = {camel(name): value for name, value in members.items() if value is not None}
    for member in ("payload", "metadata"):
        if member in body:
            body[member] = raw(body[member])
    body.setdefault("idempotencyKey", uuid.uuid4().hex)
    return body
