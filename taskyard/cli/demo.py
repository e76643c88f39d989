"""`taskyard demo`: a node, three servers and a mixed load on this machine, until all has ended and adds up."""

import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from taskyard.cli import show
from taskyard.cli.stop import Stop

if TYPE_CHECKING:
    from taskyard.cli.demo_view import Draw
    from taskyard.client import Client
    from taskyard.demo.load import Load
    from taskyard.demo.yard import Yard

_LOOK_EVERY_S = 0.25
# Far more than the load needs; past it something is wrong, and the summary says what.
_PATIENCE_S = 60
_INTERRUPTED = 130


def demo(
    tasks: Annotated[int, typer.Option("--tasks", min=1, max=100_000, help="How many tasks to submit.")] = 200,
    seconds: Annotated[float, typer.Option("--seconds", min=0.1, max=3600, help="Over how long.")] = 15.0,
    port: Annotated[int, typer.Option("--port", help="The node's port; 0 takes a free one.")] = 0,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir", help="Keep the node's data there, instead of a temporary folder.", show_default=False
        ),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up until Ctrl-C when the load has ended.")] = False,
) -> None:
    """Shows it all: starts a node and three backend servers, submits a mixed load, accounts for each task."""
    from taskyard.client import TaskyardError
    from taskyard.demo.yard import YardError, running

    with _interruptible(), _folder(data_dir) as folder:
        try:
            with running(folder, port) as yard:
                _introduce(yard)
                sound = _watch_load(yard, tasks, seconds)
                if keep:
                    _stay(yard)
        except (YardError, TaskyardError) as error:
            raise Stop(f"demo: {error}") from None
        except KeyboardInterrupt:
            raise Stop("demo: interrupted; the node and its servers have ended", _INTERRUPTED) from None
    if not sound:
        raise typer.Exit(1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Whatever asks the demo to end is a Ctrl-C, so that it ends its processes."""

    def interrupt(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = {one: signal.signal(one, interrupt) for one in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for one, handler in former.items():
            signal.signal(one, handler)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="taskyard-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


def _introduce(yard: "Yard") -> None:
    from taskyard.demo.shapes import OFFERS

    show.line("A node runs, with three backend servers. To go on by hand:")
    show.line("")
    show.line(f"  export TASKYARD_URL={yard.url}")
    show.line(f"  export TASKYARD_TOKEN={yard.token}")
    show.line("")
    show.line(f"The API in words: {yard.url}/docs")
    show.line("")
    for offer in OFFERS:
        show.line(f"  {offer.name:<8}{offer.about}; {offer.slots} slots, {offer.fastest}-{offer.slowest} ms a task")
    show.line("")


def _watch_load(yard: "Yard", tasks: int, seconds: float) -> bool:
    """Submits the load, shows it until all has ended, and says whether it adds up. Raises TaskyardError."""
    from taskyard.cli.demo_view import picture, summary
    from taskyard.demo.account import account
    from taskyard.demo.load import Load

    with yard.client() as client, yard.client() as submitting:
        load = Load(submitting, tasks, seconds)
        load.start()
        try:
            with picture() as draw:
                _until_ended(client, load, time.monotonic() + seconds + _PATIENCE_S, draw)
        finally:
            load.stop()
        found = account(client, load.ids, yard.logs)
    summary(found, load.refused)
    return not found.faults and not load.refused and found.tasks == tasks


def _until_ended(client: "Client", load: "Load", deadline: float, draw: "Draw") -> None:
    from taskyard.demo.look import look

    while time.monotonic() < deadline:
        over = load.over
        seen = look(client)
        draw(seen, (len(load.ids), load.count))
        if over and not seen.counts["waiting"] and not seen.counts["running"]:
            return
        time.sleep(_LOOK_EVERY_S)


def _stay(yard: "Yard") -> None:
    try:
        show.line("")
        show.line(f"The node and its servers stay up at {yard.url}; Ctrl-C ends them.")
        signal.pause()
    except KeyboardInterrupt:
        show.line("")
