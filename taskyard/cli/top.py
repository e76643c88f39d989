"""`taskyard top`: the yard as it changes: servers with their load, what waits and why, what runs, how fast.

A picture on a terminal, until q or Ctrl-C; elsewhere a few lines at each change.
"""

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from taskyard.cli import show
from taskyard.cli.command import Yard, calls
from taskyard.cli.values import duration_option
from taskyard.cli.yardview import Picture, State, lines

_LOOK_S = 0.2


def add_to(app: typer.Typer) -> None:
    """Registers the command."""
    calls(app, "top")(top)


def top(
    yard: Yard,
    lasting: Annotated[int | None, duration_option("--for", "End after so long.")] = None,
) -> None:
    """The yard as it changes: servers, what waits and why, how fast; q ends it."""
    end = None if lasting is None else time.monotonic() + lasting / 1000
    state = State()
    with _drawing(yard.as_json) as (draw, quits):
        for event in _until(yard, lambda: quits() or (end is not None and time.monotonic() >= end)):
            if event is None:
                continue
            state.take(event.name, event.data)
            draw(event.name, event.data, state)


def _until(yard: Yard, over: Callable[[], bool]) -> Iterator[Any]:
    """The events, and `None` when there is none for a moment, until it is over. Raises TaskyardError."""
    from taskyard.client import TaskyardError

    told: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        try:
            for event in yard.client.events(("overview", "lanes", "fleet", "attention")):
                told.put(event)
        except TaskyardError as error:
            told.put(error)

    # It ends with the process: nothing waits for it.
    threading.Thread(target=listen, daemon=True).start()
    while not over():
        try:
            found = told.get(timeout=_LOOK_S)
        except queue.Empty:
            yield None
            continue
        if isinstance(found, TaskyardError):
            raise found
        yield found


Draw = Callable[[str, dict[str, Any], State], None]


@contextmanager
def _drawing(as_json: bool) -> Iterator[tuple[Draw, Callable[[], bool]]]:
    """What draws after each event, and what says that somebody wants to end it."""
    if as_json:
        yield lambda name, data, state: show.json_line({"event": name} | data), lambda: False
    elif not sys.stdout.isatty():

        def tell(name: str, data: dict[str, Any], state: State) -> None:
            for line in lines(name, state):
                show.line(line)
            sys.stdout.flush()

        yield tell, lambda: False
    else:
        from rich.live import Live

        with _keys() as pressed, Live(console=show.console(), screen=True, auto_refresh=False) as live:
            picture = Picture()
            yield (
                lambda name, data, state: live.update(picture.drawn(state, live.console.size.height), refresh=True),
                lambda: pressed() in ("q", "Q", "\x03", "\x04"),
            )


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Keys as they are pressed, without the line that a terminal waits for; '' for none."""
    try:
        import select
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
    except (ImportError, OSError, ValueError, termios.error):
        yield lambda: ""
        return
    try:
        tty.setcbreak(descriptor)
        yield lambda: sys.stdin.read(1) if select.select([descriptor], [], [], 0)[0] else ""
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
