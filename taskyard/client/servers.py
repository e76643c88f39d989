"""The calls about backend servers: `client.servers`."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from taskyard.client.transport import Transport, camel


class Servers:
    """Answers are the wire's JSON objects as dicts. Every method raises TaskyardError."""

    def __init__(self, transport: Transport) -> None:
        self._object = transport.object

    def list(
        self, *, status: str | None = None, group: str | None = None, capability: str | None = None
    ) -> list[dict[str, Any]]:
        """The registered servers; without `status` those that drain away after a removal are left out."""
        query = {"status": status, "group": group, "capability": capability}
        found: list[dict[str, Any]] = self._object("GET", "/api/servers", needs="servers", query=query, safe=True)[
            "servers"
        ]
        return found

    def show(self, server: str) -> dict[str, Any]:
        """One server by its id."""
        return self._object("GET", _path(server), safe=True)

    def register(
        self,
        name: str,
        predict: str,
        health: str,
        *,
        id: str | None = None,
        metrics: str | None = None,
        cancel: str | None = None,
        api_key: str | None = None,
        capabilities: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        max_concurrent: int | None = None,
        priority: int | None = None,
        async_: bool | None = None,
    ) -> dict[str, Any]:
        """Registers a server, or changes the one with this id (else with this `predict`).

        `predict`, `health`, `metrics`, `cancel`: URLs. `max_concurrent`: its slots. `priority`: its weight, 0 a
        standby. `async_`: it accepts tasks and calls back. The answer has `serverId` and the first check's `status`.
        """
        endpoints = {"predict": predict, "health": health, "metrics": metrics, "cancel": cancel}
        body = {
            "id": id,
            "name": name,
            "endpoints": {what: url for what, url in endpoints.items() if url is not None},
            "apiKey": api_key,
            "capabilities": capabilities,
            "groups": groups,
            "maxConcurrent": max_concurrent,
            "priority": priority,
            "async": async_,
        }
        present = {member: value for member, value in body.items() if value is not None}
        return self._object("POST", "/api/servers", body=present, safe=True)

    def change(self, server: str, **members: Any) -> dict[str, Any]:
        """Changes members of `register` (`endpoints` as one dict), by their names there."""
        return self._object(
            "PATCH", _path(server), body={camel(name): value for name, value in members.items()}, safe=True
        )

    def remove(self, server: str) -> dict[str, Any]:
        """Takes it out; its running tasks may end for 30 s, the rest are queued again."""
        return self._object("DELETE", _path(server))

    def heartbeat(
        self,
        server: str,
        status: str | None = None,
        *,
        active_tasks: int | None = None,
        metrics: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Says that it lives: `healthy`, `unhealthy`, or `draining` (nothing new until `healthy`)."""
        body = {"status": status, "activeTasks": active_tasks, "metrics": metrics}
        present = {member: value for member, value in body.items() if value is not None}
        return self._object("POST", _path(server) + "/heartbeat", body=present, safe=True)

    def maintenance(self, server: str, on: bool, reason: str | None = None) -> dict[str, Any]:
        """Switches maintenance: nothing new comes, running tasks end."""
        body = {"maintenance": on} if reason is None else {"maintenance": on, "reason": reason}
        return self._object("POST", _path(server) + "/maintenance", body=body, safe=True)

    def check(self, server: str) -> dict[str, Any]:
        """Runs a health check now and answers with it."""
        return self._object("POST", _path(server) + "/check", safe=True)

    def metrics(self, server: str) -> dict[str, Any]:
        """Its counters and its present load."""
        return self._object("GET", _path(server) + "/metrics", safe=True)

    def stats(self, server: str) -> dict[str, Any]:
        """Its statistics."""
        return self._object("GET", f"/api/stats/servers/{quote(server, safe='')}", safe=True)


def _path(server: str) -> str:
    return f"/api/servers/{quote(server, safe='')}"
