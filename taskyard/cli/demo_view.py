"""Draws the demo: on a terminal a picture that stays in place, elsewhere a few plain lines every two seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from taskyard.cli import show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from taskyard.demo.account import Account
    from taskyard.demo.look import Look

Progress = tuple[int, int]
Draw = Callable[["Look", Progress], None]
_PLAIN_EVERY_S = 2.0
_REASONS_MOST = 7


@contextmanager
def picture() -> Iterator[Draw]:
    """Something to call with each look, and with how many of how many tasks are submitted."""
    if not sys.stdout.isatty():
        yield _plain()
        return
    from rich.live import Live

    with Live(console=show.console(), refresh_per_second=8, transient=True) as live:
        yield lambda look, progress: live.update(_drawn(look, progress))


def _plain() -> Draw:
    begun = time.monotonic()
    last = begun - _PLAIN_EVERY_S

    def tell(look: "Look", progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < _PLAIN_EVERY_S:
            return
        last = now
        slots = "  ".join(f"{server['id']} {_slots(server)} {_state(server)}" for server in look.servers)
        show.line(f"{now - begun:4.0f} s  {_counts(look, progress)}  |  {slots}")
        for waiting in look.waiting[:_REASONS_MOST]:
            show.line(f"        {waiting.count} × {waiting.type} waits: {waiting.why}")
        sys.stdout.flush()

    return tell


def _counts(look: "Look", progress: Progress) -> str:
    told = ", ".join(f"{number} {name}" for name, number in look.counts.items())
    return f"{progress[0]}/{progress[1]} submitted: {told}"


def _slots(server: dict[str, Any]) -> str:
    return f"{server['activeTasks']}/{server['maxConcurrent']}"


def _state(server: dict[str, Any]) -> str:
    paused = (server["pausedUntil"] or 0) > time.time() * 1000
    return "paused" if paused else str(server["status"])


def _drawn(look: "Look", progress: Progress) -> "RenderableType":
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    servers = Table(box=box.SIMPLE_HEAD, title="What runs where", title_justify="left", expand=True)
    for head in ("server", "state", "slots", "running"):
        servers.add_column(head, ratio=1 if head == "running" else None)
    for server in look.servers:
        active, slots = min(server["activeTasks"], server["maxConcurrent"]), server["maxConcurrent"]
        running = ", ".join(f"{count} × {kind}" for kind, count in sorted(look.running.get(server["id"], {}).items()))
        state = _state(server)
        servers.add_row(
            Text(show.clean(server["id"])),
            Text(show.clean(state), style="green" if state == "online" else "yellow"),
            Text("█" * active + "░" * (slots - active) + f" {_slots(server)}"),
            Text(show.clean(running)),
        )
    waits = Table(box=box.SIMPLE_HEAD, title="What waits, and why", title_justify="left", expand=True)
    for head in ("tasks", "type", "oldest", "why"):
        waits.add_column(head, ratio=1 if head == "why" else None)
    for waiting in look.waiting[:_REASONS_MOST]:
        waits.add_row(
            str(waiting.count), show.clean(waiting.type), show.span(waiting.oldest), Text(show.clean(waiting.why))
        )
    counts = Text.assemble((f"{look.algorithm}  ", "dim"), (_counts(look, progress), "bold"))
    return Group(counts, servers, waits)


def summary(account: "Account", refused: list[str]) -> None:
    """How it went: by status, by server, and what does not add up."""
    show.line("")
    statuses = ", ".join(f"{number} {status}" for status, number in sorted(account.statuses.items()))
    show.line(f"{account.tasks} tasks were submitted, each was asked for by its id: {statuses}.")
    for name, did in account.did.items():
        says = ", ".join(f"{number} {what}" for what, number in sorted(did.items())) or "nothing"
        show.line(f"  {name}'s own log says: {says}")
    show.line(f"{account.retried} tasks failed at first and were tried again.")
    for fault in account.faults:
        show.line(f"  WRONG: {fault}")
    for refusal in refused:
        show.line(f"  not taken: {refusal}")
    if not account.faults:
        show.line("None is lost: every task has ended once, and every result is the one that its server's log names.")
