"""Waiting for tasks before someone's eyes: a live line on a terminal, a line a change otherwise. Both on stderr."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskyard.cli import show

if TYPE_CHECKING:
    from taskyard.client import Client


def until_end(client: "Client", task: str, timeout: int | None) -> dict[str, Any]:
    """The task once it has ended, or as it is after `timeout` ms. Raises TaskyardError."""
    with _watching() as look:
        return client.wait(task, timeout, look)


@contextmanager
def _watching() -> Iterator[Callable[[dict[str, Any]], None]]:
    told: list[str] = []

    def tell(task: dict[str, Any]) -> None:
        if (text := state(task)) not in told[-1:]:
            told.append(text)
            show.note(text)

    if not sys.stderr.isatty():
        yield tell
        return
    from rich.text import Text

    with show.console(stderr=True).status(Text("waiting")) as live:
        yield lambda task: live.update(Text(state(task)))


def state(task: dict[str, Any]) -> str:
    """A task in one line: where it is and what it says."""
    parts = [task.get("id"), task.get("status")]
    if task.get("progress"):
        parts.append(f"{task['progress']}%")
    if task.get("serverId"):
        parts.append(f"on {task['serverId']}")
    if task.get("failures"):
        parts.append(f"failures {failures(task)}")
    if task.get("message"):
        parts.append(task["message"])
    return "  ".join(show.clean(part) for part in parts)


def failures(task: dict[str, Any]) -> str:
    """Failed attempts of those allowed."""
    allowed = task.get("maxRetries")
    return f"{task.get('failures') or 0}/{allowed + 1}" if isinstance(allowed, int) else ""
