"""`taskyard servers …`: list, show, add, rm, drain, maintenance, check."""

from enum import StrEnum
from typing import Annotated, Any

import typer

from taskyard.cli import show
from taskyard.cli.command import Yard, calls, each
from taskyard.cli.values import ServerId, content

app = typer.Typer(name="servers", help="The backend servers that tasks go to.", no_args_is_help=True)
ServerIds = Annotated[list[str], typer.Argument(metavar="ID...", help="Server ids.", show_default=False)]
# What `{id}` does, and how to end that.
_DRAINS = "drains: nothing new comes, running tasks end; `taskyard servers drain --end {id}` ends it"


class Switch(StrEnum):
    """What `maintenance` takes."""

    ON = "on"
    OFF = "off"


def _text(name: str, help: str) -> Any:
    return typer.Option(name, help=help, show_default=False)


@calls(app, "list")
def list_servers(
    yard: Yard,
    status: Annotated[str | None, _text("--status", "online, degraded, offline, maintenance, draining.")] = None,
    group: Annotated[str | None, _text("--group", "In this group.")] = None,
    capability: Annotated[str | None, _text("--capability", "With this capability.")] = None,
) -> None:
    """The registered servers."""
    found = yard.client.servers.list(status=status and status.lower(), group=group, capability=capability)
    if yard.as_json:
        show.json_list(found)
        return
    plain = ("id", "name", "status", "score", "active", "weight", "capabilities", "groups")
    show.table((*plain, "heartbeat", "checked", "note"), (_row(server) for server in found))


def _row(server: dict[str, Any]) -> tuple[object, ...]:
    health = server.get("health") or {}
    score = health.get("score")
    return (
        server.get("id"),
        server.get("name"),
        server.get("status"),
        f"{score:.0f}" if isinstance(score, int | float) else "",
        f"{server.get('activeTasks')}/{server.get('maxConcurrent')}",
        server.get("priority"),
        show.words(server.get("capabilities")),
        show.words(server.get("groups")),
        show.ago(server.get("lastHeartbeat")),
        show.ago(health.get("lastCheck")),
        server.get("maintenanceReason"),
    )


@calls(app, "show")
def show_server(yard: Yard, server: ServerId) -> None:
    """One server, its health and its figures."""
    found = yard.client.servers.show(server)
    figures = yard.client.servers.metrics(server).get("metrics") or {}
    if yard.as_json:
        show.json_line(found | {"metrics": figures})
        return
    health = found.get("health") or {}
    endpoints = found.get("endpoints") or {}
    facts: dict[str, object] = {name: found.get(name) for name in ("id", "name", "status", "maintenanceReason")}
    facts |= {
        "health": health.get("status"),
        "failed checks": health.get("consecutiveFailures"),
        "last check": show.moment(health.get("lastCheck")),
        "last heartbeat": show.moment(found.get("lastHeartbeat")),
        "registered": show.moment(found.get("registeredAt")),
        "online for": show.span(found.get("uptime")),
        "active": f"{found.get('activeTasks')}/{found.get('maxConcurrent')}",
        "weight": found.get("priority"),
        "capabilities": show.words(found.get("capabilities")),
        "groups": show.words(found.get("groups")),
    }
    facts |= {f"{what} URL": url for what, url in endpoints.items()}
    facts |= {
        "tasks": figures.get("tasksProcessed"),
        "success": show.percent(figures.get("successRate")),
        "processing time": show.span(figures.get("averageProcessingTime")),
        "response time": show.span(figures.get("averageResponseTime")),
    }
    show.facts(facts)


@calls(app, "add")
def add(
    yard: Yard,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What people call it.", show_default=False)],
    predict: Annotated[str, typer.Option("--predict", help="The URL that takes tasks.", show_default=False)],
    health: Annotated[str, typer.Option("--health", help="The URL that answers health checks.", show_default=False)],
    id: Annotated[str | None, _text("--id", "Its id; a known one is changed.")] = None,
    metrics: Annotated[str | None, _text("--metrics", "The URL of its figures.")] = None,
    cancel: Annotated[str | None, _text("--cancel", "The URL that cancels a task.")] = None,
    api_key: Annotated[
        str | None, _text("--api-key", "What it wants as Bearer token: @file, - for stdin, text.")
    ] = None,
    capability: Annotated[list[str] | None, _text("--capability", "What it can do (repeatable).")] = None,
    group: Annotated[list[str] | None, _text("--group", "A group that it is in (repeatable).")] = None,
    max_concurrent: Annotated[int | None, typer.Option("--max-concurrent", min=1, max=10000, help="Its slots.")] = None,
    priority: Annotated[int | None, typer.Option("--priority", min=0, max=10, help="Its weight; 0: standby.")] = None,
    calls_back: Annotated[
        bool | None, typer.Option("--async/--direct", help="It accepts tasks and calls back.", show_default=False)
    ] = None,
) -> None:
    """Registers a server, or changes the one with this id or this predict URL."""
    secret = None if api_key is None else content(api_key, "--api-key").decode(errors="replace").strip()
    answer = yard.client.servers.register(
        name,
        predict,
        health,
        id=id,
        metrics=metrics,
        cancel=cancel,
        api_key=secret,
        capabilities=capability or None,
        groups=group or None,
        max_concurrent=max_concurrent,
        priority=priority,
        async_=calls_back,
    )
    if yard.as_json:
        show.json_line(answer)
        return
    show.line(answer.get("serverId"), answer.get("status"))
    for warning in answer.get("warnings") or []:
        show.note(f"warning: {warning}")


@calls(app, "rm")
def remove(yard: Yard, server: ServerIds) -> None:
    """Takes servers out; their running tasks may end for 30 s, the rest are queued again."""
    each(yard, server, yard.client.servers.remove)


@calls(app, "drain")
def drain(
    yard: Yard,
    server: ServerIds,
    end: Annotated[bool, typer.Option("--end", help="End it: new tasks may come again.")] = False,
) -> None:
    """Gives servers nothing new while their running tasks end."""
    told = "drains no more; new tasks may come again" if end else _DRAINS
    each(yard, server, lambda one: yard.client.servers.heartbeat(one, "healthy" if end else "draining"), told)


@calls(app, "maintenance")
def maintenance(
    yard: Yard,
    server: ServerId,
    switch: Annotated[Switch, typer.Argument(metavar="on|off", help="On or off.", show_default=False)],
    reason: Annotated[str | None, _text("--reason", "Why, for people.")] = None,
) -> None:
    """Switches a server's maintenance on or off."""
    each(yard, [server], lambda one: yard.client.servers.maintenance(one, switch is Switch.ON, reason))
    if switch is Switch.OFF and yard.client.servers.show(server).get("status") == "draining":
        show.note(f"{server} still {_DRAINS.format(id=server)}")


@calls(app, "check")
def check(yard: Yard, server: ServerId) -> None:
    """Runs a health check now; the exit code is 0 whatever it finds."""
    answer = yard.client.servers.check(server)
    if yard.as_json:
        show.json_line(answer)
    else:
        show.facts({name: value for name, value in answer.items() if not isinstance(value, dict | list)})
        if answer.get("passed") and answer.get("status") in ("offline", "degraded"):
            show.line(f"This check passed. {server} gets tasks as before after three passed checks in a row.")
