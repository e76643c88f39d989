"""`taskyard nodes`."""

from typing import Any

import typer

from taskyard.cli import show
from taskyard.cli.command import Yard, calls


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    calls(app, "nodes")(nodes)


def nodes(yard: Yard) -> None:
    """The nodes of this yard: which one decides, how much each sends, and when it was last heard."""
    found = yard.client.nodes()
    if yard.as_json:
        show.json_line(found)
        return
    show.table(("node", "role", "epoch", "sends", "version", "lag", "url"), (_row(node) for node in found["nodes"]))


def _row(node: dict[str, Any]) -> tuple[object, ...]:
    role = f"{node['role']}, draining" if node["draining"] else node["role"]
    name = f"{node['name']} *" if node["self"] else node["name"]
    return name, role, node["epoch"], node["load"], node["version"], f"{node['lag']} ms", node["url"]
