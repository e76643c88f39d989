"""`taskyard tasks watch`: tasks as they change, until all have ended. Lines on stdout, or rows on a terminal."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from taskyard.cli import show, watch
from taskyard.cli.command import Yard
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST = 100


class Tell(Protocol):
    """What is called with each news of a task, and with all of them by id."""

    def __call__(self, task: dict[str, Any], known: dict[str, dict[str, Any]]) -> None: ...


def follow(yard: Yard, ids: Sequence[str]) -> None:
    """Tells of tasks until all have ended. Raises Stop when one is unknown or has not completed."""
    from taskyard.client import ENDED

    ids = list(dict.fromkeys(ids))
    if len(ids) > MOST:
        raise Stop(f"at most {MOST} tasks can be watched at once", 2)
    known: dict[str, dict[str, Any]] = {}
    unknown: list[str] = []
    with _telling(yard.as_json) as tell, closing(yard.client.events(tasks=ids)) as events:
        for event in events:
            if event.name == "snapshot":
                unknown = event.data.get("unknown", [])
            elif event.name == "task":
                known[event.data["id"]] = event.data
                tell(event.data, known)
            over = [task for task in known.values() if task["status"] in ENDED]
            if event.name in ("snapshot", "task") and len(over) + len(unknown) == len(ids):
                break
    faults = [f"{task['id']} ended {task['status']}" for task in known.values() if task["status"] != "COMPLETED"]
    faults += [f"{task} not found: it was removed, or it is not yours" for task in unknown]
    if faults:
        raise Stop("; ".join(f"task {fault}" for fault in faults))


@contextmanager
def _telling(as_json: bool) -> Iterator[Tell]:
    if as_json:
        yield lambda task, known: show.json_line(task)
    elif not sys.stdout.isatty():
        told: dict[str, str] = {}

        def line(task: dict[str, Any], known: dict[str, dict[str, Any]]) -> None:
            if (text := watch.state(task)) != told.get(task["id"]):
                told[task["id"]] = text
                show.line(text)
                sys.stdout.flush()

        yield line
    else:
        from rich.live import Live

        with Live(console=show.console(), refresh_per_second=4) as live:
            yield lambda task, known: live.update(_drawn(known))


def _drawn(known: dict[str, dict[str, Any]]) -> "RenderableType":
    from rich.text import Text

    return Text("\n").join(Text(watch.state(task)) for task in known.values())
