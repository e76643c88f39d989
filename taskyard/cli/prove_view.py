"""Draws a proof under way: on a terminal a bar a part with its figures, elsewhere plain lines."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskyard.cli import show

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from taskyard.prove.watch import Watch

_PLAIN_EVERY_S = 5.0


@contextmanager
def watching(seed: int, minutes: float, *, as_json: bool) -> Iterator["Watch"]:
    """Who looks on. What is said meanwhile goes to standard error, beside the report."""
    if as_json:
        yield Silent()
        return
    show.note(f"About {minutes:g} minutes, seed {seed}. Ctrl-C ends it and leaves nothing behind.")
    if not sys.stderr.isatty():
        yield Lines()
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (
        TextColumn("{task.description:<14}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
        TextColumn("{task.fields[words]}", style="dim"),
    )
    with Progress(*columns, console=show.console(stderr=True), transient=True) as progress:
        yield Bars(progress)


class Silent:
    """Says nothing: a script waits for the end."""

    def part(self, title: str, seconds: float) -> None:
        """Nothing."""

    def tell(self, line: str) -> None:
        """Nothing."""

    def figures(self, figures: Mapping[str, int]) -> None:
        """Nothing."""


class Lines:
    """A line for each thing that happens, and for figures every few seconds."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._last = 0.0

    def part(self, title: str, seconds: float) -> None:
        """Says so."""
        self._say(f"{title}, about {seconds:.0f} s")

    def tell(self, line: str) -> None:
        """Says so."""
        self._say(f"  {line}")

    def figures(self, figures: Mapping[str, int]) -> None:
        """Says so, unless figures were told a moment ago."""
        now = time.monotonic()
        if now - self._last >= _PLAIN_EVERY_S:
            self._last = now
            self._say(f"  {_words(figures)}")

    def _say(self, line: str) -> None:
        show.note(f"{time.monotonic() - self._begun:5.0f} s  {line}")


class Bars:
    """A bar for each part; the bar is of time, since that is what is given to each."""

    def __init__(self, progress: "Progress") -> None:
        self._progress = progress
        self._now: TaskID | None = None
        self._begun = 0.0

    def part(self, title: str, seconds: float) -> None:
        """The next bar."""
        self._finish()
        self._begun = time.monotonic()
        self._now = self._progress.add_task(title, total=seconds, words="")

    def tell(self, line: str) -> None:
        """Beside the bar."""
        self._draw(line)

    def figures(self, figures: Mapping[str, int]) -> None:
        """Beside the bar."""
        self._draw(_words(figures))

    def _draw(self, words: str) -> None:
        if self._now is not None:
            self._progress.update(self._now, completed=time.monotonic() - self._begun, words=show.clean(words))

    def _finish(self) -> None:
        if self._now is not None:
            self._progress.update(self._now, completed=self._progress.tasks[self._now].total or 0)
            self._progress.stop_task(self._now)


def _words(figures: Mapping[str, int]) -> str:
    return ", ".join(f"{value:,} {name}" for name, value in figures.items())
