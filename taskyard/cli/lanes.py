"""`taskyard lanes`."""

from typing import Any

import typer

from taskyard.cli import show
from taskyard.cli.command import Yard, calls


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    calls(app, "lanes")(lanes)


def lanes(yard: Yard) -> None:
    """What waits, by what it requires, and why."""
    found = yard.client.lanes()
    if yard.as_json:
        show.json_line(found)
        return
    show.table(("needs", "waiting", "oldest", "why", "servers"), (_row(lane) for lane in found["lanes"]))
    other = found["other"]
    if other["lanes"]:
        show.line(f"and {other['queued']} tasks in {other['lanes']} more lanes")


def needs(lane: dict[str, Any]) -> str:
    """What a lane's tasks require."""
    parts = [f"[{name}]" for name in lane["capabilities"]]
    parts += [f"group {lane['group']}"] if lane["group"] else []
    parts += [f"server {lane['serverId']}"] if lane["serverId"] else []
    return show.clean(" ".join(parts)) or "anything"


def _row(lane: dict[str, Any]) -> tuple[object, ...]:
    return needs(lane), lane["queued"], show.ago(lane["oldestAt"]), lane["text"], show.funnel(lane["funnel"])
